"""What an installation is told, and where its things lie.

:class:`Settings` is built once in ``main`` from flags, ``FAIRLEAD_*``, ``settings.toml`` in the home and what the last
``up`` of the home was told (in this order of strength); it is frozen and passed on; nothing else reads the environment.
``fairlead doctor`` prints it.
:class:`Home` knows every path; nobody else joins one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fairlead.errors import Invalid, Problem

REMEMBERED = (
    "listen",
    "devices",
    "cert",
    "key",
    "insecure",
    "public_url",
    "apps_domain",
    "store",
    "bucket",
    "trusted_only",
)
"""Options of a start that its home keeps: where it is found, where its things lie, whom it trusts."""
SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket that Envoy takes (sun_path less its final zero)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of an installation; each field's docstring is its documentation."""

    home: Path
    """Folder of the installation, mode 0700; 0711 as root, where bundles have users of their own."""
    listen: str = "127.0.0.1:8080"
    """Address of the front door."""
    devices: str = "127.0.0.1:1883"
    """Address for MQTT devices."""
    cert: Path | None = None
    """Certificate chain (PEM) for both doors."""
    key: Path | None = None
    """Private key (PEM) of ``cert``."""
    insecure: bool = False
    """Allow listening beyond loopback without TLS."""
    public_url: str | None = None
    """URL by which people reach the front door; default: made from ``listen``."""
    page_origins: str | None = None
    """Origins of the web page's files where they lie elsewhere, ``https://page.example``, with commas; in
    ``settings.toml`` a list as well. Those pages may ask this platform with a token; default: none may."""
    apps_domain: str = "apps.localhost"
    """Domain below which pages of apps are served."""
    node: str = "local"
    """Name of this machine in the installation."""
    store: str | None = None
    """SQLAlchemy URL of the records; default: SQLite in the home."""
    bucket: str | None = None
    """The bucket, which no other installation uses: ``s3://BUCKET/PREFIX``, ``gs://BUCKET/…``, ``az://CONTAINER/…`` or
    a folder; default: a folder in the home. Credentials come from the variables of each cloud."""
    trusted_only: Literal["process", "landlock", "full"] | None = None
    """Refuse bundles below this isolation level: ``process``, ``landlock`` or ``full``."""
    source_builds: bool = False
    """Allow environments to build from source."""
    bundle_max_bytes: int = 4 * 1024**3
    """Largest bundle, unpacked."""
    body_max_bytes: int = 100 * 1024**2
    """Largest body of a request at the front door."""
    user_per_s: int = 0
    """Requests a second of one person, all tokens together, twice as many at once; 0: as many as they like."""
    token_per_s: int = 0
    """Requests a second by one token, twice as many at once; 0: as many as it likes."""
    user_calls_per_day: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    """Calls of models in a UTC day of each person without a quota of their own, all tokens together; configurers have
    none; 0: as many as they like."""
    user_stored_mb: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    """Megabytes (1,048,576 bytes) of bundles of each person without a quota of their own; configurers have none; 0: as
    many as fit."""
    scratch_mb: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 4096
    """Megabytes of files that a version of a model, or a run, may keep on a machine; 0: as many as fit."""
    zygote_memory_mb: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Megabytes that warm zygotes of sleeping models may keep, those used last first; default: a sixteenth of the
    machine's memory, 256 at least and 4096 at most; 0: none is kept, and every wake imports anew."""
    token_days: int = 30
    """Days that a token lives unless said."""
    keep_days: Annotated[int, msgspec.Meta(ge=1)] = 90
    """Days that events, ended commands and runs, mails and expired tokens are kept."""
    history_days: Annotated[int, msgspec.Meta(ge=0, le=36500)] = 400
    """Days that is kept, by the hour, what readings of devices came to once their type's ``keep_days`` are over;
    0: none of it."""
    card_facts: bool = True
    """Ask arXiv and Hugging Face for the papers and weights that cards of models name, where the extra ``hub`` is
    installed; ``false``: never."""
    arxiv_url: str | None = None
    """Where arXiv's API is, of a mirror ``https://HOST``; default: arXiv's own."""
    huggingface_url: str | None = None
    """Where Hugging Face is, of a mirror ``https://HOST``; default: its own, or what ``HF_ENDPOINT`` says."""
    mail: str | None = None
    """``smtp://user:password@host:port``, or ``smtps://…``; a password goes by TLS only, but for loopback. Without it
    mails go to the outbox only."""
    callback_hosts: str | None = None
    """Private hosts that callbacks of jobs may reach: names, addresses and networks, ``hooks.lan, 10.0.3.0/24``;
    in ``settings.toml`` a list as well."""
    slo_hour_s: Annotated[int, msgspec.Meta(ge=60, le=3600, multiple_of=60)] = 3600
    """Seconds that an hour of objectives has: with 60 the windows of alerts are a sixtieth, to try them out."""
    log_level: str = "info"
    """debug, info, warning or error."""
    access_log: Literal["all", "errors", "off"] = "all"
    """Which requests the front door writes a line of: ``all``, ``errors`` (400 and above) or ``off``."""
    otlp: str | None = None
    """URL that takes traces by OTLP over HTTP, ``http://host:4318``; ``OTEL_EXPORTER_OTLP_ENDPOINT`` says it too."""

    @property
    def url(self) -> str:
        """The front door's URL as people write it."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host, _, port = self.listen.rpartition(":")
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        return f"{'https' if self.cert else 'http'}://{host}:{port}"

    @property
    def is_https(self) -> bool:
        """Whether browsers come by TLS, to us or to who stands before us."""
        return self.cert is not None or self.url.startswith("https:")

    def page_url(self, name: str) -> str:
        """Return the address of the page of an app that is called ``name``; ``*`` stands for all of them."""
        scheme, _, host = self.url.partition("://")
        _, colon, port = host.rpartition(":")
        return f"{scheme}://{name}.{self.apps_domain}{colon + port if port.isdigit() else ''}"


class Home:
    """Paths of one installation. Below ``root`` all that lasts; below ``run`` sockets, on a short path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = run_folder(root)
        self.lock = root / "lock"
        self.settings = root / "settings.toml"
        self.keys = root / "keys"
        self.database = root / "fairlead.sqlite3"
        self.database_made = root / "store.made"  # there was a database: none is ever made anew
        self.bucket = root / "bucket"
        self.bundles = root / "bundles"  # <digest>/ unpacked, read-only
        self.environments = root / "environments"  # <key>/ virtual environments
        self.compiled = root / "compiled"  # <digest>/ compiled programs; the packages that make and run them
        self.scratch = root / "scratch"  # <replica or run>/ private, writable
        self.envoy = root / "envoy"
        self.bus = root / "bus"
        self.children = root / "children"  # <name>.json, one record a child
        self.logs = root / "logs"  # <name>.log
        self.keeper = root / "keeper"  # what the keeper was told last and what it knows
        self.first = root / "first.json"  # the administrator's first password, until it was shown
        self.options = self.keeper / "options.json"  # what the last `up` was told, for the next
        self.listening = self.keeper / "listening.json"  # where its platform listens, while there is one
        self.bucket_known = self.keeper / "bucket"  # which bucket, where it is not the folder, this home has used
        self.results = self.keeper / "results"  # of jobs, on their way from replicas to the bucket
        self.here = self.keeper / "here.key"  # who can read it owns the home and may sign in without a password

    @property
    def control_socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def jobs_socket(self) -> Path:
        """Where control takes small calls that are kept as jobs, and nothing else."""
        return self.run / "jobs.sock"

    @property
    def page_socket(self) -> Path:
        return self.run / "page.sock"

    @property
    def waker_socket(self) -> Path:
        return self.run / "waker.sock"

    @property
    def metrics_socket(self) -> Path:
        return self.run / "metrics.sock"

    @property
    def web_socket(self) -> Path:
        return self.run / "web.sock"

    @property
    def access_log(self) -> Path:
        """One line a request that came to the front door."""
        return self.logs / "access.log"

    @property
    def admin_socket(self) -> Path:
        return self.run / "envoy.sock"

    def serve_socket(self, replica: str) -> Path:
        """Where a replica listens for the front door; a replica's id is ``<zygote>-<number>``."""
        return self.run.joinpath(*_zygote_and_number(replica), "serve.sock")

    def keep_socket(self, replica: str) -> Path:
        """Where a replica listens for its keeper."""
        return self.run.joinpath(*_zygote_and_number(replica), "keep.sock")

    def replica_scratch(self, replica: str) -> Path:
        """Private folder of a replica; in that of its zygote, which is fenced in before replicas are known."""
        return self.scratch.joinpath(*_zygote_and_number(replica))

    def replica_log(self, replica: str) -> Path:
        """File with what a replica writes to stdout and stderr."""
        zygote, number = _zygote_and_number(replica)
        return self.logs / zygote / f"{number}.log"


def _zygote_and_number(replica: str) -> tuple[str, str]:
    zygote, _, number = replica.rpartition("-")
    return zygote, number


def run_folder(root: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the short folder for sockets of the installation at ``root``: the same one each time."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]
    base = environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    if len(base) > 40:  # leaves room for /fairlead-<8>/<replica: 30>/serve.sock within SOCKET_PATH_BYTES
        base = "/tmp"  # noqa: S108 - a folder of mode 0700 that is checked to be ours
    return Path(base) / f"fairlead-{digest}"


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return ``FAIRLEAD_HOME``, else the user's data folder."""
    if environ.get("FAIRLEAD_HOME"):
        return Path(environ["FAIRLEAD_HOME"]).expanduser()
    from platformdirs import user_data_path

    return user_data_path("fairlead")


def load(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Join flags (None: not given), ``FAIRLEAD_*`` and ``settings.toml``; raises :class:`Invalid` with all problems."""
    home = Path(flags.get("home") or default_home(environ)).expanduser().absolute()
    values: dict[str, Any] = options(flags, environ)
    file = home / "settings.toml"
    if file.exists():
        try:
            values.update(tomllib.loads(file.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"{file}: {error}", code="settings_invalid", hint="correct or remove the file") from error
    names = {field.name for field in msgspec.structs.fields(Settings)} - {"home"}
    values.update(_named(environ, names))
    if "otlp" not in values and environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        values["otlp"] = environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    values.update({name: value for name, value in flags.items() if value is not None})
    values["home"] = str(home)
    for name in ("callback_hosts", "page_origins"):
        listed = values.get(name)
        if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
            values[name] = ", ".join(listed)
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise Invalid(
            f"settings: {_said(error)}",
            code="settings_invalid",
            hint=f"see {file} and the FAIRLEAD_ variables",
            problems=(Problem(path=str(file), rule="settings", message=str(error)),),
        ) from error


def _said(error: msgspec.ValidationError) -> str:
    """Return what is wrong, the name of the setting first."""
    said, _, name = str(error).partition(" - at `$.")
    return f"{name.removesuffix('`')}: {said}" if name else said


def options(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return what the home in ``flags`` shall remember: what flags and ``FAIRLEAD_*`` say, else what it was told last.

    ``insecure`` was said of the addresses of then: with another one it must be said anew.
    """
    home = Home(Path(flags.get("home") or default_home(environ)).expanduser().absolute())
    said = _named(environ, REMEMBERED) | {name: flags[name] for name in REMEMBERED if flags.get(name) is not None}
    said.update({name: str(Path(said[name]).expanduser().absolute()) for name in ("cert", "key") if said.get(name)})
    last = _last_options(home)
    if any(said.get(name, last.get(name)) != last.get(name) for name in ("listen", "devices")):
        last.pop("insecure", None)
    return last | said


def _named(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, Any]:
    return {name: environ[key] for name in names if (key := f"FAIRLEAD_{name.upper()}") in environ}


def _last_options(home: Home) -> dict[str, Any]:
    """Return what the last ``up`` of ``home`` was told; nothing when there was none, or it is not ours to read."""
    try:
        kept = msgspec.json.decode(home.options.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, NotADirectoryError, PermissionError, msgspec.DecodeError):
        return {}
    return {name: value for name, value in kept.items() if name in REMEMBERED}


def redacted(settings: Settings) -> dict[str, Any]:
    """Return the settings as they may be shown: passwords in URLs replaced by ``***``."""
    shown = {field.name: getattr(settings, field.name) for field in msgspec.structs.fields(settings)}
    for name in ("store", "bucket", "mail", "otlp"):
        if shown[name]:
            shown[name] = _without_password(shown[name])
    return {name: str(value) if isinstance(value, Path) else value for name, value in shown.items()}


def to_text(settings: Settings) -> str:
    """Return the settings as JSON, for a process that the keeper starts (``FAIRLEAD_SETTINGS``)."""
    return msgspec.json.encode(settings, enc_hook=str).decode()


def from_text(text: str) -> Settings:
    """Return the settings in ``text``."""
    return msgspec.json.decode(text, type=Settings, dec_hook=lambda kind, value: kind(value))


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{mark}{user}{':***' if colon else ''}{at}{place}"
