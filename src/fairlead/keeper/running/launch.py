"""From a wanted run to the programs to start: which processes, under which rules, with which variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fairlead.errors import Invalid
from fairlead.messages import RunWanted
from fairlead.sandbox import rules
from fairlead.sandbox.ground import base_of
from fairlead.sandbox.level import Isolation
from fairlead.settings import Home
from fairlead.supervisor import Program

KIND = "run"
"""Label ``kind`` of the records of these processes."""
MAIN = "app"
"""Name of the one process of an app with an ``entry``."""
WEB = "web"
"""Name of the process that gets ``PORT``."""
_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the things of one run lie."""

    folder: Path
    """Sockets; the run may look, not write."""
    socket: Path
    """``FAIRLEAD_SOCKET``."""
    page_folder: Path
    """The run's own."""
    page: Path
    """``FAIRLEAD_PAGE``."""
    scratch: Path
    """The run's own: HOME and TMPDIR."""
    log: Path


def paths_of(home: Home, run: str) -> Paths:
    """Return the paths of a run: the same each time, so that a new keeper finds them."""
    folder = home.run / run
    return Paths(
        folder=folder,
        socket=folder / "run.sock",
        page_folder=folder / "page",
        page=folder / "page" / "p.sock",
        scratch=home.scratch / run,
        log=home.logs / f"{run}.log",
    )


def has_page_socket(run: RunWanted) -> bool:
    """Whether the run's page is an SDK app's, on a Unix socket."""
    return run.entry is not None and run.web is not None


def needs_port(run: RunWanted) -> bool:
    """Whether the run's page is a program's, on a TCP port."""
    return run.entry is None and WEB in run.processes


def commands(run: RunWanted, folder: Path, environment: Path) -> dict[str, tuple[str, ...]]:
    """Return by name what to run; raises :class:`Invalid` for a program that is not there."""
    if run.entry is not None:
        return {MAIN: (str(environment / "bin" / "python"), "-P", "-m", "fairlead.sdk.run", run.entry)}
    return {name: (_find(argv[0], folder, environment), *argv[1:]) for name, argv in run.processes.items()}


def program(
    run: RunWanted,
    process: str,
    argv: tuple[str, ...],
    paths: Paths,
    *,
    folder: Path,
    environment: Path,
    isolation: Isolation,
    uid: int | None,
    port: int,
    marker: Mapping[str, str],
    secrets: Mapping[str, str],
    disk_mb: int = 0,
) -> Program:
    """Return how to start one process of ``run`` in its sandbox."""
    own = {"FAIRLEAD_RUN": run.run, "FAIRLEAD_SOCKET": str(paths.socket), "TZ": "UTC"}
    if has_page_socket(run):
        own["FAIRLEAD_PAGE"] = str(paths.page)
    takes_port = process == WEB and port > 0
    if takes_port:
        own["PORT"] = str(port)
        own["HOST"] = "127.0.0.1"
    ground = rules.Ground(
        environment=str(environment),
        base=base_of(environment),
        bundle=str(folder),
        scratch=str(paths.scratch),
        env={**run.env, **secrets},
        marker={**marker, **own},
        memory_mb=run.memory_mb,
        disk_mb=disk_mb,
        outbound=run.outbound,
    )
    made = rules.for_app(ground, argv, isolation, uid=uid, channel=str(paths.folder), port=port if takes_port else 0)
    return Program(
        name=f"{run.run}.{process}",
        argv=(sys.executable, "-P", "-m", "fairlead.sandbox.run"),
        env={"PATH": os.defpath, **marker, rules.VARIABLE: msgspec.json.encode(made).decode()},
        log=paths.log,
        digest=run.digest,
        sockets={"channel": str(paths.socket)},
    )


def _find(name: str, folder: Path, environment: Path) -> str:
    """Return the absolute path of a program: in the bundle, its environment, or the system."""
    if "/" in name:
        candidates = [Path(name) if name.startswith("/") else folder / name]
    else:
        candidates = [environment / "bin" / name, *(Path(place) / name for place in _PATH)]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise Invalid(
        f"there is no program {name}",
        code="program_missing",
        hint="add what brings it to [run] requires, or name a file of the bundle that may be executed",
    )
