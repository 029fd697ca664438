"""What the programs that make an environment may reach: the package index, their cache, and the new environment.

Wheels are only unpacked, and compiled without the environment's own start-up files, so nothing of them runs. Where
source builds are allowed, their code does: then the cache is one of their own, so that none changes what others get.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fairlead.environments.base import Base
from fairlead.sandbox import rules
from fairlead.sandbox.level import Level
from fairlead.sandbox.rules import Rules

SCRATCH = ".build"
"""In the unfinished environment: what is gone when it is finished."""
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT")
_FILES = (*_CERTIFICATES, "UV_CONFIG_FILE", "NETRC", "UV_CREDENTIALS_DIR")
_PLACES = ("UV_FIND_LINKS", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONSTRAINT")
"""Variables whose values may be, or hold, paths."""
_OF_HOME = (".netrc", ".config/uv", ".local/share/uv/credentials")
_TOOLS = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/include", "/usr/local/include", "/usr/libexec", "/usr/share")
"""What compilers are made of."""


def cache(folder: Path, environ: Mapping[str, str], *, alone: bool) -> Path:
    """Return the folder of uv's cache for the unfinished environment ``folder``; ``alone``: nobody else's."""
    if alone:
        return folder / SCRATCH / "cache"
    if environ.get("UV_CACHE_DIR"):
        return Path(environ["UV_CACHE_DIR"]).absolute()
    return Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/", ".cache")).absolute() / "uv"


def fenced(
    argv: Sequence[str],
    folder: Path,
    python: Base,
    environ: Mapping[str, str],
    level: Level,
    *,
    reads: Sequence[Path] = (),
    alone: bool,
) -> Rules:
    """Return the rules for ``argv``, run to make the environment ``folder`` on ``python`` with uv's ``environ``.

    ``level`` is this machine's; ``alone``: it may run what it finds, and shares no cache with others. It stays the
    platform's user: a cache that several builds share has one owner.
    """
    kept = cache(folder, environ, alone=alone)
    scratch = folder / SCRATCH
    prefix = Path(python.python).parent.parent
    home = Path(environ.get("HOME") or "/")
    named = [environ[name] for name in _FILES if environ.get(name)]
    return Rules(
        argv=tuple(argv),
        env={**environ, "UV_CACHE_DIR": str(kept), "TMPDIR": str(scratch)},
        cwd=str(folder),
        level=Level.LANDLOCK if level.rank >= Level.LANDLOCK.rank else level,
        read=(
            *map(str, reads),
            *rules.FACTS,
            *rules.NAMES,
            "/etc/uv",
            *(str(home / name) for name in _OF_HOME),
            *named,
            *_paths(environ),
        ),
        execute=(argv[0], python.python, str(prefix), *rules.CODE, *((*_TOOLS, *_own(folder, kept)) if alone else ())),
        write=_own(folder, kept),
        outbound=True,
    )


def _own(folder: Path, kept: Path) -> tuple[str, ...]:
    return str(folder), str(kept)


def _paths(environ: Mapping[str, str]) -> list[str]:
    """Return the paths in variables that may also hold addresses: ``/wheels``, ``file:///simple``, ``name=file://…``."""
    words = [word for name in _PLACES for word in re.split(r"[,\s]+", environ.get(name, ""))]
    found = (re.sub(r"^([\w-]+=)?file://(localhost)?", "", word) for word in words)
    return [os.path.realpath(word) for word in found if word.startswith("/")]
