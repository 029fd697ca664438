"""Which folders an environment's Python needs besides its own."""

from __future__ import annotations

import os
from pathlib import Path

_LINKS_FOLLOWED = 40
_SYSTEM = ("/", "/usr", "/usr/local")
"""Prefixes of a system's Python: their lib folders are granted anyway, the rest is not needed."""


def base_of(environment: Path) -> tuple[str, ...]:
    """Return what a virtual environment stands on: its base Python, and our package where it is not installed in it."""
    found: list[str] = []
    for name in ("python", "python3"):
        program = environment / "bin" / name
        if program.exists():
            real = program.resolve()
            found += [*_links(program), str(real)]
            if str(real.parent.parent) not in _SYSTEM:
                found.append(str(real.parent.parent))
            break
    found += _configured(environment / "pyvenv.cfg")
    package = Path(__file__).resolve().parents[2]
    if package.name not in ("site-packages", "dist-packages"):  # a checkout, which environments refer to by path
        found.append(str(package))
    return tuple(dict.fromkeys(found))


def _links(program: Path) -> list[str]:
    """Return every path that the symbolic link ``program`` leads over: a file tree of its own must show them all."""
    found: list[str] = []
    path = program
    while path.is_symlink() and len(found) < _LINKS_FOLLOWED:
        path = Path(os.path.normpath(path.parent / os.readlink(path)))
        found.append(str(path))
    return found


def _configured(file: Path) -> list[str]:
    """Return the prefix that ``home`` in ``pyvenv.cfg`` names (PEP 405)."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    pairs = (line.partition("=") for line in text.splitlines())
    homes = [value.strip() for key, _, value in pairs if key.strip() == "home"]
    return [str(prefix) for home in homes if str(prefix := Path(home).parent) not in _SYSTEM]
