"""What a replica writes to its log: a JSON object with a time for each line that the model says, and its failures.

A model that fails all the time must not fill the disk: after a few, failures are written at a steady pace, and those
left out are counted.
"""

from __future__ import annotations

import faulthandler
import io
import json
import logging
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from fairlead.errors import Error, Kind
from fairlead.ids import trace_id
from fairlead.log import JsonFormatter
from fairlead.modelserver.calls import Call
from fairlead.sdk.traces import trace

_LINE_MAX = 16_000
_BURST = 20
_PER_S = 2.0
_QUIET_S = 5.0
"""How long after the last one that was written the count of those left out is."""
_log = logging.getLogger("model")


class Stamped(io.TextIOBase):
    """A text stream that writes each line as ``{"at", "said"}`` to a descriptor. Any thread may write."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._rest = ""
        self.buffer = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - as long as the process

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            if len(self._rest) > _LINE_MAX:
                lines, self._rest = [*lines, self._rest], ""
            self._say(lines)
        return len(text)

    def flush(self) -> None:
        """Write what has no end of line yet; of a line that is drawn again and again (a progress bar) only the last."""
        with self._lock:
            if self._rest and "\r" not in self._rest:
                self._say([self._rest])
                self._rest = ""

    def finish(self) -> None:
        """Write all that is left."""
        with self._lock:
            if self._rest:
                self._say([self._rest])
            self._rest = ""

    def _say(self, lines: list[str]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = [line.rstrip("\r").rpartition("\r")[2][:_LINE_MAX] for line in lines]
        data = "".join(json.dumps({"at": at, "said": line}, ensure_ascii=False) + "\n" for line in said if line)
        view = memoryview(data.encode("utf-8", "replace"))
        while view:
            view = view[os.write(self._descriptor, view) :]


def begin(name: str) -> None:
    """Have all that this process says be lines with a time: prints, logging, and where it was when it crashed."""
    sys.stdout, sys.stderr = Stamped(1), Stamped(2)
    handler = logging.StreamHandler(os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace"))
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    faulthandler.enable(file=2, all_threads=False)
    _log.info("started", extra={"replica": name, "pid": os.getpid()})


def end() -> None:
    """Write what lines without an end are left."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stamped):
            stream.finish()


class Failures:
    """Writes the failures of a model's code, each with its traceback and the id of its request. Any thread may.

    ``log``: how its log is called; empty: it is served without the platform, where a person sees what it writes.
    """

    def __init__(self, folder: str, log: str) -> None:
        self._folder, self._name = Path(folder), log
        self._lock = threading.Lock()
        self._allowed = float(_BURST)
        self._at = time.monotonic()
        self._left_out = 0

    def note(self, call: Call, error: BaseException) -> None:
        """Write ``error`` if it is the model's own fault and there were not too many; its hint tells where."""
        if not isinstance(error, Error) or error.kind is not Kind.INTERNAL:
            return
        now = time.monotonic()
        with self._lock:
            self._allowed = min(float(_BURST), self._allowed + (now - self._at) * _PER_S)
            self._at = now
            if self._allowed < 1:
                self._left_out += 1
                return
            self._allowed -= 1
            left_out, self._left_out = self._left_out, 0
        self._say_left_out(left_out)
        extra: dict[str, object] = {"id": call.id}
        if call.asked_by:
            extra["request"] = call.asked_by
        if traced := trace_id(call.trace):
            extra["trace"] = traced
        if error.__cause__ is not None:
            extra["traceback"] = trace(error.__cause__, self._folder)
            error.hint = (
                f"its traceback: fairlead logs {self._name} --grep {call.id}"
                if self._name
                else "its traceback is in the terminal of fairlead serve"
            )
        _log.error("%s: %s", call.endpoint.lstrip(":"), error.message, extra=extra)

    def tick(self, now: float) -> None:
        """Write how many failures were left out, once it has been quiet; to be called now and then."""
        if not self._left_out or now - self._at < _QUIET_S:
            return
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        self._say_left_out(left_out)

    def _say_left_out(self, count: int) -> None:
        if count:
            _log.error("%d more failures, not written one by one", count, extra={"left_out": count})
