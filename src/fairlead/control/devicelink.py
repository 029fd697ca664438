"""Drives the device link: hears what devices say, judges it, hands it to runs, keeps it, and sends commands."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from fairlead.buckets.port import Bucket
from fairlead.bus.port import Bus, Said
from fairlead.clock import Clock, within
from fairlead.control.pictures import Pictures
from fairlead.control.waiters import Waiters
from fairlead.devices import commands, readings, registry, settime
from fairlead.devices.door import DeviceError, Door, Heard
from fairlead.devices.readings import Kept
from fairlead.devices.sending import Outgoing
from fairlead.errors import Busy, Unavailable
from fairlead.jobs.settime import Watch
from fairlead.messages import Measured
from fairlead.store.database import Database

_log = logging.getLogger(__name__)
HELD_MAX = 50_000
"""Messages that may wait for the store; beyond it the oldest are dropped and counted."""
GROUP_MAX = 2_000
LATEST_S = 1.0
SEND_S = 1.0
"""So long a bus that takes nothing is waited for, by commands and by readings."""
REST_S = 0.05
"""After commands were written it waits for so long before it looks when the sweep is due: one look for all."""
FRESHEN_S, FRESHEN_LATEST_S = 1.0, 60.0
"""Devices that fell silent are looked for no more often than this, and no more seldom."""


class DeviceLink:
    """The one place where the traffic of devices meets the store."""

    def __init__(self, database: Database, bus: Bus, bucket: Bucket, clock: Clock, waiters: Waiters) -> None:
        self._database, self._bus, self._bucket = database, bus, bucket
        self._clock, self._waiters = clock, waiters
        self._door = Door()
        self._pictures = Pictures(bucket, clock, self._hold)
        self._held: deque[Kept] = deque()
        self._news = asyncio.Event()
        self._wake = asyncio.Event()
        self._aged = asyncio.Event()
        """A clock was set, or devices or types changed: another device may fall silent next."""
        self._time = Watch(clock)
        self.dropped = 0
        self.taken = self.refused = 0
        """Readings that passed the door, and what was said that did not."""
        self.unsent = self._stuck = 0
        """Readings that were kept, and that the bus did not take on to apps and pages in time; all, and lately."""
        self._late: set[asyncio.Task[None]] = set()

    async def refresh(self) -> None:
        """Read anew which devices there are; to be called after each change of them."""
        self._door.kinds = await self._database.read(registry.kinds)
        self._aged.set()

    async def hear(self, said: Iterable[Said]) -> None:
        """Take messages of devices, in order: judged at once, handed on, then kept."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        passed: list[Measured] = []
        refused: list[tuple[str, DeviceError]] = []
        for device, tail, payload in said:
            try:
                heard = self._door.hear(device, tail, payload, now, monotonic)
                passed += readings.measured(heard)
                kept, blobs = readings.blobs(heard)
            except Exception:  # noqa: BLE001 - one message that cannot be judged must not take the others with it
                self.dropped += 1
                _log.exception("a message was not judged", extra={"device": device})
                continue
            refused += [(device, error) for error in heard.errors]
            if blobs:
                self._pictures.take(kept, blobs)
            else:
                self._hold(kept)
        self.taken += len(passed)
        self.refused += len(refused)
        if passed:
            self._note_sent(len(passed), await self._got_out(self._bus.publish_all(passed)))
        if refused:
            await self._got_out(self._tell_errors(refused))

    def hear_late(self, heard: Iterable[Heard]) -> None:
        """Keep what devices said while nobody listened, see ``control.presence``."""
        for one in heard:
            self._hold(Kept(one))

    async def _got_out(self, sending: Coroutine[Any, Any, None]) -> bool:
        """Whether the bus took it, within :data:`SEND_S`: one that stands still holds up nothing that is to be kept.

        In a task of its own, for nats-py swallows that it is canceled.
        """
        task = asyncio.create_task(sending, name="readings to the bus")
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        await asyncio.wait((task,), timeout=SEND_S)
        if not task.done():
            task.cancel()
            return False
        try:
            task.result()
        except Unavailable:
            return False
        return True

    def _note_sent(self, count: int, sent: bool) -> None:
        """Count what did not get out to apps and pages, and say when that begins and when it is over."""
        if sent and self._stuck:
            _log.warning("readings reach apps again", extra={"unsent": self._stuck})
        elif not sent and not self._stuck:
            _log.error("the bus takes no readings: they are kept, but apps do not get them")
        self.unsent += 0 if sent else count
        self._stuck = 0 if sent else self._stuck + count

    def _hold(self, kept: Kept) -> None:
        if len(self._held) >= HELD_MAX:
            self._held.popleft()
            self.dropped += 1
        self._held.append(kept)
        self._news.set()

    async def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Publish commands whose rows are committed; one that is lost is sent again by the sweep.

        A bus that stands still holds nobody up: deadlines pass meanwhile, and commands must have their ends.
        """
        for one in outgoing:
            try:
                async with asyncio.timeout(SEND_S) as bound:
                    await self._bus.publish_device(one.device, "cmd", one.payload)
                late = bound.expired()  # nats-py swallows that it was canceled
            except (Unavailable, TimeoutError):
                late = True
            if late:
                _log.warning("commands wait for the bus", extra={"device": one.device})
                return

    def nudge(self) -> None:
        """Have the sweep look when its next moment is: a command was written."""
        self._wake.set()

    async def keep(self) -> None:
        """Write what was heard, in groups, and pictures to the bucket, until canceled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pictures.run())
            group.create_task(self._keep_readings())

    async def _keep_readings(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._held:
                group = settled([self._held.popleft() for _ in range(min(GROUP_MAX, len(self._held)))])
                await self.send(await self._written(group))
                self._waiters.tell(*{f"devices/{kept.heard.device}" for kept in group})

    async def sweep(self) -> None:
        """End claims, fail and resend commands at their moments, until canceled."""
        while True:
            self._wake.clear()
            wait_s = await self.look()
            try:
                async with asyncio.timeout(min(LATEST_S, wait_s)):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await self._clock.sleep(REST_S)

    async def tidy(self) -> None:
        """Note devices that fell silent, when the next one can have, until canceled."""
        while True:
            self._aged.clear()
            wait_s = await self._freshen(self._clock.now())
            await self._clock.sleep(FRESHEN_S)
            with suppress(TimeoutError):
                await within(self._clock, min(wait_s, FRESHEN_LATEST_S) - FRESHEN_S, self._aged.wait())

    async def look(self) -> float:
        """Sweep if it is due, and return after how many seconds it is so next."""
        now, jumped_s = self._clock.now(), self._time.jumped_s()
        if jumped_s != 0:
            await self._database.write(partial(settime.follow, now=now, jumped_s=jumped_s))
            self._aged.set()
        following = await self._database.read(commands.next_at)
        if following is None:
            return LATEST_S
        wait_s = (following - now).total_seconds()
        if wait_s > 0:
            return wait_s
        out = await self._database.write(lambda session: commands.sweep(session, now))
        await self.send(out)
        return 0.01  # it may have left more: see commands.SWEEP_MAX

    async def _freshen(self, now: datetime) -> float:
        """Note devices that fell silent, and return after how many seconds another can have."""
        following = await self._database.read(lambda session: readings.fresh_until(session, now))
        if following == now:
            await self._database.write(lambda session: readings.freshen(session, now))
        return FRESHEN_LATEST_S if following is None else (following - now).total_seconds()

    async def _written(self, group: list[Kept]) -> tuple[Outgoing, ...]:
        moment = self._clock.now()
        while True:
            try:
                return await self._database.write(lambda session: readings.record(session, group, moment))
            except (Unavailable, Busy) as error:
                _log.warning("readings wait for the store", extra={"reason": error.message})
                await self._clock.sleep(LATEST_S)
            except Exception:  # noqa: BLE001 - a fault of ours or of one message; all others are kept
                if len(group) > 1:  # one message that cannot be kept must not take the others with it
                    return tuple([out for one in group for out in await self._written([one])])
                self.dropped += 1
                _log.exception("a message was not kept", extra={"device": group[0].heard.device})
                return ()

    async def _tell_errors(self, errors: Iterable[tuple[str, DeviceError]]) -> None:
        for device, error in errors:
            if device not in self._door.kinds:
                continue  # a stranger has no topic of its own
            try:
                await self._bus.publish_device(device, "error", msgspec.json.encode(error))
            except Unavailable:
                return


def settled(group: Sequence[Kept]) -> list[Kept]:
    """Return ``group`` without what its devices have taken back within it: of each the last two words on whether it is
    there (the last change is among them), and its last description. A device that says so a thousand times a second
    has the journal grow by these."""
    left: Counter[tuple[str, str]] = Counter()
    found: list[Kept] = []
    for kept in reversed(group):
        heard = kept.heard
        what, most = ("status", 2) if heard.online is not None else ("desc", 1)
        if heard.online is not None or heard.description is not None:
            left[heard.device, what] += 1
            if left[heard.device, what] > most:
                continue
        found.append(kept)
    return found[::-1]
