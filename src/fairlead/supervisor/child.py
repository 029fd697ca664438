"""A process that we watch and stop, whoever started it: through a pidfd, so that a reused pid is never mistaken."""

from __future__ import annotations

import asyncio
import os
import signal

import msgspec

from fairlead.supervisor.proc import session_members

_HINTS = {
    int(signal.SIGKILL): " (out of memory, or stopped by hand)",
    int(signal.SIGSYS): " (sandbox_denied: a system call of a kind that no bundle may make)",
}
UNWATCHED = "ended while nobody watched"


class Exit(msgspec.Struct, frozen=True):
    """How a process ended."""

    code: int | None
    """Exit code, or minus the signal; ``None`` when nobody could tell."""
    reason: str


def exit_of(code: int | None) -> Exit:
    """Return ``code`` with the sentence that people read."""
    if code is None:
        return Exit(None, UNWATCHED)
    if code >= 0:
        return Exit(code, f"exit {code}")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return Exit(code, f"ended by {name}{_HINTS.get(-code, '')}")


class Child:
    """One process, ours or adopted. Close it to let go; that does not end the process."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._ended: asyncio.Future[Exit] | None = None
        self._exit: Exit | None = None

    @property
    def exit(self) -> Exit | None:
        """How it ended; ``None`` while it lives (as far as this was looked at by ``wait``)."""
        return self._exit

    async def wait(self) -> Exit:
        """Return how it ended, once it has; many may wait."""
        if self._exit is not None:
            return self._exit
        if self._ended is None:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            loop.add_reader(self._pidfd, self._on_end)
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing when it is gone."""
        if self._exit is None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    async def stop(self, grace_s: float) -> Exit:
        """SIGTERM, then after ``grace_s`` seconds SIGKILL; whatever is left of its session is killed as well."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(max(0.0, grace_s)):
                ended = await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            kill_session(self.pid)
            ended = await self.wait()
        kill_session(self.pid)
        return ended

    def close(self) -> None:
        """Let go of the process, which lives on; those that wait are canceled."""
        if self._pidfd < 0:
            return
        if self._ended is not None:
            if self._exit is None:
                self._ended.get_loop().remove_reader(self._pidfd)
            self._ended.cancel()
        os.close(self._pidfd)
        self._pidfd = -1

    def _on_end(self) -> None:
        assert self._ended is not None
        self._ended.get_loop().remove_reader(self._pidfd)
        self._exit = exit_of(_reap(self._pidfd))
        if not self._ended.done():
            self._ended.set_result(self._exit)


def kill_session(session: int) -> None:
    """SIGKILL every process of a session, again until none is left that could have forked meanwhile."""
    for _ in range(16):
        members = session_members(session)
        if not members:
            return
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _reap(pidfd: int) -> int | None:
    """Return the exit code, or minus the signal; ``None`` for a process that is not our own child."""
    try:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
