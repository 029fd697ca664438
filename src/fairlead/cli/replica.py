"""One replica as a child of the command line: the same model server that the platform runs, without a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fairlead.cli import terminal
from fairlead.errors import Error, Invalid, Unavailable
from fairlead.messages import Beat, Fork, FromReplica, ModelSpec, read_frame
from fairlead.status import ReplicaStatus

GRACE_S = 5.0
_LOOK_S = 0.02


class _Line(msgspec.Struct):
    said: str
    level: str = ""
    name: str = ""
    traceback: str = ""


class Replica:
    """A replica that runs."""

    def __init__(self, spec: ModelSpec, socket: Path, process: asyncio.subprocess.Process) -> None:
        self.spec, self.socket, self._process = spec, socket, process
        self.listening = asyncio.create_task(listen(process), name="log")

    @property
    def ended(self) -> str:
        """How its process ended by itself, nothing while it lives."""
        code = self._process.returncode
        return "" if code is None else how(code)

    async def stop(self) -> None:
        """Have it answer what it has in hand, within ``GRACE_S``, and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(GRACE_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        await self.listening


async def start(
    spec: ModelSpec, folder: Path, python: str, sockets: Path, secrets: Mapping[str, str] | None = None
) -> Replica:
    """Return a replica of the bundle ``folder`` once it is ready; raises :class:`Error` with why it is not."""
    sockets.mkdir()
    (sockets / "tmp").mkdir()
    serve, keep = sockets / "s", sockets / "k"
    fork = Fork(f"{spec.name}-here", spec, "", str(folder), str(sockets / "tmp"), str(serve), str(keep))
    variables = {
        **os.environ,
        **(secrets or {}),
        "FAIRLEAD_FORK": msgspec.json.encode(fork).decode(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(python, "-P", "-m", "fairlead.modelserver"),
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is ours: it drains first
    )
    made = Replica(spec, serve, process)
    try:
        async with asyncio.timeout(spec.start_timeout_s):
            await _ready(process, keep)
    except TimeoutError as error:
        await made.stop()
        hint = "does an import or load() wait for something? start_timeout_s below [run] gives it longer"
        raise Unavailable(
            f"it was not loaded within {spec.start_timeout_s:g} s", code="start_timeout", hint=hint
        ) from error
    except BaseException:  # canceled too: nobody else would stop it
        await made.stop()
        raise
    return made


async def _ready(process: asyncio.subprocess.Process, keep: Path) -> None:
    """Return once the replica says that it is ready; raises what it says instead."""
    while process.returncode is None:
        try:
            reader, writer = await asyncio.open_unix_connection(str(keep))
        except OSError:  # it does not listen yet
            await asyncio.sleep(_LOOK_S)
            continue
        try:
            while True:
                beat = msgspec.msgpack.decode(await read_frame(reader), type=FromReplica)
                if isinstance(beat, Beat) and beat.error is not None:
                    raise _failure(beat)
                if isinstance(beat, Beat) and beat.status is ReplicaStatus.READY:
                    return
        except (EOFError, ConnectionError):
            break
        finally:
            writer.close()
    code = await process.wait()
    raise Invalid(f"it ended while it was loaded: {how(code)}", code="ended_at_load", hint="its last lines are above")


def how(code: int) -> str:
    """Return in words how a process ended."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _failure(beat: Beat) -> Error:
    assert beat.error is not None
    hint = beat.error.hint if beat.error.code != "load_failed" else "the lines above tell where"
    return Invalid(beat.error.message, code=beat.error.code, hint=hint, problems=beat.error.problems)


async def listen(process: asyncio.subprocess.Process, prefix: str = "") -> None:
    """Print what the process says as it comes, its failures with their tracebacks."""
    assert process.stdout is not None
    rest = b""
    while block := await process.stdout.read(64 * 1024):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            _show(line, prefix)
    if rest:
        _show(rest, prefix)


def _show(raw: bytes, prefix: str) -> None:
    try:
        line = msgspec.json.decode(raw, type=_Line)
    except msgspec.DecodeError:
        terminal.note(f"{f'{prefix}| ' if prefix else ''}{raw.decode('utf-8', 'replace')}")
        return
    if line.name == "model" and line.said == "started":
        return
    level = "" if line.level in ("", "info") else f"{line.level}: "
    terminal.note(f"{prefix}| {level}{line.said}")
    for one in line.traceback.splitlines():
        terminal.note(f"{prefix}|   {one}")
