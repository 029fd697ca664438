"""Structured logs of the platform's own processes: one JSON object a line on stderr, or plain text on a terminal."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What steers a terminal, turns the direction of letters, or ends a line where only a line feed should."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """``{"at", "level", "name", "said", …extra}``; extra fields are those passed as ``extra=``.

    ``trace`` makes the text of an exception's traceback; by default it is Python's.
    """

    def __init__(self, trace: Callable[[BaseException], str] | None = None) -> None:
        super().__init__()
        self._trace = trace

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "name": record.name,
            "said": record.getMessage(),
        }
        line.update(_extra(record))
        if record.exc_info:
            error = record.exc_info[1]
            if self._trace is not None and error is not None:
                line["traceback"] = self._trace(error)
            else:
                line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """``2026-11-21 15:36:14Z  warning  message key=value``: the same for a terminal, as ``fairlead logs`` prints it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        more = [f"{key}={value}" for key, value in _extra(record).items()]
        return " ".join([f"{at}  {record.levelname.lower():7}  {record.message}", *more])


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def configure(
    level: str = "info", *, plain: bool | None = None, trace: Callable[[BaseException], str] | None = None
) -> None:
    """Send the root logger to stderr; ``plain`` defaults to whether stderr is a terminal; ``trace``: of JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    if plain if plain is not None else sys.stderr.isatty():
        handler.setFormatter(PlainFormatter())
    else:
        handler.setFormatter(JsonFormatter(trace))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "asyncio", "aiohttp.access", "nats"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Write the root logger's lines from ``info`` on to ``path`` too, as JSON; other handlers keep their level.

    The file is only appended to, so ``supervisor.logfile.rotate`` may cut it at any time.
    """
    root = logging.getLogger()
    level, others = root.level, [(handler, handler.level) for handler in root.handlers]
    handler = logging.FileHandler(path, encoding="utf-8", errors="replace")
    handler.setFormatter(JsonFormatter())
    handler.setLevel(logging.INFO)
    for other, its in others:
        other.setLevel(max(its, level))
    root.setLevel(min(level, logging.INFO))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        root.setLevel(level)
        for other, its in others:
            other.setLevel(its)
