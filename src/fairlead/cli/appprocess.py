"""The processes of an app as children of the command line: as the platform starts them, without a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.cli import replica, terminal
from fairlead.keeper.programs.probe import page_answers
from fairlead.keeper.running.launch import WEB, commands, has_page_socket, needs_port
from fairlead.messages import RunWanted

GRACE_S = 15.0
"""From SIGTERM to SIGKILL; the functions of ``@stop`` have ten seconds."""
ALIVE_S = 1.0
"""A program without page or heartbeat is ready once it has lived so long."""
ANSWER_S = 5.0
_PR_SET_PDEATHSIG = 1  # see prctl(2)
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Ground:
    """Where the processes of a run are at home."""

    folder: Path
    environment: Path
    socket: Path
    page: Path
    port: int
    scratch: Path
    secrets: Mapping[str, str]


def _end_with_parent() -> None:
    """Have the kernel end this process when the command line is killed. Called between fork and exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class AppProcesses:
    """The processes of one run, from :meth:`start` to :meth:`stop`."""

    def __init__(self, run: RunWanted, ground: Ground) -> None:
        self.run, self._ground = run, ground
        self._living: dict[str, tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = {}
        self._began = 0.0

    @property
    def page(self) -> str:
        """Where the page is: a socket's path, ``host:port``, or nothing."""
        if has_page_socket(self.run):
            return str(self._ground.page)
        return f"127.0.0.1:{self._ground.port}" if needs_port(self.run) else ""

    @property
    def ended(self) -> str:
        """What ended by itself and how, nothing while all live or are done."""
        codes = {name: process.returncode for name, (process, _) in self._living.items()}
        return "; ".join(f"{name}: {replica.how(code)}" for name, code in codes.items() if code)

    @property
    def is_done(self) -> bool:
        """Whether all have ended well."""
        return bool(self._living) and all(process.returncode == 0 for process, _ in self._living.values())

    async def start(self) -> None:
        """Start all; raises :class:`Invalid` for a program that is not there."""
        self._began = asyncio.get_running_loop().time()
        for name, argv in commands(self.run, self._ground.folder, self._ground.environment).items():
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=self._ground.folder,
                env=self._variables(name),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours: it lets go of the devices first
                preexec_fn=_end_with_parent,
            )
            prefix = f"{name} " if len(self.run.processes) > 1 else ""
            self._living[name] = process, asyncio.create_task(replica.listen(process, prefix), name=f"log {name}")

    async def is_ready(self, beat: float | None) -> bool:
        """Whether the run is ready as the platform judges it: its page, else its heartbeat, else its life."""
        if self.run.web is not None and self.page:
            return await page_answers(self.page, self.run.web, ANSWER_S)
        if self.run.entry is not None:
            return beat is not None
        return asyncio.get_running_loop().time() - self._began >= ALIVE_S

    async def stop(self) -> None:
        """SIGTERM to all, SIGKILL to what is left of them and of what they started."""
        for process, _ in self._living.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        try:
            async with asyncio.timeout(GRACE_S):
                await asyncio.gather(*(process.wait() for process, _ in self._living.values()))
        except TimeoutError:
            terminal.note(f"killed: it had not ended within {GRACE_S:g} s")
        for process, _ in self._living.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await asyncio.gather(*(listening for _, listening in self._living.values()))
        self._living.clear()

    def _variables(self, name: str) -> dict[str, str]:
        ground, own = self._ground, dict(os.environ)
        own.pop("VIRTUAL_ENV", None)
        own |= {**self.run.env, **ground.secrets}
        own |= {
            "PATH": f"{ground.environment / 'bin'}:{own.get('PATH', os.defpath)}",
            "FAIRLEAD_RUN": self.run.run,
            "FAIRLEAD_SOCKET": str(ground.socket),
            "TMPDIR": str(ground.scratch),
            "TZ": "UTC",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if has_page_socket(self.run):
            own["FAIRLEAD_PAGE"] = str(ground.page)
        if name == WEB and needs_port(self.run):
            own |= {"PORT": str(ground.port), "HOST": "127.0.0.1"}
        return own
