"""What messages are made of: versions, environments, runs and routes as they are wanted."""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.errors import Error, Kind, Problem
from fairlead.messages.wire import Part


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


class Tried(Part, frozen=True):
    """How one example of a bundle went."""

    title: str
    ok: bool
    checked: bool = False
    """Whether its answer was held against an expected one, not only asked for."""
    took_ms: float = 0
    said: str = ""
    """What was wrong."""


class Evidence(Part, frozen=True):
    """How the examples of a version went in the replica that tried them last."""

    at: str
    replica: str
    examples: tuple[Tried, ...] = ()


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
    slow_ms: float | None = None
    """Answers that take so long or longer are counted apart; 0: none are; None: nothing was promised of it."""


class DeviceBinding(Part, frozen=True):
    """The devices that stand for one role of an app in a run."""

    devices: tuple[str, ...]
    type: str
    single: bool
    """Count is 1: the SDK gives one device, else a list."""
    tier: str = "app"
    properties: dict[str, dict[str, Any]] = {}
    """The type's properties, JSON Schema with Fairlead's keywords."""
    events: dict[str, dict[str, Any]] = {}
    """The type's events, likewise."""


class RunWanted(Part, frozen=True, kw_only=True):
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


class Metered(Part, frozen=True):
    """What a process has counted so far: calls by UTC day (``2026-11-21``) and token. Each figure only grows."""

    source: str
    """Who counts: another name for each process."""
    days: dict[str, dict[str, int]]


class Sliced(Part, frozen=True):
    """What one front door counted of a version within a slice of time. Each figure only grows."""

    model: str
    version: str
    at: int
    """When the slice begins, Unix seconds."""
    answered: int = 0
    """2xx and 3xx."""
    failed: int = 0
    """5xx and 429."""
    slow: int = 0
    """Answers of any kind that took as long as the objective says, or longer."""


class BodyWanted(Part, frozen=True):
    """A device that is simulated."""

    device: str
    type: str
    """Its keywords stand in :attr:`Simulated.kinds`."""
    room: str
    speed: float = 1
    """Seconds of its room in a second."""
    fault: str = ""
    media: tuple[str, ...] = ()
    """Keys in the bucket of what it shows or plays."""


class Simulated(Part, frozen=True):
    """The devices that are simulated on a node."""

    bodies: tuple[BodyWanted, ...] = ()
    kinds: dict[str, dict[str, dict[str, Any]]] = {}
    """Type to property to its keywords."""
    events: dict[str, dict[str, dict[str, Any]]] = {}
    """The same of events, of types that have some."""


class Spent(Part, frozen=True):
    """Whose calls of a UTC day are used up."""

    day: str = ""
    users: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


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
