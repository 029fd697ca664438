"""What an environment is made of, how uv is asked for it, and what its refusals mean. Decides; touches nothing."""

from __future__ import annotations

import json
import re
import sysconfig
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from fairlead.environments.base import choose
from fairlead.environments.own import pins, source_digest
from fairlead.errors import Error, Invalid, Problem, Unavailable
from fairlead.messages import EnvironmentSpec

FORMAT = 1
"""Grows when environments are built differently."""
_SAID_MAX = 1500
_PIP_WORDS = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CLIENT_CERT": "SSL_CLIENT_CERT",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
    "PIP_RETRIES": "UV_HTTP_RETRIES",
    "PIP_CONSTRAINT": "UV_CONSTRAINT",
    "PIP_PROXY": "ALL_PROXY",
}
_OLDER = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""What uv called it before: set by the administrator, it stays."""
_PASSED = re.compile(
    r"UV_.*|SSL_.*|NETRC|HOME|PATH|LANG|LC_.*|TZ|XDG_.*|(ALL|HTTP|HTTPS|NO|FTP)_PROXY"
    r"|CC|CXX|(C|CXX|CPP|LD)FLAGS|CMAKE_.*|PKG_CONFIG.*|CARGO_.*|RUSTUP_.*|MAX_JOBS",
    re.IGNORECASE,
)
"""All others stay here: a build that is allowed could read the platform's passwords in them."""
_SOURCE = re.compile(r"no usable wheels|no wheels|building from source is disabled|--no-build|no-binary", re.IGNORECASE)
_BUILD = re.compile(r"failed to build|build backend|failed to prepare distributions", re.IGNORECASE)
_OFFLINE = re.compile(
    r"dns error|error sending request|connection (refused|reset)|could not connect"
    r"|network (connectivity|is unreachable)|timed out|client error|failed to fetch|offline",
    re.IGNORECASE,
)
_DECORATION = re.compile(r"[│├╰─▶×╭]+|\x1b\[[0-9;]*m")


def key(spec: EnvironmentSpec) -> str:
    """Return the digest of all that an environment of ``spec`` is made of here: 32 hexadecimal digits."""
    python = choose(spec.python)
    parts = {
        "format": FORMAT,
        "requires": sorted(" ".join(line.split()) for line in spec.requires),
        "python": [python.python, python.version] if python else [spec.python],
        "platform": sysconfig.get_platform(),
        "fairlead": source_digest(),
        "pins": pins(),
    }
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def environ(current: Mapping[str, str]) -> dict[str, str]:
    """Return the variables uv runs with: ``UV_*`` as they are, ``PIP_*`` in uv's words where those are not set."""
    found = {name: value for name, value in current.items() if _PASSED.fullmatch(name)}
    for theirs, ours in _PIP_WORDS.items():
        if current.get(theirs) and not current.get(_OLDER.get(ours, "")):
            found.setdefault(ours, current[theirs])
    if current.get("PIP_FIND_LINKS"):  # pip splits at blanks, uv at commas
        found.setdefault("UV_FIND_LINKS", ",".join(current["PIP_FIND_LINKS"].split()))
    return {**found, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def install(
    uv: str,
    folder: Path,
    *,
    requires: Path,
    constraints: Path | None,
    source_builds: bool,
    no_index: bool,
    wheels: Path | None = None,
) -> list[str]:
    """Return the command that installs the file ``requires`` into the environment ``folder``.

    ``wheels``: a folder to look into first.
    """
    command = [uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--strict"]
    command += [] if source_builds else ["--only-binary", ":all:"]
    command += ["--no-index"] if no_index else []
    command += ["--find-links", str(wheels)] if wheels else []
    command += ["--constraints", str(constraints)] if constraints else []
    return [*command, "--requirements", str(requires)]


def is_clash(said: str) -> bool:
    """Whether uv found no set of versions that fits together."""
    return "No solution found" in said


def refusal(said: str, spec: EnvironmentSpec, python: str, hidden: Sequence[str]) -> Error:
    """Return the error for what uv said (its stderr) of ``spec`` on ``python``; paths in ``hidden`` are left out."""
    text = _plain(said, hidden)
    problems = tuple(
        Problem("run.requires", "environment", f"{line}: {text}") for line in spec.requires if _names(text, line)
    )
    message = f"the environment cannot be built: {text}"
    if "No space left" in text:
        hint = "make room on the disk of the platform's home"
        return Unavailable(message, code="environment_failed", hint=hint, retry_after_s=60)
    if _SOURCE.search(text):
        hint = f"choose a version with a wheel for Python {python}, or have the platform allow source_builds"
        return Invalid(message, code="environment_failed", hint=hint, problems=problems)
    if _BUILD.search(text):
        hint = f"choose a version with a wheel for Python {python}, or have what it is built with on the machine"
        return Invalid(message, code="environment_failed", hint=hint, problems=problems)
    if _OFFLINE.search(text) and not is_clash(said):
        hint = "the package index cannot be reached; UV_DEFAULT_INDEX, UV_FIND_LINKS or PIP_INDEX_URL name another"
        return Unavailable(message, code="environment_failed", hint=hint, problems=problems, retry_after_s=30)
    if re.search(r"\bfairlead\b", text):
        hint = "the SDK that stands beside your code needs other versions; loosen the requirement that is named"
        return Invalid(message, code="environment_failed", hint=hint, problems=problems)
    if "not found in the package registry" in text or "was not found" in text:
        hint = "correct the name in run.requires, or name the index that has it in UV_INDEX on the platform's machine"
        return Invalid(message, code="environment_failed", hint=hint, problems=problems)
    return Invalid(message, code="environment_failed", hint="correct run.requires in fairlead.toml", problems=problems)


def _plain(said: str, hidden: Sequence[str]) -> str:
    """Return uv's words as one paragraph: no frames, no progress, no paths of ours."""
    lines = [line for line in said.splitlines() if not re.match(r"(Using|Creating|Activate|Resolved|Prepared) ", line)]
    text = " ".join(_DECORATION.sub(" ", " ".join(lines)).split()).removeprefix("error: ")
    text = text.replace("No solution found when resolving dependencies cause: ", "no versions fit together: ")
    for path in hidden:
        text = text.replace(path, "")
    text = re.sub(r" ?\(from file:[^)]*\)| @ file:\S+", "", text)
    return text if len(text) <= _SAID_MAX else f"{text[: _SAID_MAX - 1]}…"


def _names(text: str, requirement: str) -> bool:
    """Whether ``text`` speaks of the project that ``requirement`` asks for."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    if not match:
        return False
    name = re.sub(r"[-_.]+", "[-_.]+", re.sub(r"[-_.]+", "-", match[0]))
    return re.search(rf"(?<![A-Za-z0-9_.-]){name}(?![A-Za-z0-9_-])", text, re.IGNORECASE) is not None
