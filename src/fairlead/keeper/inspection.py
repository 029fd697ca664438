"""Does the look into a bundle: in its own environment and sandbox, never in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fairlead.messages import ErrorInfo, ModelSpec
from fairlead.sandbox import rules
from fairlead.sandbox.ground import base_of
from fairlead.sandbox.level import Isolation
from fairlead.sandbox.uids import uid_for
from fairlead.settings import Home

LIMIT_S = 120.0
"""Longest look into an app; a model says itself how long it may take to load."""
SAID_MAX_BYTES = 16 * 1024**2
_LINES = 20


class Looked(Protocol):
    """What must be known of a bundle to look into it."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def spec(self) -> ModelSpec | None: ...
    @property
    def entry(self) -> str | None: ...
    @property
    def memory_mb(self) -> int: ...


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a look into a bundle found; the shape of the line that ``modelserver.inspect`` prints."""

    ok: bool = True
    signature: dict[str, Any] | None = None
    preload: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    last_lines: tuple[str, ...] = ()


class Inspector:
    """Looks into bundles, each under the user of its own that its replicas will have."""

    def __init__(self, home: Home, isolation: Isolation, marker: Mapping[str, str]) -> None:
        self._home, self._isolation, self._marker = home, isolation, marker

    async def look(self, task: Looked, folder: Path, environment: Path) -> Inspection:
        """Return what is in the bundle; a bundle that hangs, dies or says nothing is an error in it, not here."""
        scratch = self._home.scratch / f"look-{task.digest.rpartition(':')[2][:12]}"
        uid = uid_for(task.digest, self._home.keeper / "uids.json") if self._isolation.own_uid else None
        try:
            _make_scratch(scratch, uid)
            limit_s = task.spec.start_timeout_s if task.spec else LIMIT_S
            return await self._run(self._rules(task, folder, environment, scratch, uid), limit_s)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    def _rules(self, task: Looked, folder: Path, environment: Path, scratch: Path, uid: int | None) -> rules.Rules:
        order = {"kind": task.kind, "folder": str(folder), "spec": task.spec, "entry": task.entry}
        ground = rules.Ground(
            environment=str(environment),
            base=base_of(environment),
            bundle=str(folder),
            scratch=str(scratch),
            env=task.spec.env if task.spec else {},
            marker={**self._marker, "FAIRLEAD_INSPECT": msgspec.json.encode(order).decode()},
            memory_mb=task.memory_mb,
        )
        argv = (str(environment / "bin" / "python"), "-P", "-m", "fairlead.modelserver.inspect")
        return rules.for_inspect(ground, argv, self._isolation, uid=uid)

    async def _run(self, made: rules.Rules, limit_s: float) -> Inspection:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "fairlead.sandbox.run"),
            env={**os.environ, **self._marker, rules.VARIABLE: msgspec.json.encode(made).decode()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        output = bytearray()
        try:
            async with asyncio.timeout(limit_s):
                await _listen(process, output)
        except TimeoutError:
            return _too_slow(bytes(output), limit_s)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return read(bytes(output), process.returncode or 0)


def read(output: bytes, code: int) -> Inspection:
    """Return the result that stands in the last line of ``output``. Pure."""
    lines = output.decode("utf-8", errors="replace").splitlines()
    said = tuple(lines[:-1][-_LINES:])
    try:
        found = msgspec.json.decode(lines[-1] if lines else "", type=Inspection)
    except msgspec.DecodeError:
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        failed = _failed("inspect_failed", f"it ended while it was looked into: {how}", "see the last lines it said")
        return msgspec.structs.replace(failed, last_lines=tuple(lines[-_LINES:]))
    return msgspec.structs.replace(found, last_lines=said)


async def _listen(process: asyncio.subprocess.Process, output: bytearray) -> None:
    """Append what the process says to ``output`` until it ends; of very much, the last."""
    assert process.stdout is not None
    while block := await process.stdout.read(64 * 1024):
        output += block
        if len(output) > SAID_MAX_BYTES:
            del output[: len(output) - SAID_MAX_BYTES]
    await process.wait()


def _too_slow(output: bytes, limit_s: float) -> Inspection:
    message = f"it was not loaded within {limit_s:g} s"
    hint = "does an import or load() wait for something? start_timeout_s below [run] gives it longer"
    said = tuple(output.decode("utf-8", errors="replace").splitlines()[-_LINES:])
    return msgspec.structs.replace(_failed("start_timeout", message, hint), last_lines=said)


def _failed(code: str, message: str, hint: str) -> Inspection:
    return Inspection(ok=False, error=ErrorInfo(code=code, message=message, hint=hint))


def _make_scratch(folder: Path, uid: int | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uid is not None:
        os.chown(folder, uid, uid)
