"""Every message between processes of the platform: frozen structs, encoded with msgpack.

Three wires carry them:

*the bus* (NATS), between control and keepers; ``bus.subjects`` maps each class to its subject;
*a replica's channel* and *a zygote's channel*: Unix sockets on which the replica or zygote listens and the keeper
dials, so that a keeper that was killed finds them again. A frame there is a 4-byte big-endian length and the msgpack
of one tagged message.

Moments are RFC 3339 text in UTC. User payloads are bytes with a content type; nobody here parses them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from fairlead.errors import Error, Kind, Problem
from fairlead.figures import Figures, Histogram, Recent
from fairlead.status import ReplicaStatus, RunStatus, VersionStatus

if TYPE_CHECKING:
    import asyncio  # the command line needs none of it

FRAME_MAX_BYTES = 64 * 1024**2
_LENGTH = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Base of all messages; the tag is the class's name."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of what messages are made of."""


# --- what a version, a replica and a run are made of --------------------------------------------------------------


class ErrorInfo(Part, frozen=True):
    """An error on a wire; ``retry`` tells whether the same call may succeed later."""

    code: str
    message: str
    hint: str = ""
    kind: str = "internal"
    problems: tuple[Problem, ...] = ()
    retry: bool = False

    @classmethod
    def of(cls, error: Error) -> ErrorInfo:
        """Return ``error`` as it travels; busy and unavailable may succeed later."""
        return cls(
            code=error.code,
            message=error.message,
            hint=error.hint,
            kind=error.kind,
            problems=error.problems,
            retry=error.kind in (Kind.BUSY, Kind.UNAVAILABLE),
        )

    def to_error(self) -> Error:
        """Return the error of our tree that this describes, to be raised."""
        classes: dict[str, type[Error]] = {kind.kind: kind for kind in Error.__subclasses__()}
        return classes.get(self.kind, Error)(self.message, code=self.code, hint=self.hint, problems=self.problems)


class EnvironmentSpec(Part, frozen=True):
    """What an environment is built from; its key is the digest of this, the platform's Python and its build."""

    requires: tuple[str, ...] = ()
    python: str = ""


class BatchSpec(Part, frozen=True):
    max_size: int = 64
    max_bytes: int = 64 * 1024**2
    max_wait_ms: float = 0


class ExampleSpec(Part, frozen=True):
    """One example: ``input`` and ``expect`` are JSON values, files of the bundle already as ``data:`` URLs or paths."""

    title: str
    input: Any
    expect: Any = msgspec.UNSET


class ModelSpec(Part, frozen=True):
    """All that a model server is told about the version it serves."""

    name: str
    version: str
    runtime: str
    """sklearn, onnx, torch or python."""
    artifact: str | None = None
    """File or folder, relative to the bundle."""
    entry: str | None = None
    """``module:attribute``."""
    env: dict[str, str] = {}
    batch: BatchSpec = BatchSpec()
    concurrency: int = 1
    timeout_s: float = 60
    start_timeout_s: float = 120
    queue_max: int = 1000
    """Requests that may wait in a replica; more are answered 429."""
    examples: tuple[ExampleSpec, ...] = ()
    gpu: bool = False
    compile: bool = False
    """Whether a scikit-learn artifact is also compiled to ONNX, beside its service."""


class VersionWanted(Part, frozen=True):
    """A version of a model on a node."""

    spec: ModelSpec
    digest: str
    bundle_key: str
    """Key of the bundle's zip in the bucket."""
    environment: EnvironmentSpec
    gate: str
    """Secret that the front door adds and the replica checks."""
    prepare: bool = False
    """Fetch, build the environment and inspect; report a :class:`Prepared`."""
    replicas: int = 0
    may_sleep: bool = True
    """Whether the waker may start the first replica when a request comes."""
    idle_s: float = 300
    memory_mb: int = 512
    outbound: bool = False
    preload: tuple[str, ...] = ()
    """Modules the zygote imports before it forks, as the inspection found them."""
    attempt: int = 0
    """Counts deliberate new starts: a push after a failure begins with a clean slate."""
    proven: bool = False
    """It was ready once: a replica that does not start is tried again, and the version is not failed."""
    secrets: dict[str, bytes] = {}
    """Its secrets by name, sealed with the home's key; empty bytes: nobody has set it."""


class DeviceBinding(Part, frozen=True):
    """The devices that stand for one role of an app in a run."""

    devices: tuple[str, ...]
    type: str
    single: bool
    """Count is 1: the SDK gives one device, else a list."""
    tier: str = "app"
    properties: dict[str, dict[str, Any]] = {}
    """The type's properties, JSON Schema with Fairlead's keywords."""


class RunWanted(Part, frozen=True):
    """A run of an app that should be going on."""

    run: str
    app: str
    version: str
    digest: str
    bundle_key: str
    environment: EnvironmentSpec
    schedule: str
    place: str
    starts: str
    ends: str | None
    user: str
    entry: str | None = None
    processes: dict[str, tuple[str, ...]] = {}
    web: str | None = None
    env: dict[str, str] = {}
    params: dict[str, Any] = {}
    bindings: dict[str, DeviceBinding] = {}
    models: dict[str, str] = {}
    """Role to ``model@ref``."""
    memory_mb: int = 512
    outbound: bool = False
    start_timeout_s: float = 60
    stop: str = ""
    """Why it must stop now; empty: it goes on."""
    attempt: int = 0
    zone: str = "UTC"
    """Time zone of the place (IANA name)."""
    secrets: dict[str, bytes] = {}
    """As those of :class:`VersionWanted`."""


class Target(Part, frozen=True):
    """A version and its share of the traffic."""

    version: str
    weight: int = 100


class ExtraRoute(Part, frozen=True):
    """A path of the front door that a bundle took for one of its endpoints; alias ``production`` answers."""

    path: str
    methods: tuple[str, ...] = ("POST",)
    entry: str = "predict"
    produces: str = ""
    """Type of its answers, whatever the caller accepts."""


class ModelRoute(Part, frozen=True):
    """How the front door treats one model. Endpoints are filled in by the keeper."""

    model: str
    visibility: str
    """private, team or public."""
    owner: str
    targets: dict[str, tuple[Target, ...]]
    """Alias to its versions. ``production`` answers when none is named."""
    versions: tuple[str, ...] = ()
    """Versions that may be called by number: those that an alias names."""
    gone: tuple[str, ...] = ()
    """Versions that answer 410."""
    timeout_s: float = 60
    entries: tuple[str, ...] = ()
    """Endpoints beside ``predict``."""
    extra: tuple[ExtraRoute, ...] = ()


class PageRoute(Part, frozen=True):
    """The page of a live run: ``{name}.apps.<host>``."""

    name: str
    run: str
    visibility: str
    owner: str


class DeviceAccess(Part, frozen=True):
    """What the device link lets a device do; the password is kept as a hash only."""

    device: str
    password_hash: str
    """Hex SHA-256 of ``device:password``: passwords are 190 bits of chance, so a slow hash adds nothing."""


class ReplicaReport(Part, frozen=True):
    """One replica as its keeper sees it."""

    replica: str
    model: str
    version: str
    status: ReplicaStatus
    reason: str = ""
    pid: int = 0
    since: str = ""
    served: int = 0
    failed: int = 0
    in_flight: int = 0
    queued: int = 0
    restarts: int = 0
    compiled: bool = False
    last_lines: tuple[str, ...] = ()
    ejected: str = ""
    """Why it gets hardly any calls; empty: it gets its share."""


class Prepared(Part, frozen=True):
    """How far the preparation of a version or app has come on a node."""

    kind: str
    """model or app."""
    name: str
    version: str
    digest: str
    step: str
    """fetch, environment, inspect, done or failed."""
    said: str = ""
    signature: dict[str, Any] | None = None
    """OpenAPI-style description of inputs and outputs, see ``modelserver.inspect``."""
    preload: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    last_lines: tuple[str, ...] = ()
    attempt: int = 0


class VersionReport(Part, frozen=True):
    """A version as a whole on a node: is it asleep, and when was it last called?"""

    model: str
    version: str
    status: VersionStatus
    reason: str = ""
    last_called: str | None = None
    woken: int = 0
    attempt: int = 0
    error: ErrorInfo | None = None
    """Why it failed."""
    last_lines: tuple[str, ...] = ()
    figures: Figures | None = None
    """Of all its replicas since the keeper began."""
    recent: Recent | None = None
    cold_starts: Histogram | None = None
    """Seconds from the start of a replica until it was ready; buckets of ``figures.COLD``."""
    serving: str = ""
    """``compiled (onnx)…`` or ``as it is: …`` with why; empty where nothing is compiled."""
    crashed_at: str | None = None
    """When a replica of it that had been ready ended by itself, or had to be ended, last."""
    crash: str = ""
    """How."""
    shifted_at: str | None = None
    """When a replica of it was ejected, or got its share of calls again, last."""
    shift: str = ""
    """Which, and why."""


class ProgramReport(Part, frozen=True):
    """One of the platform's own programs on a node."""

    name: str
    status: str
    """starting, running, waiting (to be started again) or stopped."""
    pid: int = 0
    since: str = ""
    restarts: int = 0
    reason: str = ""


HANDLERS_FAIL = "its last handler calls fail"
"""Begins the reason in the report of a run that is ready while the handlers of its app fail."""


class RunReport(Part, frozen=True):
    run: str
    status: RunStatus
    reason: str = ""
    attempt: int = 0
    restarts: int = 0
    pids: dict[str, int] = {}
    page: bool = False
    since: str = ""
    last_lines: tuple[str, ...] = ()


class AppWanted(Part, frozen=True):
    """A version of an app to prepare: fetched, environment built, entry imported once in the sandbox."""

    app: str
    version: str
    digest: str
    bundle_key: str
    environment: EnvironmentSpec
    entry: str | None = None
    attempt: int = 0
    secrets: dict[str, bytes] = {}
    """As those of :class:`VersionWanted`."""


# --- the bus: control to keepers ----------------------------------------------------------------------------------


class NodeWanted(Message, frozen=True):
    """All that one node shall do, whole each time. The keeper writes it to disk before it acts on it."""

    node: str
    generation: int
    """Grows with each change; a keeper ignores an older one."""
    versions: tuple[VersionWanted, ...] = ()
    runs: tuple[RunWanted, ...] = ()
    apps: tuple[AppWanted, ...] = ()
    routes: tuple[ModelRoute, ...] = ()
    pages: tuple[PageRoute, ...] = ()
    denied: dict[str, float] = {}
    """Revoked token ids and when they would have expired (Unix seconds)."""
    devices: tuple[DeviceAccess, ...] = ()


class WantedAsk(Message, frozen=True):
    """A keeper that starts asks for its :class:`NodeWanted`."""

    node: str


class NodeReport(Message, frozen=True):
    """What is on a node; sent on every change and at least every second."""

    node: str
    generation: int
    """Of the wanted state that this node has taken."""
    at: str
    replicas: tuple[ReplicaReport, ...] = ()
    prepared: tuple[Prepared, ...] = ()
    versions: tuple[VersionReport, ...] = ()
    runs: tuple[RunReport, ...] = ()
    isolation: str = ""
    memory_total_mb: int = 0
    memory_used_mb: int = 0
    load: float = 0
    programs: tuple[ProgramReport, ...] = ()
    """The platform's own."""
    front_door: str = ""
    """Empty when Envoy took the last files; else what it said."""
    jobs: dict[str, int] = {}
    """Jobs in hand here, and their epochs: control extends their leases."""
    door_generation: int = 0
    """Of the wanted state that the front door holds: tells when a revocation is in force."""
    trouble: str = ""
    """What this report does not say, and why; empty: it says all."""


class JobOrder(Message, frozen=True):
    """Have a replica of this version do this job. Delivered at least once; the epoch tells attempts apart."""

    job: str
    epoch: int
    model: str
    version: str
    endpoint: str = "predict"
    input_key: str = ""
    """Key in the bucket, when the input is not in ``body``."""
    body: bytes = b""
    content_type: str = "application/json"
    accept: str = "*/*"
    user: str = ""
    timeout_s: float = 60
    request: str = ""
    """Id of the request that submitted it."""
    trace: str = ""
    """Its W3C ``traceparent``."""


class JobStop(Message, frozen=True):
    """The job was canceled: stop it if it runs here."""

    job: str
    model: str
    version: str


class Wake(Message, frozen=True):
    """Have a replica of this version ready, as a call would; whether it came to that is in the reports."""

    model: str
    version: str


class Rest(Message, frozen=True):
    """Let this version sleep now instead of after ``idle_s``, if it may and nothing waits for it."""

    model: str
    version: str


class JobBegan(Message, frozen=True):
    """A replica took the job; asked as a request: the answer says whether this epoch still holds."""

    node: str
    job: str
    epoch: int
    replica: str


class JobMoved(Message, frozen=True):
    """Progress of a job."""

    job: str
    epoch: int
    step: int
    total: int | None = None
    note: str = ""


class JobReturned(Message, frozen=True):
    """The node has no room for the order; asked as a request. No attempt was made."""

    node: str
    job: str
    epoch: int


class JobEnded(Message, frozen=True):
    """How one attempt ended; asked as a request and repeated until answered."""

    node: str
    job: str
    epoch: int
    result_key: str = ""
    body: bytes = b""
    content_type: str = "application/json"
    error: ErrorInfo | None = None


class Answer(Message, frozen=True):
    """Answer to a request: ``ok`` or what is wrong; ``value`` is the JSON text of what was asked for."""

    ok: bool = True
    value: bytes = b"null"
    error: ErrorInfo | None = None


class MetricsAsk(Message, frozen=True):
    """A keeper asks what control counted: the answer is a JSON list of ``exposition.Family``."""


# --- the bus: what runs ask control through their keeper; ``run`` is filled in by the keeper, never by the app -------


class CommandAsk(Message, frozen=True):
    run: str
    role: str
    device: str
    set: dict[str, Any]
    hold_s: float | None = None
    timeout_s: float = 5
    because: tuple[str, ...] = ()
    command: str = ""
    """Id that the keeper chose: the same ask, repeated because no answer came, makes one command."""


class CommandShow(Message, frozen=True):
    """Wait up to ``wait_s`` for a command to reach a final or at least ``applied`` status."""

    run: str
    command: str
    wait_s: float = 0


class ReleaseAsk(Message, frozen=True):
    run: str
    role: str
    device: str
    properties: tuple[str, ...] = ()


class FreshAsk(Message, frozen=True):
    """Ask a device for fresh values of ``properties``."""

    run: str
    role: str
    device: str
    properties: tuple[str, ...]


class StateGet(Message, frozen=True):
    run: str
    key: str


class StatePut(Message, frozen=True):
    run: str
    key: str
    value: bytes
    if_version: int | None = None
    """Write only over this version; 0: only where there is none."""


class ReadingsAsk(Message, frozen=True):
    """Ask for the last values of devices of a run: the answer is a JSON list of ``sdk.wire.Measure``."""

    run: str
    devices: tuple[str, ...]


class Attachment(Part, frozen=True):
    """A file of a mail, put into the bucket beforehand."""

    name: str
    key: str
    content_type: str = "application/octet-stream"


class MailAsk(Message, frozen=True):
    run: str
    subject: str
    text: str
    to: tuple[str, ...] = ()
    attach: tuple[Attachment, ...] = ()


class RunJobSubmit(Message, frozen=True):
    run: str
    role: str
    body: bytes
    content_type: str


class RunJobShow(Message, frozen=True):
    """Wait up to ``wait_s`` for the end of a job of this run: the answer is the view of the job with its
    ``result`` (JSON value, or base64 in ``result_base64``) once it succeeded. ``cancel``: cancel it."""

    run: str
    job: str
    wait_s: float = 0
    cancel: bool = False


# --- devices: what the bus carries beside raw MQTT payloads -----------------------------------------------------------


class Measured(Message, frozen=True):
    """A reading that passed the door: the value was validated against the device's type by control's device link."""

    device: str
    property: str
    at: str
    value: bytes = b"null"
    """JSON value; ``null`` where the reading is media."""
    media: bytes = b""
    content_type: str = ""


# --- a replica's channel --------------------------------------------------------------------------------------------


class Beat(Message, frozen=True):
    """Replica to keeper, every second and on change, from a thread that the model cannot block."""

    status: ReplicaStatus
    reason: str = ""
    in_flight: int = 0
    queued: int = 0
    served: int = 0
    failed: int = 0
    stuck_s: float = 0
    """Seconds without progress while calls are in flight."""
    error: ErrorInfo | None = None
    """Why it did not start."""
    last_lines: tuple[str, ...] = ()
    """Where: the end of the traceback."""
    figures: Figures | None = None
    """What was counted since the replica began."""


class JobStart(Message, frozen=True):
    job: str
    epoch: int
    endpoint: str
    body: bytes
    content_type: str
    accept: str
    user: str
    timeout_s: float
    request: str = ""
    trace: str = ""


class JobCancel(Message, frozen=True):
    job: str


class JobProgress(Message, frozen=True):
    job: str
    epoch: int
    step: int
    total: int | None = None
    note: str = ""
    preview: bytes = b""


class JobHeld(Message, frozen=True):
    """The replica works on this job: told to each keeper that dials, so that a new one carries it on."""

    job: str
    epoch: int
    left_s: float
    """Of its time."""


class JobDone(Message, frozen=True):
    job: str
    epoch: int
    body: bytes = b""
    content_type: str = "application/json"
    error: ErrorInfo | None = None


class Drain(Message, frozen=True):
    """Refuse new calls, finish those in flight within ``grace_s``, then exit 0."""

    grace_s: float = 30


# --- a zygote's channel ---------------------------------------------------------------------------------------------


class ZygoteSpec(Part, frozen=True):
    """What a zygote is told, as JSON in its environment's ``FAIRLEAD_ZYGOTE``."""

    name: str
    socket: str
    """Path of the socket on which it listens for its keeper."""
    folder: str
    """The bundle, read-only; put on ``sys.path``."""
    preload: tuple[str, ...] = ()
    """Modules to import before the first fork."""
    uid: int = 0
    """User id of the platform: only it and root may dial."""
    paths: tuple[str, ...] = ()
    """Folders with packages of the platform's, put behind the environment's own."""


class Fork(Message, frozen=True):
    """Have the zygote fork a replica that serves ``spec``."""

    replica: str
    spec: ModelSpec
    gate: str
    folder: str
    """The bundle, read-only."""
    scratch: str
    serve: str
    """Path of its socket for the front door."""
    keep: str
    """Path of its socket for the keeper."""
    device: str = "cpu"
    log: str = ""
    """File that its stdout and stderr are appended to; empty: those of the zygote."""
    body_max_bytes: int = 100 * 1024**2
    """Longest body of a call."""
    compiled: str = ""
    """Folder of the compiled program that takes the artifact's place."""


class ForkStop(Message, frozen=True):
    """Signal a replica that this zygote forked."""

    replica: str
    signal: int


class ZygoteUp(Message, frozen=True):
    """First frame after a keeper dialled: who lives, so that a new keeper adopts them."""

    pid: int
    replicas: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    """Modules of ``preload`` that could not be imported, threads that imports started."""


class Forked(Message, frozen=True):
    replica: str
    pid: int
    error: str = ""


class Exited(Message, frozen=True):
    """A replica ended: exit code, or minus the signal."""

    replica: str
    pid: int
    code: int


FromReplica = Beat | JobProgress | JobDone | JobHeld
ToReplica = JobStart | JobCancel | Drain
FromZygote = ZygoteUp | Forked | Exited
ToZygote = Fork | ForkStop

M = TypeVar("M", bound=Message)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return the msgpack of ``message``."""
    return _encoder.encode(message)


def decode(data: bytes, kind: type[M]) -> M:
    """Return the message of class ``kind`` in ``data``; raises :class:`msgspec.DecodeError`."""
    return msgspec.msgpack.decode(data, type=kind)


def frame(message: Message) -> bytes:
    """Return ``message`` as one frame of a channel; raises :class:`ValueError` above ``FRAME_MAX_BYTES``."""
    data = _encoder.encode(message)
    if len(data) > FRAME_MAX_BYTES:
        raise ValueError(f"{type(message).__name__}: {len(data)} bytes are more than a frame holds")
    return _LENGTH.pack(len(data)) + data


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame's msgpack; raises :class:`EOFError` at the end, :class:`ValueError` when it is too long."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > FRAME_MAX_BYTES:
            raise ValueError(f"a frame of {length} bytes is too long")
        return await reader.readexactly(length)
    except EOFError as error:
        raise EOFError("the channel was closed") from error
