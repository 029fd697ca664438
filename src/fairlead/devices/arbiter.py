"""Who holds a device's properties: pure.

Tiers are ``safety`` > ``human`` > ``app`` > default. Within one the latest command holds; earlier ones come back when
it is released. A command enters as a whole: while a higher tier holds one of its properties, it waits. Once it was
sent, each of its properties stands for itself. A command that waited enters where it stood by the time it was asked: of
what it sets, the device is told only what nobody took later. Where nobody holds, the type's safe value counts, if there
is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

TIERS = ("default", "app", "human", "safety")
"""Weakest first."""
_RANK = {tier: rank for rank, tier in enumerate(TIERS)}


class Claim(msgspec.Struct, frozen=True):
    """A command's claim on one property of one device."""

    command: str
    property: str
    value: Any
    tier: str
    since: datetime
    until: datetime | None = None
    """When it ends by itself; None: when it is released."""
    sent: bool = True
    """False while its command waits."""
    run: str | None = None
    user: str = ""

    def rank(self) -> tuple[int, datetime, str]:
        return _RANK[self.tier], self.since, self.command

    def holder(self) -> str:
        """Return who claims, in words."""
        return f"{self.run} ({self.tier})" if self.run else f"{self.user or 'the platform'} ({self.tier})"


class Send(msgspec.Struct, frozen=True):
    """The command goes out."""


class Wait(msgspec.Struct, frozen=True):
    """The command waits; ``reason`` names who holds."""

    reason: str
    behind: str
    """The command that it waits for."""


Decision = Send | Wait


class Change(msgspec.Struct, frozen=True):
    """What a device must be told, and what becomes of commands, after claims came or went away."""

    back: tuple[Claim, ...] = ()
    """Earlier claims that hold again."""
    safe: Mapping[str, Any] = {}
    """Properties that nobody holds any more and their safe values."""
    enter: Mapping[str, Mapping[str, Any]] = {}
    """Commands that waited and are sent now, strongest and oldest first; of each what it holds, no more is sent."""
    superseded: Mapping[str, str] = {}
    """Commands that hold nothing, no longer or as they enter, and for each one that holds instead."""


def alive(claims: Iterable[Claim], now: datetime) -> tuple[Claim, ...]:
    """Return the claims that have not ended."""
    return tuple(claim for claim in claims if claim.until is None or claim.until > now)


def winners(claims: Iterable[Claim]) -> dict[str, Claim]:
    """Return who holds each property, among claims that were sent."""
    found: dict[str, Claim] = {}
    for claim in claims:
        if claim.sent and (claim.property not in found or found[claim.property].rank() < claim.rank()):
            found[claim.property] = claim
    return found


def decide(command: str, properties: Iterable[str], tier: str, claims: Sequence[Claim]) -> Decision:
    """Return what becomes of a new command among the living ``claims`` of its device (its own are left out)."""
    others = [claim for claim in claims if claim.command != command]
    holding = winners(others)
    wanted = tuple(properties)
    above = [holding[name] for name in wanted if name in holding and _RANK[holding[name].tier] > _RANK[tier]]
    if above:
        strongest = max(above, key=Claim.rank)
        until = f" until {strongest.until:%Y-%m-%d %H:%M:%S} UTC" if strongest.until else ""
        return Wait(f"waits: {strongest.holder()} holds {strongest.property}{until}", strongest.command)
    return Send()


def settle(before: Sequence[Claim], after: Sequence[Claim], safe: Mapping[str, Any]) -> Change:
    """Return what to tell the device when its living claims went from ``before`` to ``after``.

    ``safe`` holds the safe value of each property that has one. Of commands that may enter, each is sent what it holds
    once all have entered, so that the device never shows what is over at once.
    """
    entering = _entering(after)
    final = [_sent(claim) if claim.command in entering else claim for claim in after]
    held, holds = winners(before), winners(final)
    lost = [name for name, claim in held.items() if name not in holds or holds[name].command != claim.command]
    told = desired(final)
    enter = {command: told[command] for command in entering if command in told}
    back = tuple(holds[name] for name in lost if name in holds and holds[name].command not in enter)
    bare = {name: safe[name] for name in lost if name not in holds and name in safe}
    had = {claim.command for claim in held.values()} | set(entering)
    over = {claim.command: holds[claim.property].command for claim in final if claim.sent and claim.command not in told}
    superseded = {command: by for command, by in sorted(over.items()) if command in had}
    return Change(back=back, safe=bare, enter=enter, superseded=superseded)


def _entering(claims: Sequence[Claim]) -> tuple[str, ...]:
    waiting: dict[str, list[Claim]] = {}
    for claim in claims:
        if not claim.sent:
            waiting.setdefault(claim.command, []).append(claim)
    order = sorted(waiting, key=lambda command: _turn(waiting[command][0]))
    living = [claim for claim in claims if claim.sent]
    entering = []
    for command in order:
        own = waiting[command]
        if isinstance(decide(command, [claim.property for claim in own], own[0].tier, living), Send):
            entering.append(command)
            living += [_sent(claim) for claim in own]
    return tuple(entering)


def _sent(claim: Claim) -> Claim:
    return msgspec.structs.replace(claim, sent=True)


def _turn(claim: Claim) -> tuple[int, datetime, str]:
    rank, since, command = claim.rank()
    return -rank, since, command


def desired(claims: Sequence[Claim]) -> dict[str, dict[str, Any]]:
    """Return what holds, by command: what a device is told again when it comes back online."""
    found: dict[str, dict[str, Any]] = {}
    for claim in sorted(winners(claims).values(), key=Claim.rank):
        found.setdefault(claim.command, {})[claim.property] = claim.value
    return found


def same(value: object, other: object) -> bool:
    """Whether a reported value proves the one that was set; floats may differ by rounding on the device."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, int | float) and isinstance(other, int | float):
        return abs(value - other) <= 1e-6 * max(1.0, abs(value), abs(other))
    return value == other
