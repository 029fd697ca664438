"""Tracebacks as the author of a bundle wants them: its own frames with paths relative to it, the rest kept short."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

_OURS = str(Path(__file__).resolve().parents[1]) + os.sep
_LIBRARY_FRAMES = 2
"""Frames of libraries that are kept where a row of them begins, and as many where it ends."""
_CHAIN_MAX = 5
_LINE_MAX = 500


def trace(error: BaseException, folder: Path | str, *, whole: bool = False) -> str:
    """Return the traceback of ``error`` without the platform's frames; ``whole`` keeps all those of libraries.

    Exceptions that led to it come first, as Python prints them. A syntax error names its file and line.
    """
    root = os.path.join(os.path.realpath(folder), "")
    told = traceback.TracebackException.from_exception(error)
    return "\n".join(_cut(line) for line in _chain(told, root, whole, _CHAIN_MAX))


def stack_text(lines: str, folder: Path | str) -> str:
    """Return ``lines`` of any traceback with the paths of the bundle relative to it."""
    return lines.replace(os.path.join(os.path.realpath(folder), ""), "")


def _chain(told: traceback.TracebackException, root: str, whole: bool, left: int) -> Iterator[str]:
    cause, joint = told.__cause__, "The above exception was the direct cause of the following exception:"
    if cause is None and not told.__suppress_context__:
        cause, joint = told.__context__, "During handling of the above exception, another exception occurred:"
    if cause is not None and left > 0:
        yield from _chain(cause, root, whole, left - 1)
        yield from ("", joint, "")
    frames = [frame for frame in told.stack if not frame.filename.startswith((_OURS, "<frozen importlib"))]
    first = next((index for index, frame in enumerate(frames) if frame.filename.startswith(root)), 0)
    frames = frames[first:]  # what led into the bundle is ours and the import system's
    if frames:
        yield "Traceback (most recent call last):"
        yield from _frames(frames, root, whole)
    for line in "".join(told.format_exception_only()).splitlines():
        yield stack_text(line, root)


def _frames(frames: list[traceback.FrameSummary], root: str, whole: bool) -> Iterator[str]:
    start = 0
    while start < len(frames):
        own = frames[start].filename.startswith(root)
        end = start
        while end < len(frames) and frames[end].filename.startswith(root) is own:
            end += 1
        row = frames[start:end]
        if own or whole or len(row) <= 2 * _LIBRARY_FRAMES + 1:
            yield from _formatted(row, root)
        else:
            yield from _formatted(row[:_LIBRARY_FRAMES], root)
            yield f"  … {len(row) - 2 * _LIBRARY_FRAMES} more frames of libraries"
            yield from _formatted(row[-_LIBRARY_FRAMES:], root)
        start = end


def _formatted(frames: list[traceback.FrameSummary], root: str) -> Iterator[str]:
    for text in traceback.StackSummary.from_list(frames).format():
        yield from stack_text(text, root).rstrip("\n").splitlines()


def _cut(line: str) -> str:
    return line if len(line) <= _LINE_MAX else line[: _LINE_MAX - 1] + "…"


def last_lines(error: BaseException, folder: Path | str, count: int = 20) -> tuple[str, ...]:
    """Return at most ``count`` lines of the traceback, those with the bundle's own frames and the message kept."""
    lines = trace(error, folder).splitlines()
    if len(lines) <= count:
        return tuple(lines)
    root = os.path.join(os.path.realpath(folder), "")
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)]
    message = [stack_text(line, root) for line in traceback.format_exception_only(error)][-3:]
    kept = [*_formatted(own[-5:], root), *(_cut(line.rstrip("\n")) for line in message)]
    return tuple(kept[-count:]) if own else tuple(lines[-count:])
