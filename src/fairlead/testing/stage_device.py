"""A device on a stage: it does at once what it is told, says what a test has it say, and may go offline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from fairlead.devices.types import DeviceType, Property, mismatch
from fairlead.errors import Conflict, Invalid, NotFound

Publish = Callable[[str, str, Any], Awaitable[None]]


@dataclass
class _Claim:
    """What a command holds until a moment; None: until it is released."""

    value: Any
    until: datetime | None


class StageDevice:
    """A simulated device: it does at once what it is told, unless it is offline."""

    def __init__(
        self,
        id: str,
        kind: DeviceType | None,
        publish: Publish,
        settle: Callable[[], Awaitable[None]],
        moved: Callable[[StageDevice], None] = lambda _: None,
    ) -> None:
        """``kind``: None where the stage does not know its type: then anything goes. ``moved`` is told that it went
        offline or came back."""
        self.id = id
        self.kind = kind
        self.state: dict[str, Any] = {}
        """Last value of each property, from a report or a command."""
        self.commands: list[dict[str, Any]] = []
        """What was set, oldest first."""
        self.is_online = True
        self._claims: dict[str, list[_Claim]] = {}
        self._publish, self._settle, self._moved = publish, settle, moved

    async def report(self, **values: Any) -> None:
        """Send readings and return when the app's handlers are done with them; pictures and sounds are bytes.

        Raises :class:`Invalid` for what the type of the device does not have, :class:`Conflict` while it is offline.
        """
        self._check_online()
        for name, value in values.items():
            if problem := self.problem(name, value):
                raise Invalid(f"{self.id}.{name}: {problem}", code="reading_invalid", hint="as its type says")
        for name, value in values.items():
            if self.kind is None or name not in self.kind.events:
                self.state[name] = value
            await self._publish(self.id, name, value)
        await self._settle()

    async def press(self, event: str | None = None, value: Any = None) -> None:
        """Send an event, as ``fairlead simulate --press`` has it sent; by default its only one, and ``True`` or the
        first of its values. Raises :class:`NotFound` where it is not clear which."""
        events = self.kind.events if self.kind is not None else {}
        name = event or (next(iter(events)) if len(events) == 1 else "")
        if name not in events:
            raise NotFound(
                f"{self.id} has {'no event ' + name if name else 'not one event alone'}",
                code="event_not_found",
                hint=f"events: {', '.join(events) or 'none'}",
            )
        values = events[name].schema.get("enum", (True,))
        await self.report(**{name: values[0] if value is None else value})

    def offline(self) -> None:
        """Have it be gone: commands fail, and after a while a spare takes its place."""
        self.is_online = False
        self._moved(self)

    def online(self) -> None:
        """Have it be back; its place, once it lost it, it does not get back."""
        self.is_online = True
        self._moved(self)

    def problem(self, name: str, value: Any, *, writes: bool = False) -> str:
        """Return why the type of the device does not allow this value, or ``""``."""
        if self.kind is None:
            return ""
        known = self.kind.find(name)
        if known is None or (writes and name in self.kind.events):
            return f"there are {', '.join(sorted({*self.kind.properties, *({} if writes else self.kind.events)}))}"
        if writes and not known.writable:
            return "cannot be set"
        if isinstance(value, bytes) or known.media:
            return "" if isinstance(value, bytes) and known.media else f"is {known.media or 'no bytes'}"
        wrong = mismatch(known.schema, value)
        return wrong[1] if wrong else ""

    async def claim(self, values: Mapping[str, Any], until: datetime | None) -> None:
        """Do what a command says; earlier claims that end no later are over."""
        self.commands.append(dict(values))
        for name, value in values.items():
            longer = [
                one
                for one in self._claims.get(name, [])
                if until is not None and (one.until is None or one.until > until)
            ]
            self._claims[name] = [*longer, _Claim(value, until)]
            await self._set(name, value)

    async def expire(self, now: datetime) -> None:
        """End the claims whose time is over: what was claimed before comes back, else the safe value."""
        for name, claims in tuple(self._claims.items()):
            left = [one for one in claims if one.until is None or one.until > now]
            if len(left) < len(claims):
                await self._leave(name, left)

    async def release(self, properties: tuple[str, ...] = ()) -> None:
        """End the claims on these properties, on all when none is named."""
        for name in properties or tuple(self._claims):
            await self._leave(name, [])

    def forget(self) -> None:
        """End all claims of one that is gone: it will have its safe values when it is back."""
        for name in tuple(self._claims):
            known = self._property(name)
            if known is not None and known.safe is not msgspec.UNSET:
                self.state[name] = known.safe
        self._claims.clear()

    async def repeat(self, name: str) -> None:
        """Send the last value anew, as one who is asked for a fresh one."""
        if name in self.state:
            await self._publish(self.id, name, self.state[name])

    async def _leave(self, name: str, left: list[_Claim]) -> None:
        self._claims[name] = left
        known = self._property(name)
        value = left[-1].value if left else known.safe if known is not None else msgspec.UNSET
        if value is not msgspec.UNSET and value != self.state.get(name):
            await self._set(name, value)

    async def _set(self, name: str, value: Any) -> None:
        self.state[name] = value
        known = self._property(name)
        if known is None or known.readable:
            await self._publish(self.id, name, value)

    def _property(self, name: str) -> Property | None:
        return self.kind.properties.get(name) if self.kind is not None else None

    def _check_online(self) -> None:
        if not self.is_online:
            raise Conflict(f"{self.id} is offline", code="offline", hint="online() has it be back")
