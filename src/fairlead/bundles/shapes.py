"""What ``fairlead.toml`` may say: one struct a table. The manifest's reference is generated from these docstrings.

``bundles.manifest.parse`` makes them; what one field cannot say alone stands in ``bundles.rules``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Summary = Annotated[str, Meta(max_length=300)]
Text = Annotated[str, Meta(max_length=20_000)]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all tables of a manifest."""


class Program(Table, frozen=True, kw_only=True):
    """What models and apps have in common below ``[run]``."""

    requires: tuple[str, ...] | str = ()
    """Requirements (PEP 508), or the name of a file of the bundle with one a line. Installed from wheels only."""
    python: str = ""
    """Versions of Python that the code runs on, e.g. ``>=3.11``; empty: any that Fairlead runs on."""
    env: dict[str, str] = {}
    """Environment variables of the bundle's processes. Never secrets."""
    secrets: tuple[str, ...] = ()
    """Names of secrets; each arrives as an environment variable of that name."""


class ModelRun(Program, frozen=True, kw_only=True):
    """``[run]`` of a model: what is loaded and called."""

    runtime: Literal["sklearn", "onnx", "torch", "python"] = "python"
    """What loads ``artifact``. Unless said: known from the artifact's ending; ``python`` where there is none."""
    artifact: str | None = None
    """File or folder of the bundle that the runtime loads. Alone: a model with no code."""
    entry: str | None = None
    """``module:Class`` or ``module:function``. Alone: your code; with ``artifact``: code around it."""
    compile: bool | None = None
    """Whether a scikit-learn artifact is also compiled to ONNX: served as it is, swapped once the program is equal and
    faster. Unless said: yes."""
    timeout_s: Seconds = 60
    """Seconds a request may take; a caller may ask for less."""
    start_timeout_s: Seconds = 120
    """Seconds that loading and warming up may take; building the environment does not count."""


class AppRun(Program, frozen=True, kw_only=True):
    """``[run]`` of an app: what is started in each window."""

    entry: str | None = None
    """``module:attribute`` that is a ``fairlead.App``; or the table ``[processes]`` instead."""
    web: str | None = None
    """Path of its page's health check: the run is ready when it answers 200. Omitted: it has no page."""
    start_timeout_s: Seconds = 60
    """Seconds from start to ready."""


class Batch(Table, frozen=True, kw_only=True):
    """``[batch]``: how calls that wait at the same time are joined. Only ``predict`` is batched."""

    max_size: Annotated[int, Meta(ge=1, le=65_536)] = 64
    """Rows of a batch; 1 = off."""
    max_bytes: Annotated[int, Meta(ge=1, le=4 * 1024**3)] = 67_108_864
    """Bytes of inputs in a batch."""
    max_wait_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0
    """Milliseconds to wait for more; 0: only what already waits."""


class Scale(Table, frozen=True, kw_only=True):
    """``[scale]``: how many replicas, and when."""

    min: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Fewest replicas; 0: it may sleep."""
    max: Annotated[int, Meta(ge=1, le=1000)] = 20
    """Most replicas."""
    idle_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 300
    """Seconds without a call before the last replica sleeps."""
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Calls of predict at once in a replica (a batch is one); async code may take more."""
    drain_s: Seconds = 15
    """Aim for a backlog of jobs: done in so many seconds."""
    weight: Annotated[float, Meta(ge=0.01, le=100)] = 1
    """Where cores or memory are short: its share beside those of others."""


class Jobs(Table, frozen=True, kw_only=True):
    """``[jobs]``: how many calls are kept for later, and worked on."""

    queue_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    """Most jobs of the model that wait; more are refused (429 ``jobs_full``)."""
    person_max: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    """Most of them that one person may have."""
    running_max: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Most that are worked on at once, whatever its replicas could take."""


class Resources(Table, frozen=True, kw_only=True):
    """``[resources]``: what one replica or run is given."""

    cpu: Annotated[float, Meta(gt=0, le=1024)] = 0.1
    """Processors that one replica counts for at least, where they are short; 1 = a core."""
    memory_mb: Annotated[int, Meta(ge=16, le=16_777_216)] = 512
    """Memory in MB that all its processes together may hold, pages of files aside; more ends it (``oom``). An
    allocation fails where one process takes more than four times as much and 2 GiB. On a GPU there is no bound."""
    gpu: float | str = 0
    """``1`` or ``0.5``: needed; ``"0..1"``: if there is one; 0: none."""


class Network(Table, frozen=True, kw_only=True):
    """``[network]``: what the bundle may reach."""

    outbound: bool = False
    """Whether it may open connections; a configurer must agree."""


class Slo(Table, frozen=True, kw_only=True):
    """``[slo]``: the objective that ``fairlead slo`` reports on."""

    latency_ms: Annotated[float, Meta(gt=0)] | None = None
    """Milliseconds within which ``percentile`` of requests are answered."""
    percentile: Annotated[float, Meta(gt=0, lt=100)] = 99
    """Percentile that ``latency_ms`` speaks of; 99.9999 at most."""
    availability: Annotated[float, Meta(gt=0, lt=100)] | None = None
    """Percent of requests that are answered without a failure of ours; 99.9999 at most."""


class Access(Table, frozen=True, kw_only=True):
    """``[access]``: who may call it."""

    visibility: Literal["private", "team", "public"] = "team"
    """``private``: owner and configurers; ``team``: anyone signed in; ``public``: no token (a configurer confirms)."""


class Route(Table, frozen=True, kw_only=True):
    """``[[routes]]``: an extra path at the front door, for the alias ``production``."""

    path: str
    """Path, e.g. ``/flights/delay``; not below a path of the platform."""
    methods: tuple[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], ...] = ("POST",)
    """Methods it answers; a GET may carry a body."""
    entry: str = "predict"
    """Any typed method of the class."""
    produces: str | None = None
    """Media type of the answer whatever ``Accept`` says."""


class Card(Table, frozen=True, kw_only=True):
    """``[card]``: what people read about it before they use it."""

    authors: tuple[Title, ...] = ()
    """Who made it."""
    license: Summary = ""
    """SPDX identifier or name."""
    paper: Summary = ""
    """Address of the paper, or its arXiv id."""
    huggingface: Summary = ""
    """``owner/name`` on Hugging Face."""
    abstract: Text = ""
    """A paragraph about what it does, and what it does not."""
    task: Summary = ""
    """E.g. ``tabular-classification``."""
    tags: tuple[Title, ...] = ()
    """Words to find it by."""
    datasets: tuple[Title, ...] = ()
    """What it learned from."""
    base_model: Summary = ""
    """The model it was made from."""
    homepage: Summary = ""
    """Address of its page."""
    scores: dict[str, float] = {}
    """How good it is on data it has not seen, e.g. ``{ roc_auc = 0.71 }``."""


class Example(Table, frozen=True, kw_only=True):
    """``[[examples]]``: a call that warms up, is checked before traffic where it has ``expect``, and is shown."""

    title: Title
    """What a person reads."""
    input: Any
    """The body. A text that names a file of the bundle is that file."""
    expect: Any = msgspec.UNSET
    """What the answer must hold: of objects, the keys that are named; of numbers, nearly so."""


class Role(Table, frozen=True, kw_only=True):
    """``[devices]`` of an app: the kind and the number of devices that stand for a role."""

    type: str
    """Device type: ``name`` or ``name@major``."""
    count: int | str = 1
    """``1``, ``"0..1"``, ``"1..4"``, ``"0.."`` or ``"1.."``."""
    shared: bool = False
    """Whether other apps that say so too may command the same devices. Sensors are always shared."""
    tier: Literal["app", "safety"] = "app"
    """``safety`` goes before people and other apps; a configurer schedules it."""


class Manifest(Table, frozen=True, kw_only=True):
    """What models and apps have in common."""

    kind: Literal["model", "app"]
    """What this is: ``model`` or ``app``."""
    name: str
    """Its name: lower-case letters, digits and ``-``. Models and apps share one set of names."""
    version: str | None = None
    """Begins with a digit and never changes; omitted: the platform counts 1, 2, 3."""
    summary: Summary = ""
    """One sentence."""
    resources: Resources = Resources()
    network: Network = Network()
    access: Access = Access()
    card: Card = Card()


class ModelManifest(Manifest, frozen=True, kw_only=True):
    """``fairlead.toml`` of a model."""

    run: ModelRun
    batch: Batch = Batch()
    scale: Scale = Scale()
    jobs: Jobs = Jobs()
    slo: Slo | None = None
    routes: tuple[Route, ...] = ()
    examples: tuple[Example, ...] = ()


class AppManifest(Manifest, frozen=True, kw_only=True):
    """``fairlead.toml`` of an app."""

    run: AppRun = AppRun()
    processes: dict[str, tuple[str, ...]] = {}
    """Programs by name, each an argument vector, instead of ``run.entry``; only ``web`` is given ``PORT``."""
    models: dict[str, str] = {}
    """Role to ``model`` or ``model@alias``."""
    devices: dict[str, Role] = {}
    """Role to the devices that stand for it."""
    params: dict[str, dict[str, Any]] = {}
    """Parameter to its JSON Schema; one without ``default`` must be set by each schedule."""
