"""The keeper's end of zygotes: start or find again one for each version, have it fork, hear who ended."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from fairlead import messages
from fairlead.engines.launch import Launch, zygote_socket
from fairlead.engines.link import dial
from fairlead.engines.port import Begun
from fairlead.errors import Unavailable
from fairlead.sandbox.rules import VARIABLE
from fairlead.settings import Home
from fairlead.supervisor import Child, Program, Record, adopt, forget, logfile, start_aside, strays
from fairlead.supervisor.keylocks import KeyLocks

KIND = "zygote"
"""Label ``kind`` of its record."""
ADOPT_TIMEOUT_S = 5.0
FORK_S = 20.0
"""A fork takes milliseconds; a zygote that needs longer is stopped or hangs."""
COOL_GRACE_S = 2.0
_decoder: msgspec.msgpack.Decoder[messages.FromZygote] = msgspec.msgpack.Decoder(messages.FromZygote)
_log = logging.getLogger(__name__)


class Zygote:
    """One live zygote with its channel open."""

    def __init__(
        self, record: Record, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.record = record
        self.child = child
        self.pid = child.pid
        self.is_up = True
        self.imported: frozenset[str] | None = None
        """What it was told to import; None: an earlier keeper told it."""
        self._reader = reader
        self._writer = writer
        self._forks: dict[str, asyncio.Future[messages.Forked]] = {}

    async def hello(self) -> messages.ZygoteUp:
        """Return the first frame; raises :class:`Unavailable` when it is anything else."""
        try:
            first = _decoder.decode(await messages.read_frame(self._reader))
        except (EOFError, ConnectionError, ValueError) as error:
            raise Unavailable(f"{self.record.name} hung up", code="zygote_failed", retry_after_s=1) from error
        if not isinstance(first, messages.ZygoteUp):
            raise Unavailable(f"{self.record.name} began with {type(first).__name__}", code="zygote_failed")
        return first

    async def fork(self, wanted: messages.Fork) -> int:
        """Have a replica forked and return its pid; raises :class:`Unavailable`."""
        waiting = self._forks.setdefault(wanted.replica, asyncio.get_running_loop().create_future())
        try:
            self._writer.write(messages.frame(wanted))
            await self._writer.drain()
            forked = await waiting
        except (ConnectionError, RuntimeError) as error:
            raise Unavailable(f"{self.record.name} is gone", code="zygote_failed", retry_after_s=1) from error
        finally:
            self._forks.pop(wanted.replica, None)
        if forked.error:
            raise Unavailable(f"{wanted.replica}: {forked.error}", code="cannot_start", retry_after_s=1)
        return forked.pid

    async def listen(self, on_exit: Callable[[messages.Exited], None]) -> None:
        """Take what it says until it goes."""
        try:
            while True:
                message = _decoder.decode(await messages.read_frame(self._reader))
                if isinstance(message, messages.Exited):
                    on_exit(message)
                elif isinstance(message, messages.Forked):
                    self._forked(message)
        except (EOFError, ConnectionError, ValueError):
            return
        finally:
            self.is_up = False
            for waiting in self._forks.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError("the zygote hung up"))

    def close(self) -> None:
        """Hang up and let go; it lives on."""
        self.is_up = False
        self._writer.close()
        self.child.close()

    def _forked(self, forked: messages.Forked) -> None:
        waiting = self._forks.get(forked.replica)
        if waiting is not None and not waiting.done():
            waiting.set_result(forked)
        elif not forked.error:  # whoever asked has given up, so nobody would ever stop it
            self._writer.write(messages.frame(messages.ForkStop(replica=forked.replica, signal=9)))


class Zygotes:
    """All zygotes of this keeper by name."""

    def __init__(self, home: Home, on_exit: Callable[[messages.Exited], None], marker: Mapping[str, str]) -> None:
        self._home = home
        self._on_exit = on_exit
        self._marker = dict(marker)
        self._zygotes: dict[str, Zygote] = {}
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._keys = KeyLocks()

    def pids(self) -> dict[str, int]:
        """Return the pid of each live zygote."""
        return {name: zygote.pid for name, zygote in self._zygotes.items() if zygote.is_up}

    async def adopt(self, record: Record) -> messages.ZygoteUp | None:
        """Find a recorded zygote again; one that does not answer is ended. Returns what it says lives.

        One that is held already is left alone, and nothing returned.
        """
        if record.name in self.pids():
            return None
        child = adopt(record)
        if child is None:
            forget(self._home.children, record.name)
            return None
        try:
            return await self._dial(record, child, ADOPT_TIMEOUT_S)
        except Unavailable:
            _log.warning("%s does not answer and is ended", record.name)
            await child.stop(0)
            child.close()
            forget(self._home.children, record.name)
            return None

    async def up(self, launch: Launch, timeout_s: float, begun: Begun = lambda pid: None) -> Zygote:
        """Return the zygote of ``launch``, started if there is none, anew if it is outdated.

        ``begun`` hears of its process as soon as there is one. Raises :class:`Unavailable` (``zygote_failed``,
        ``cannot_start``).
        """
        async with self._keys.holding(launch.zygote):
            zygote = self._zygotes.get(launch.zygote)
            if zygote is not None:
                if zygote.is_up and zygote.record.labels.get("fingerprint") == launch.fingerprint:
                    begun(zygote.pid)
                    return zygote
                await self._end(launch.zygote)
            child, record = await self._start(launch)
            begun(child.pid)
            await self._dial_or_tell(record, child, timeout_s)
            made = self._zygotes[launch.zygote]
            made.imported = frozenset(launch.spec.preload)
            return made

    async def fork(self, zygote: Zygote, wanted: messages.Fork) -> int:
        """Have a replica forked and return its pid; a zygote that does not answer is ended: the next start has another.

        Raises :class:`Unavailable`.
        """
        name, limit_s = zygote.record.name, FORK_S
        if zygote.imported is not None and not zygote.imported.issuperset(wanted.preload):
            limit_s += wanted.spec.start_timeout_s  # it imports the rest first
        try:
            async with asyncio.timeout(limit_s):
                pid = await zygote.fork(wanted)
            zygote.imported = frozenset(wanted.preload).union(zygote.imported or ())
            return pid
        except TimeoutError as error:
            _log.warning("%s did not fork within %g s and is ended", name, limit_s)
            async with self._keys.holding(name):
                if self._zygotes.get(name) is zygote:
                    await self._end(name)
            raise Unavailable(
                f"{name} forked no replica within {limit_s:g} s: it is stopped, or hangs",
                code="zygote_failed",
                hint="it is replaced; does an import of the bundle start threads or signal its parent?",
                retry_after_s=1,
            ) from error

    async def cool(self, name: str, is_last: Callable[[], bool]) -> None:
        """End a zygote; fine when there is none. When it ``is_last``, nothing of its bundle's user is left running."""
        async with self._keys.holding(name):
            zygote = self._zygotes.get(name)
            await self._end(name)
            uid = zygote.record.labels.get("uid") if zygote is not None else None
            if uid and is_last():
                await strays.end_user(int(uid))

    async def close(self) -> None:
        """Let go of all; they live on."""
        for task in self._listening.values():
            task.cancel()
        await asyncio.gather(*self._listening.values(), return_exceptions=True)
        for zygote in self._zygotes.values():
            zygote.close()
        self._listening.clear()
        self._zygotes.clear()

    async def _end(self, name: str) -> None:
        zygote = self._zygotes.pop(name, None)
        if zygote is None:
            return
        await zygote.child.stop(COOL_GRACE_S)
        await self._listening.pop(name)  # its last notices are taken first
        zygote.close()
        forget(self._home.children, name)

    async def _start(self, launch: Launch) -> tuple[Child, Record]:
        await asyncio.to_thread(prepare_folders, self._home, launch)
        program = Program(
            name=launch.zygote,
            argv=(sys.executable, "-P", "-m", "fairlead.sandbox.run"),
            env={**self._marker, VARIABLE: msgspec.json.encode(launch.rules).decode()},
            log=zygote_log(self._home, launch.zygote),
            digest=launch.digest,
            sockets={"zygote": launch.spec.socket},
        )
        labels = {
            "kind": KIND,
            "fingerprint": launch.fingerprint,
            "model": launch.fork.spec.name,
            "version": launch.fork.spec.version,
            "attempt": str(launch.attempt),
            "secrets": launch.secrets,
            "compiled": "yes" if launch.compiled else "",
            "uid": "" if launch.rules.uid is None else str(launch.rules.uid),
        }
        return await start_aside(program, self._home.children, labels=labels)

    async def _dial_or_tell(self, record: Record, child: Child, timeout_s: float) -> None:
        """Wait until it has imported and listens, or ended: then say how."""
        dialing = asyncio.create_task(self._dial(record, child, timeout_s), name=f"dial {record.name}")
        ending = asyncio.create_task(child.wait(), name=f"end of {record.name}")
        try:
            await asyncio.wait((dialing, ending), return_when=asyncio.FIRST_COMPLETED)
            if dialing.done():
                dialing.result()
                return
        except BaseException:  # canceled too: nobody else would end it
            dialing.cancel()
            await child.stop(0)
            child.close()
            forget(self._home.children, record.name)
            raise
        finally:
            ending.cancel()
        dialing.cancel()
        await asyncio.gather(dialing, return_exceptions=True)
        reason = ending.result().reason
        child.close()
        forget(self._home.children, record.name)
        said = logfile.said(Path(record.log), 3)
        raise Unavailable(
            f"{record.name}: {reason}" + (f": {said[-1]}" if said else ""),
            code="zygote_failed",
            hint=f"see {record.log}",
            retry_after_s=1,
        )

    async def _dial(self, record: Record, child: Child, timeout_s: float) -> messages.ZygoteUp:
        reader, writer = await dial(zygote_socket(self._home, record.name), timeout_s)
        zygote = Zygote(record, child, reader, writer)
        try:
            up = await zygote.hello()
        except BaseException:  # canceled too: nobody else has the connection
            writer.close()
            raise
        for warning in up.warnings:
            _log.warning("%s: %s", record.name, warning)
        self._zygotes[record.name] = zygote
        self._listening[record.name] = asyncio.create_task(zygote.listen(self._on_exit), name=f"listen {record.name}")
        return up


def zygote_log(home: Home, zygote: str) -> Path:
    """File with what a zygote writes to stdout and stderr."""
    return home.logs / zygote / "zygote.log"


def prepare_folders(home: Home, launch: Launch) -> None:
    """Make the folders that a zygote and its replicas write, owned by the bundle's user."""
    for folder in (home.run / launch.zygote, home.scratch / launch.zygote, home.logs / launch.zygote):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        uid = launch.rules.uid
        if uid is not None and folder.stat().st_uid != uid:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, uid, uid, follow_symlinks=False)
    Path(launch.spec.socket).unlink(missing_ok=True)  # else a dial would meet the one before
