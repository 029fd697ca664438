"""Replicas as processes of this machine, forked by zygotes in the sandbox."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fairlead.clock import Clock, SystemClock, to_text
from fairlead.engines.launch import Compiled, Launch, launch, replica_name
from fairlead.engines.port import Begun, Observed
from fairlead.engines.zygotes import KIND as ZYGOTE
from fairlead.engines.zygotes import Zygotes
from fairlead.errors import Internal, Unavailable
from fairlead.messages import Exited, VersionWanted
from fairlead.sandbox import ground, level, uids
from fairlead.settings import Home
from fairlead.supervisor import Child, Program, Record, adopt, forget, logfile, read_records, strays, watch
from fairlead.supervisor.aside import aside
from fairlead.supervisor.child import UNWATCHED, exit_of
from fairlead.supervisor.proc import stat

KIND = "replica"
"""Label ``kind`` of its record."""
_CODE_WAIT_S = 1.0
"""The pidfd tells at once that a replica ended; its zygote tells the code a moment later."""


def launch_for(
    wanted: VersionWanted,
    home: Home,
    *,
    bundle: Path,
    environment: Path,
    replica: str = "",
    device: str = "cpu",
    secrets: Mapping[str, str] | None = None,
    body_max_bytes: int = 100 * 1024**2,
    disk_mb: int = 0,
    compiled: Compiled | None = None,
) -> Launch:
    """Return how to start a replica of ``wanted`` here, a new one unless named: what this machine holds is asked.

    The files of ``bundle`` and ``environment`` must be readable for others: a bundle runs as a user of its own where
    it can, and only the home's mode keeps people out.
    """
    isolation = level.isolation()
    return launch(
        wanted,
        home,
        replica=replica or replica_name(wanted.spec.name, wanted.digest),
        bundle=bundle,
        environment=environment,
        base=ground.base_of(environment),
        isolation=isolation,
        uid=uids.uid_for(wanted.digest, home.keeper / "uids.json") if isolation.own_uid else None,
        platform_uid=os.getuid(),
        marker=marker_of(home),
        device=device,
        secrets=secrets,
        body_max_bytes=body_max_bytes,
        disk_mb=disk_mb,
        compiled=compiled,
    )


def marker_of(home: Home) -> dict[str, str]:
    """Return the variables that mark every child of this installation."""
    return {strays.MARKER: strays.home_id(home.root)}


class LocalEngine:
    """The :class:`fairlead.engines.port.Engine` of this machine."""

    def __init__(self, home: Home, clock: Clock | None = None) -> None:
        self._home = home
        self._clock = clock or SystemClock()
        self._zygotes = Zygotes(home, self._on_exit, marker_of(home))
        self._observed: dict[str, Observed] = {}
        self._children: dict[str, Child] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._codes: dict[str, asyncio.Future[int]] = {}
        self._changed = asyncio.Event()

    async def open(self) -> tuple[Observed, ...]:
        records = read_records(self._home.children)
        for record in records:
            if record.labels.get("kind") == KIND and record.name not in self._observed:
                self._adopt(record)
        for record in records:
            if record.labels.get("kind") == ZYGOTE and (up := await self._zygotes.adopt(record)):
                for replica, pid in up.replicas.items():
                    if replica not in self._observed:  # forked just before its keeper was killed
                        await self._take(_observed(self._home, record, replica, pid, self._now()), record.pid)
        return self.observe()

    async def close(self) -> None:
        for task in self._watching.values():
            task.cancel()
        await asyncio.gather(*self._watching.values(), return_exceptions=True)
        await self._zygotes.close()
        for child in self._children.values():
            child.close()
        self._watching.clear()
        self._children.clear()

    async def warm(self, launch: Launch, begun: Begun = lambda pid: None) -> None:
        await self._zygotes.up(launch, launch.fork.spec.start_timeout_s, begun)
        self._changed.set()

    async def cool(self, zygote: str) -> None:
        await self._zygotes.cool(
            zygote, lambda: not any(item.alive and item.zygote == zygote for item in self._observed.values())
        )
        self._changed.set()

    async def start(self, launch: Launch) -> Observed:
        known = self._observed.get(launch.replica)
        if known is not None and known.alive:
            return known
        zygote = await self._zygotes.up(launch, launch.fork.spec.start_timeout_s)
        self._codes[launch.replica] = asyncio.get_running_loop().create_future()  # it may end before it is recorded
        try:
            pid = await self._zygotes.fork(zygote, launch.fork)
            observed = _observed(self._home, zygote.record, launch.replica, pid, self._now())
            is_there = await self._take(observed, zygote.pid)
        finally:
            if launch.replica not in self._observed:
                self._codes.pop(launch.replica, None)
        if not is_there:
            said = logfile.said(Path(observed.log), 1)
            raise Unavailable(
                f"{launch.replica} ended at once" + (f": {said[-1]}" if said else ""),
                code="cannot_start",
                hint=f"see {observed.log}",
                retry_after_s=1,
            )
        return observed

    async def stop(self, replica: str, grace_s: float) -> None:
        child, watching = self._children.get(replica), self._watching.get(replica)
        if child is None or watching is None:
            return
        await child.stop(grace_s)
        await asyncio.shield(watching)

    async def forget(self, replica: str) -> None:
        observed = self._observed.get(replica)
        if observed is None or observed.alive:
            return
        del self._observed[replica]
        forget(self._home.children, replica)
        for folder in (self._home.serve_socket(replica).parent, self._home.replica_scratch(replica)):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def observe(self) -> tuple[Observed, ...]:
        self._changed.clear()
        return tuple(self._observed.values())

    def zygotes(self) -> dict[str, int]:
        return self._zygotes.pids()

    async def changed(self) -> None:
        await self._changed.wait()

    def _now(self) -> str:
        return to_text(self._clock.now())

    async def _take(self, observed: Observed, zygote: int) -> bool:
        """Record and watch a replica that was forked; returns whether it is there.

        A bundle may speak in its zygote's place: only children of that process are taken for its replicas, else it
        could name any process to be ended.
        """
        try:
            pidfd = os.pidfd_open(observed.pid)
        except (OSError, OverflowError):
            return False
        found = stat(observed.pid)
        if found is None or found.parent != zygote:
            os.close(pidfd)
            return False
        child = Child(observed.pid, pidfd)
        program = Program(
            name=observed.replica,
            argv=("",),
            env={},
            log=Path(observed.log),
            digest=observed.digest,
            sockets={"serve": observed.serve, "keep": observed.keep},
        )
        try:
            await aside(lambda: watch(observed.pid, program, self._home.children, labels=_labels(observed)))
        except Internal:
            child.close()
            return False
        except (OSError, asyncio.CancelledError):  # without a record, or one who asked, nobody would ever stop it
            child.signal(signal.SIGKILL)
            child.close()
            raise
        self._watch(observed, child)
        return True

    def _adopt(self, record: Record) -> None:
        observed = _from_record(record)
        child = adopt(record)
        if child is None:
            self._observed[record.name] = msgspec.structs.replace(observed, alive=False, reason=UNWATCHED)
            self._changed.set()
        else:
            self._watch(observed, child)

    def _watch(self, observed: Observed, child: Child) -> None:
        name = observed.replica
        self._observed[name] = observed
        self._children[name] = child
        self._codes.setdefault(name, asyncio.get_running_loop().create_future())
        self._watching[name] = asyncio.create_task(self._until_end(observed, child), name=f"watch {name}")
        self._changed.set()

    async def _until_end(self, observed: Observed, child: Child) -> None:
        name = observed.replica
        ended = await child.wait()
        if ended.code is None and observed.zygote in self._zygotes.pids():
            try:
                async with asyncio.timeout(_CODE_WAIT_S):
                    ended = exit_of(await self._codes[name])
            except TimeoutError:
                pass
        elif self._codes[name].done():
            ended = exit_of(self._codes[name].result())
        child.close()
        self._observed[name] = msgspec.structs.replace(observed, alive=False, code=ended.code, reason=ended.reason)
        del self._children[name], self._codes[name], self._watching[name]
        self._changed.set()

    def _on_exit(self, exited: Exited) -> None:
        """A zygote told a code: for a replica that ends now, or that ended while no keeper was there."""
        code = self._codes.get(exited.replica)
        if code is not None:
            if not code.done():
                code.set_result(exited.code)
            return
        known = self._observed.get(exited.replica)
        if known is not None and known.pid == exited.pid and known.code is None:
            ended = exit_of(exited.code)
            self._observed[exited.replica] = msgspec.structs.replace(known, code=ended.code, reason=ended.reason)
            self._changed.set()


def _observed(home: Home, zygote: Record, replica: str, pid: int, since: str) -> Observed:
    return Observed(
        replica=replica,
        zygote=zygote.name,
        digest=zygote.digest,
        model=zygote.labels["model"],
        version=zygote.labels["version"],
        attempt=int(zygote.labels["attempt"]),
        secrets=zygote.labels.get("secrets", ""),
        compiled=bool(zygote.labels.get("compiled")),
        pid=pid,
        alive=True,
        since=since,
        serve=str(home.serve_socket(replica)),
        keep=str(home.keep_socket(replica)),
        log=str(home.replica_log(replica)),
    )


def _labels(observed: Observed) -> Mapping[str, str]:
    return {
        "kind": KIND,
        "zygote": observed.zygote,
        "model": observed.model,
        "version": observed.version,
        "attempt": str(observed.attempt),
        "secrets": observed.secrets,
        "compiled": "yes" if observed.compiled else "",
        "since": observed.since,
    }


def _from_record(record: Record) -> Observed:
    return Observed(
        replica=record.name,
        zygote=record.labels["zygote"],
        digest=record.digest,
        model=record.labels["model"],
        version=record.labels["version"],
        attempt=int(record.labels["attempt"]),
        secrets=record.labels.get("secrets", ""),
        compiled=bool(record.labels.get("compiled")),
        pid=record.pid,
        alive=True,
        since=record.labels["since"],
        serve=record.sockets["serve"],
        keep=record.sockets["keep"],
        log=record.log,
    )
