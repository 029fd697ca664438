"""Which devices stand for the roles of an app, and the word that this changed while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from fairlead.sdk.channel import Channel
from fairlead.sdk.wire import Binding

H = TypeVar("H", bound=Callable[..., Any])


class Rebound(msgspec.Struct, frozen=True):
    """Other devices stand for a role than before: one was gone, and another of its type took its place."""

    role: str
    before: tuple[str, ...]
    now: tuple[str, ...]


class Bindings(Mapping[str, tuple[str, ...]]):
    """The ids of the devices by role, as they are now: ``app.bindings["lamp"]``."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.handlers: list[Callable[..., Any]] = []

    def changed(self, function: H) -> H:
        """Have the function called with a :class:`Rebound` for each role whose devices changed."""
        self.handlers.append(function)
        return function

    def __getitem__(self, role: str) -> tuple[str, ...]:
        return self._channel.welcome.bindings[role].devices

    def __iter__(self) -> Iterator[str]:
        return iter(self._channel.welcome.bindings)

    def __len__(self) -> int:
        return len(self._channel.welcome.bindings)


def changes(before: Mapping[str, Binding], now: Mapping[str, Binding]) -> tuple[Rebound, ...]:
    """Return each role whose devices are others."""
    return tuple(
        Rebound(role, before[role].devices if role in before else (), binding.devices)
        for role, binding in now.items()
        if role not in before or before[role].devices != binding.devices
    )
