"""Which Python an environment stands on, and whether other users of this machine can run it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from packaging.specifiers import SpecifierSet

MINORS = range(11, 16)
"""Python 3.x that Fairlead runs on."""
_FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")
_ASK = "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.implementation.name, sys.prefix == sys.base_prefix)"
_ASK_TIMEOUT_S = 20


class Base(msgspec.Struct, frozen=True):
    """A Python that environments may stand on."""

    python: str
    """Path of its program, links resolved."""
    version: str
    """``3.11.7``."""


def choose(spec: str) -> Base | None:
    """Return the Python for an environment that asks for ``spec`` (``>=3.11``), or None when this machine has none.

    The platform's own, where it fits. Run as root, bundles have users of their own, so one that these can reach goes
    first (a Python below ``/root`` cannot be reached).
    """
    wanted = SpecifierSet(spec)
    fallback = None
    for base in _known():
        if not wanted.contains(base.version, prereleases=True):
            continue
        if os.geteuid() != 0 or reachable(Path(base.python)):
            return base
        fallback = fallback or base
    return fallback


def reachable(python: Path) -> bool:
    """Whether any user of this machine may run ``python``, an environment's or a base's, with its standard library."""
    try:
        real = python.resolve(strict=True)
        library = real.parent.parent / "lib"
        stdlib = next((path for path in sorted(library.glob("python3.*")) if (path / "os.py").exists()), None)
        open_to_all = real.stat().st_mode & 0o005 == 0o005
    except OSError:
        return False
    if stdlib is None or not open_to_all:
        return False
    folders = {*python.absolute().parents, *real.parents, stdlib, *stdlib.parents}
    return all(folder.stat().st_mode & 0o001 for folder in folders)


def _known() -> Iterator[Base]:
    """Yield the Pythons of this machine: the platform's own, its like, then others from old to new."""
    own = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    yield Base(own, ".".join(map(str, sys.version_info[:3])))
    minors = sorted(MINORS, key=lambda minor: (minor != sys.version_info[1], minor))
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *_FOLDERS]
    seen = {own}
    for minor in minors:
        for folder in dict.fromkeys(folders):
            path = os.path.realpath(os.path.join(folder, f"python3.{minor}"))
            if folder and path not in seen and os.access(path, os.X_OK) and os.path.isfile(path):
                seen.add(path)
                if (version := _ask(path)) is not None:
                    yield Base(path, version)


@functools.cache
def _ask(python: str) -> str | None:
    """Return the version of ``python``, or None where it is no plain CPython."""
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-c", _ASK], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, implementation, plain = done.stdout.split()
    return version if (implementation, plain) == ("cpython", "True") else None
