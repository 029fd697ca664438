"""Does the look into a bundle: in its own environment and sandbox, never in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from fairlead.clock import SystemClock, to_text
from fairlead.engines.launch import zygote_name
from fairlead.keeper.bundles import finding
from fairlead.keeper.bundles.finding import Inspection
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.messages import ModelSpec
from fairlead.sandbox import rules
from fairlead.sandbox.ground import base_of
from fairlead.sandbox.level import Isolation
from fairlead.sandbox.uids import uid_for
from fairlead.settings import Home
from fairlead.supervisor import leftovers, logfile

TOLD_EVERY_S = 10.0
"""So often it is told how long a bundle has been loading."""
_PLACE_BYTES = 256 * 1024
LIMIT_S = 120.0
"""Longest look into an app; a model says itself how long it may take to load."""
SAID_MAX_BYTES = 16 * 1024**2
SAID_KEPT = 12_000
"""Characters of it that are kept in the log: as long as a line of a log may be."""


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
    @property
    def secrets(self) -> Mapping[str, bytes]: ...


class Inspector:
    """Looks into bundles, each under the user of its own that its replicas will have."""

    def __init__(self, home: Home, isolation: Isolation, marker: Mapping[str, str], secrets: Secrets) -> None:
        self._home, self._isolation, self._marker, self._secrets = home, isolation, marker, secrets

    async def look(
        self, task: Looked, folder: Path, environment: Path, on_step: Callable[[str], None] | None = None
    ) -> Inspection:
        """Return what is in the bundle; a bundle that hangs, dies or says nothing is an error in it, not here.

        ``on_step`` is told now and then for how long it has been loading, and where it is.
        """
        scratch = self._home.scratch / f"look-{task.digest.rpartition(':')[2][:12]}"
        uid = None
        if self._isolation.own_uid:
            uid = await asyncio.to_thread(uid_for, task.digest, self._home.keeper / "uids.json")
        try:
            make_scratch(scratch, uid)
            limit_s = task.spec.start_timeout_s if task.spec else LIMIT_S
            so_far = bytearray()
            telling = asyncio.create_task(_tell(on_step, so_far, limit_s, str(folder)))
            try:
                made = self._rules(task, folder, environment, scratch, uid)
                output, code = await said_by(made, self._marker, limit_s, whole=True, output=so_far)
            finally:
                telling.cancel()
            found = (
                finding.too_slow(output, limit_s, str(folder))
                if code is None
                else finding.read(output, code, str(folder), task.memory_mb)
            )
            await asyncio.to_thread(keep, look_log(self._home, task.name, task.digest), output, str(folder), found)
            return found
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    def _rules(self, task: Looked, folder: Path, environment: Path, scratch: Path, uid: int | None) -> rules.Rules:
        limit_s = task.spec.start_timeout_s if task.spec else LIMIT_S
        order = {
            "kind": task.kind,
            "folder": str(folder),
            "spec": task.spec,
            "entry": task.entry,
            "limit_s": limit_s,
            "memory_mb": task.memory_mb,
        }
        ground = rules.Ground(
            environment=str(environment),
            base=base_of(environment),
            bundle=str(folder),
            scratch=str(scratch),
            env={**(task.spec.env if task.spec else {}), **self._secrets.opened(task.name, task.secrets)},
            marker={**self._marker, "FAIRLEAD_INSPECT": msgspec.json.encode(order).decode()},
            memory_mb=task.memory_mb,
        )
        argv = (str(environment / "bin" / "python"), "-P", "-m", "fairlead.modelserver.inspect")
        return rules.for_inspect(ground, argv, self._isolation, uid=uid)


async def _tell(on_step: Callable[[str], None] | None, output: bytearray, limit_s: float, folder: str) -> None:
    """Tell now and then how long it has been loading, and where it is if it says so."""
    began = time.monotonic()
    while on_step is not None:
        await asyncio.sleep(TOLD_EVERY_S)
        at = finding.place(bytes(output[-_PLACE_BYTES:]), folder)
        where = f", at {at}" if at else ""
        on_step(f"looking into it: loading for {time.monotonic() - began:.0f} s of at most {limit_s:g}{where}")


async def said_by(
    made: rules.Rules,
    marker: Mapping[str, str],
    limit_s: float,
    *,
    whole: bool = False,
    output: bytearray | None = None,
) -> tuple[bytes, int | None]:
    """Return what a program in the sandbox said and its exit code, None when it took longer than ``limit_s``.

    What it leaves behind is ended; ``whole``: and all that its user runs, where it cannot be ended alone. ``output``
    holds what it said so far.
    """
    before = await asyncio.to_thread(leftovers.of_user, made.uid)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "fairlead.sandbox.run"),
        env={**os.environ, **marker, rules.VARIABLE: msgspec.json.encode(made).decode()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output = bytearray() if output is None else output
    try:
        async with asyncio.timeout(limit_s):
            await _listen(process, output)
    except TimeoutError:
        return bytes(output), None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await asyncio.to_thread(leftovers.end, made.uid, before, whole=whole)
    return bytes(output), process.returncode or 0


def look_log(home: Home, name: str, digest: str) -> Path:
    """Where what a bundle said while it was looked into is kept. The bundle itself cannot write there."""
    return home.logs / f"{zygote_name(name, digest)}.look.log"


def keep(path: Path, output: bytes, folder: str, found: Inspection) -> None:
    """Append what the bundle said, and why it failed, to the log at ``path``: JSON lines with the time of now."""
    said = finding.told(output, folder, loaded=found.error is None)
    at = to_text(SystemClock().now())
    line = {"at": at, "level": "info", "said": "looked into it"}
    if found.error is not None:
        line |= {"level": "error", "said": f"it did not load: {found.error.message}"}
    if said:
        line["traceback"] = said[-SAID_KEPT:]
    elif found.error is None:
        return
    with os.fdopen(logfile.open_append(path), "a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


async def _listen(process: asyncio.subprocess.Process, output: bytearray) -> None:
    """Append what the process says to ``output`` until it ends; of very much, the last."""
    assert process.stdout is not None
    while block := await process.stdout.read(64 * 1024):
        output += block
        if len(output) > SAID_MAX_BYTES:
            del output[: len(output) - SAID_MAX_BYTES]
    await process.wait()


def make_scratch(folder: Path, uid: int | None) -> None:
    """Make a folder that only the bundle's user ``uid`` (None: the platform's own) can enter."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uid is not None:
        os.chown(folder, uid, uid)
