"""Decides what a look into a bundle found, from what its process said and how it ended. Pure."""

from __future__ import annotations

import re
import signal
from typing import Any

import msgspec

from fairlead.messages import ErrorInfo
from fairlead.supervisor import bounds

LINES = 20
PRELOAD = 500
WARNINGS = 50
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line \d+')
_DUMP = re.compile(r"^Stack \(most recent call first\):")
"""Begins what ``faulthandler`` says of where it is: now and then, and beneath one of these, when it ends."""
_END = re.compile(r"^(Fatal Python error|os\._exit\()")
_IN_DUMP = re.compile(r"^(Thread 0x|Current thread 0x|  File |  \.\.\.|  <|$)")
_OURS = re.compile(r"/fairlead/modelserver/|^<frozen ")
_BECAUSE = {
    signal.SIGKILL: ("it was killed, most likely since it took more memory than memory_mb allows", "raise memory_mb"),
    signal.SIGSEGV: ("it crashed with a segmentation fault", "native code of a library does that: try another version"),
    signal.SIGABRT: ("native code ended it with abort()", "see its last lines; a library does that when it is misused"),
    signal.SIGSYS: ("it made a system call that the sandbox does not let through", "do without it, or ask for it"),
    signal.SIGXFSZ: ("it wrote a file that is larger than it may be", "write less into TMPDIR"),
}


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a look into a bundle found; the shape of the line that ``modelserver.inspect`` prints."""

    ok: bool = True
    signature: dict[str, Any] | None = None
    preload: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    last_lines: tuple[str, ...] = ()


def read(output: bytes, code: int, folder: str, memory_mb: int) -> Inspection:
    """Return the result that stands in the last line of ``output``, else why there is none."""
    lines = output.decode("utf-8", errors="replace").splitlines()
    try:
        found = msgspec.json.decode(lines[-1] if lines else "", type=Inspection)
    except (msgspec.DecodeError, RecursionError):
        message, hint = _ended(code, memory_mb)
        return _failed("inspect_failed", f"it ended while it was loaded: {message}", hint, where(lines, folder))
    return _bounded(msgspec.structs.replace(found, last_lines=found.last_lines or where(lines[:-1], folder)))


def too_slow(output: bytes, limit_s: float, folder: str) -> Inspection:
    """Return that it was not loaded in time, with the place where it was if it could say so."""
    lines = output.decode("utf-8", errors="replace").splitlines()
    at = place(output, folder)
    message = f"it was not loaded within {limit_s:g} s" + (f": it was at {at}" if at else "")
    hint = "does an import or load() wait for something? start_timeout_s below [run] gives it longer"
    return _failed("start_timeout", message, hint, where(lines, folder, hung=True))


def place(output: bytes, folder: str) -> str:
    """Return the line of the bundle where it was when it last said so, as ``model.py line 12 in load``."""
    lines = output.decode("utf-8", errors="replace").splitlines()
    root = folder.rstrip("/") + "/"
    dump = max(_dumps(lines), default=len(lines))
    for line in lines[dump:]:
        found = _FRAME.match(line)
        if found is not None and found["file"].startswith(root):
            return f"{found['file'].removeprefix(root)} {line[found.end('file') + 3 :]}"
    return ""


def _dumps(lines: list[str]) -> set[int]:
    """Return which lines begin what was said now and then of where it is; what was said at its end is none of these."""
    found, before = set(), ""
    for index, line in enumerate(lines):
        if _DUMP.match(line) and not _END.match(before):
            found.add(index)
        before = line or before
    return found


def _without_dumps(lines: list[str], *, keep: int = 0) -> list[str]:
    """Return ``lines`` without what was said now and then of where it is, but for the last ``keep`` times."""
    kept: list[str] = []
    dumps = _dumps(lines)
    left = len(dumps) - keep
    dropping = False
    for index, line in enumerate(lines):
        if index in dumps:
            dropping, left = left > 0, left - 1
        elif dropping and not _IN_DUMP.match(line):
            dropping = False
        if not dropping:
            kept.append(line)
    return kept


def where(lines: list[str], folder: str, *, hung: bool = False) -> tuple[str, ...]:
    """Return the last of ``lines`` that a person needs: of a dump of frames, only those of the bundle itself.

    What it said now and then of where it is counts only where it ``hung``, and then the last time.
    """
    root = folder.rstrip("/") + "/"
    lines = _without_dumps(lines, keep=1 if hung else 0)
    kept = [
        line.replace(root, "") for line in lines if not (match := _FRAME.match(line)) or match["file"].startswith(root)
    ]
    return bounds.lines([line for line in kept if line.strip()], LINES)


def told(output: bytes, folder: str, *, loaded: bool = False) -> str:
    """Return all that a bundle said, without the finding and the platform's own frames, for its log.

    Of what it said now and then of where it is the last is kept, unless it was ``loaded`` in the end.
    """
    lines = output.decode("utf-8", errors="replace").splitlines()
    if lines and lines[-1].startswith('{"ok"'):
        lines.pop()
    lines = _without_dumps(lines, keep=0 if loaded else 1)
    root = folder.rstrip("/") + "/"
    frames = [(line, _FRAME.match(line)) for line in lines]
    kept = [line for line, frame in frames if frame is None or not _OURS.search(frame["file"])]
    return "\n".join(line.replace(root, "") for line in kept).strip("\n")


def _bounded(found: Inspection) -> Inspection:
    """Return ``found`` as it may travel in reports; a description that is too long is a fault of the bundle."""
    if found.signature is not None and (wrong := bounds.signature_problem(found.signature)):
        message = f"its description of inputs and outputs {wrong}"
        hint = "fewer or shorter types, titles and examples; a list of very many choices can be a text"
        return _failed("signature_too_long", message, hint, bounds.lines(found.last_lines, LINES))
    return msgspec.structs.replace(
        found,
        preload=tuple(name for name in found.preload if len(name) <= bounds.WORD)[:PRELOAD],
        warnings=tuple(bounds.text(one) for one in found.warnings[:WARNINGS]),
        error=bounds.error(found.error) if found.error else None,
        last_lines=bounds.lines(found.last_lines, LINES),
    )


def _ended(code: int, memory_mb: int) -> tuple[str, str]:
    """Return how a process ended, in words, and what to do about it."""
    number = -code if code < 0 else code - 128 if code > 128 else 0
    try:
        name = signal.Signals(number)
    except ValueError:
        return f"exit code {code}", "load() must return; what it said last is above, if it said anything"
    said, hint = _BECAUSE.get(name, (f"{name.name} ended it", "see its last lines"))
    limit = f" ({memory_mb} MB)" if name is signal.SIGKILL else ""
    return f"{said}{limit} (signal {number})", hint


def _failed(code: str, message: str, hint: str, lines: tuple[str, ...]) -> Inspection:
    return Inspection(ok=False, error=ErrorInfo(code=code, message=message, hint=hint), last_lines=lines)
