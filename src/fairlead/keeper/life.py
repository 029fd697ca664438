"""The life of a keeper: from the lock on the home to the last process gone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fairlead import garbage
from fairlead.errors import Error, Invalid
from fairlead.keeper import descriptors, listening, storage
from fairlead.keeper import home as homes
from fairlead.keeper.house import House, open_house
from fairlead.keeper.listeners import check_listeners
from fairlead.settings import Home, Settings
from fairlead.supervisor import HomeLock, adopt, forget, read_records, strays
from fairlead.supervisor.lock import holder_of, is_held

_log = logging.getLogger(__name__)
STOP_S = 60.0
"""Longest stop of a keeper that answers; beyond it its processes are ended one by one."""
GRACE_S = 5.0
Ready = Callable[[House], Awaitable[None]]
Stopping = Callable[[], None]


def run(
    settings: Settings,
    *,
    ready: Ready,
    stopping: Stopping = lambda: None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Run the keeper in the foreground until SIGINT or SIGTERM; ``ready`` is called once everything answers,
    ``stopping`` as soon as it is told to stop; ``options``: what the home's next start shall know of this one.

    Raises :class:`fairlead.errors.Error`: ``home_in_use``, ``home_read_only``, ``home_full``, ``home_newer``,
    ``port_in_use``, ``insecure``, ``too_few_files``, what :func:`storage.take` and what the parts raise. What it had
    started is stopped then.
    """
    descriptors.raise_limit()
    check_listeners(settings)
    home = Home(settings.home)
    if home.root.exists() and not home.root.is_dir():
        raise Invalid(f"{home.root} is not a folder", code="home_unusable", hint="name another --home")
    homes.check(home)
    with HomeLock(home.lock):
        homes.prepare(home)
        homes.remove_dead_run_folders(home)
        storage.take(settings, home)
        listening.keep(home, settings)
        if options is not None:
            listening.remember(home, options)
        asyncio.run(_live(settings, home, ready, stopping))


async def _live(settings: Settings, home: Home, ready: Ready, stopping: Stopping) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    living = asyncio.create_task(_serve(settings, home, ready), name="house")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait([living, stopped], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            stopping()
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        if not living.cancelled():
            living.result()
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        stopped.cancel()
        await sweep(home)


async def _serve(settings: Settings, home: Home, ready: Ready) -> None:
    """Open the house, greet, and stay until canceled."""
    async with open_house(settings, home) as house:
        await ready(house)
        gc.collect()
        garbage.settle()
        await asyncio.Event().wait()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error of ours in ``group`` if there is one, since it says what to do, else the first of all."""
    leaves = [_first(one) if isinstance(one, BaseExceptionGroup) else one for one in group.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, Error)), leaves[0])


async def sweep(home: Home) -> bool:
    """End whatever of this installation is left, recorded or not; return whether there was anything."""
    ended = False
    listening.forget(home)
    for record in read_records(home.children):
        child = adopt(record)
        if child is not None:
            _log.info("ending what was left", extra={"program": record.name, "pid": record.pid})
            await child.stop(GRACE_S)
            child.close()
            ended = True
        forget(home.children, record.name)
    return bool(await strays.end(strays.home_id(home.root), grace_s=GRACE_S)) or ended


def stop(settings: Settings) -> bool:
    """Stop the installation of a home, also one whose keeper was killed; return whether anything ran."""
    home = Home(settings.home)
    if not home.root.is_dir():
        return False
    ran = False
    if is_held(home.lock):
        ran = _stop_keeper(home)
    return asyncio.run(sweep(home)) or ran


def _stop_keeper(home: Home) -> bool:
    pid = holder_of(home.lock)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not _ended(descriptor, STOP_S):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                _ended(descriptor, GRACE_S)
        finally:
            os.close(descriptor)
    return True


def _ended(descriptor: int, seconds: float) -> bool:
    """Whether the process of a pidfd ended within ``seconds``: the descriptor becomes readable then."""
    from fairlead.supervisor.lock import is_readable

    return is_readable(descriptor, seconds)
