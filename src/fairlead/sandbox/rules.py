"""What one bundle's process may do, as a value; :mod:`fairlead.sandbox.run` enforces it. Pure but for the lists of
the machine's own files in :func:`system`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from fairlead.sandbox.level import Isolation, Level

VARIABLE = "FAIRLEAD_RULES"
"""Environment variable that carries the rules, as JSON, to ``python -m fairlead.sandbox.run``."""


CODE = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64")
_PROGRAMS = ("/usr/bin", "/bin", "/usr/local/bin")
FACTS = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/usr/share/zoneinfo",
    "/usr/share/mime",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/self",
)
NAMES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
_GPU_READ = ("/sys/class/drm", "/sys/devices/pci0000:00", "/sys/module/nvidia", "/proc/driver/nvidia", "/sys/bus/pci")
_GPU_DEVICES = (
    *("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/nvidia-caps"),
    *(f"/dev/nvidia{index}" for index in range(16)),
    *("/dev/dri", "/dev/kfd"),
)


class Limits(msgspec.Struct, frozen=True):
    """Resource limits of each process, see setrlimit(2); 0 leaves what is inherited."""

    open_files: int = 8192
    processes: int = 512
    """Processes and threads of the user id; only with one of its own, else it would count the platform's too."""
    file_bytes: int = 16 * 1024**3
    """Largest file it may write."""
    data_bytes: int = 0
    """Private writable memory. A guard against runaway allocation: address space would break numpy's reservations."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """All that the sandbox lets a process do."""

    argv: tuple[str, ...] = ()
    """Program to run, first its absolute path."""
    env: dict[str, str] = {}
    """Its whole environment."""
    cwd: str = "/"
    level: Level = Level.NONE
    """It is not started where less than this can be had; files and system calls are fenced from ``landlock`` on."""
    view: bool = False
    """Give it a file tree, a network and a ``/proc`` of its own (namespaces)."""
    read: tuple[str, ...] = ()
    """Files and folders it may read. Paths that are not there are passed over."""
    execute: tuple[str, ...] = ()
    """Folders it may read and execute from."""
    write: tuple[str, ...] = ()
    """Files and folders it may read and write, never execute."""
    plain: tuple[str, ...] = ()
    """Folders like those, but no link and no FIFO can be made in them: the platform itself looks there."""
    devices: tuple[str, ...] = _DEVICES
    """Device files it may read, write and ioctl."""
    uid: int | None = None
    """User and group id; ``None`` keeps the platform's."""
    outbound: bool = False
    """May use the network."""
    unix_connect: bool = False
    """May connect to Unix sockets that it can see: apps, for ``FAIRLEAD_SOCKET``."""
    listen_port: int = 0
    """TCP port on which it may listen, 0 for none: apps' pages. It needs Landlock's ABI 4."""
    limits: Limits = Limits()


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What every process of one bundle's version stands on."""

    environment: str
    """Its virtual environment."""
    base: tuple[str, ...]
    """Folders of the Python that the environment points to, and of our own package when that lies elsewhere."""
    bundle: str
    """The unpacked bundle, read-only."""
    scratch: str
    """Private and writable; HOME and TMPDIR."""
    env: Mapping[str, str] = {}
    """The bundle's own variables, secrets included."""
    marker: Mapping[str, str] = {}
    """The platform's variables; they win."""
    memory_mb: int = 512
    disk_mb: int = 0
    """Largest file that it writes; 0: as large as any may be."""
    outbound: bool = False
    gpu: bool = False


def for_replica(
    ground: Ground, argv: Sequence[str], isolation: Isolation, *, uid: int | None, sockets: str, logs: str
) -> Rules:
    """Rules of a zygote and its replicas; ``sockets`` and ``logs`` are folders that they write."""
    return _rules(ground, argv, isolation, uid, write=(ground.scratch,), plain=(sockets, logs), cwd=ground.bundle)


def for_app(
    ground: Ground, argv: Sequence[str], isolation: Isolation, *, uid: int | None, channel: str, port: int = 0
) -> Rules:
    """Rules of a process of an app; ``channel`` is the folder of ``FAIRLEAD_SOCKET``, ``port`` that of its page.

    Programs of any language may be run, so the system's own are there to execute.
    """
    rules = _rules(ground, argv, isolation, uid, write=(ground.scratch,), plain=(channel,), cwd=ground.bundle)
    return msgspec.structs.replace(
        rules,
        execute=(*rules.execute, ground.bundle, *_PROGRAMS),
        unix_connect=True,
        listen_port=port,
    )


def for_inspect(ground: Ground, argv: Sequence[str], isolation: Isolation, *, uid: int | None, out: str = "") -> Rules:
    """Rules of a look into a bundle: as a replica's, without network whatever it asks for; ``out`` takes the result."""
    rules = _rules(ground, argv, isolation, uid, write=tuple(filter(None, (ground.scratch, out))), cwd=ground.bundle)
    return msgspec.structs.replace(rules, outbound=False)


def environment(ground: Ground) -> dict[str, str]:
    """Return the variables of a bundle's process: ours for every one, then the bundle's, then the platform's."""
    scratch = ground.scratch
    return {
        "PATH": f"{ground.environment}/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": ground.environment,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # the environment is read-only
        "PYTHONNOUSERSITE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HOME": scratch,
        "TMPDIR": scratch,
        "USER": "bundle",
        "LOGNAME": "bundle",
        "XDG_CACHE_HOME": f"{scratch}/.cache",
        "MPLCONFIGDIR": f"{scratch}/.cache/matplotlib",
        "NUMBA_CACHE_DIR": f"{scratch}/.cache/numba",
        "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime opens an event store at import otherwise
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        **ground.env,
        **ground.marker,
    }


def _rules(
    ground: Ground,
    argv: Sequence[str],
    isolation: Isolation,
    uid: int | None,
    *,
    write: tuple[str, ...],
    plain: tuple[str, ...] = (),
    cwd: str,
) -> Rules:
    return Rules(
        argv=tuple(argv),
        env=environment(ground),
        cwd=cwd,
        level=_level(isolation, uid),
        view=isolation.view,
        read=(ground.bundle, *FACTS, *(NAMES if ground.outbound else ()), *(_GPU_READ if ground.gpu else ())),
        execute=(ground.environment, *ground.base, *CODE),
        write=write,
        plain=plain,
        devices=(*_DEVICES, *(_GPU_DEVICES if ground.gpu else ())),
        uid=uid if isolation.own_uid else None,
        outbound=ground.outbound,
        limits=Limits(
            data_bytes=0 if ground.gpu else ground.memory_mb * 4 * 1024**2 + 2 * 1024**3,
            file_bytes=ground.disk_mb * 1024**2 or Limits().file_bytes,
        ),
    )


def _level(isolation: Isolation, uid: int | None) -> Level:
    """What must hold: as much as this machine has, less the user id where none was given."""
    if isolation.level is Level.FULL and uid is None:
        return Level.LANDLOCK
    return isolation.level
