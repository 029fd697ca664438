"""The bus between control and keepers."""

from __future__ import annotations

from fairlead.messages.parts import (
    AppWanted,
    DeviceAccess,
    ErrorInfo,
    Metered,
    ModelRoute,
    PageRoute,
    RunWanted,
    Simulated,
    Sliced,
    Spent,
    VersionWanted,
)
from fairlead.messages.reports import Prepared, ProgramReport, ReplicaReport, RunReport, VersionReport
from fairlead.messages.wire import Message


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
    simulated: Simulated = Simulated()
    spent: Spent = Spent()
    """Whose calls of models the front door refuses."""


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
    cores: float = 0
    """Processors that replicas may use; 0: not told."""
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


INLINE_MAX_BYTES = 64 * 1024
"""Inputs and results of jobs up to this size live in the row and travel in the order, larger ones lie in the bucket."""


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
    priority: str = "normal"
    """``normal`` or ``batch``, which is begun after all ``normal`` ones."""
    alone: bool = False
    """An attempt before ended with its replica: no other job shall be on the replica that does it now."""


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
    """The node cannot do the order now; asked as a request. No attempt was made, even where one was told to begin."""

    node: str
    job: str
    epoch: int
    reason: str = ""
    """Why; empty: the node is full."""
    after_s: float = 0
    """When to try again; 0: control decides."""


class LogPiece(Message, frozen=True):
    """A part of a log of the node, for control to keep; asked as a request until it is answered."""

    node: str
    file: str
    """Below the folder of logs."""
    beginning: str
    """Fingerprint of the first line of the file."""
    offset: int
    since: str
    """When it was noticed."""
    data: bytes
    """Lines as they stand there, but for secrets."""
    is_torn: bool = False
    """What came before it was cut off."""
    times: tuple[tuple[int, float], ...] = ()
    """How many of its lines there were at which moments, in seconds of the epoch, where it was watched."""


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


class CallsTold(Message, frozen=True):
    """What replicas counted; asked as a request and repeated until answered. Control adds what is new, once."""

    node: str
    told: tuple[Metered, ...]


class SlicesTold(Message, frozen=True):
    """What a front door counted for objectives; asked as a request and repeated until answered.

    What is told of a slice only grows: control keeps the highest, so that nothing counts twice.
    """

    node: str
    source: str
    """Who counts: another name for each count that begins anew."""
    span_s: int
    """Length of a slice."""
    slices: tuple[Sliced, ...]


class MetricsAsk(Message, frozen=True):
    """A keeper asks what control counted: the answer is a JSON list of ``exposition.Family``."""
