"""Decides what was counted for objectives within each slice of time, whatever Envoy forgets. Pure.

Envoy's counters begin anew when it starts, and with a version that comes back; a keeper that was killed begins where
the file says that it was. So what is new is a difference to what was seen last, and what is told of a slice only grows:
control keeps the highest that it was told, and nothing counts twice however often it is told.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fairlead.figures import grown
from fairlead.gateway.measured import Counted
from fairlead.messages import Sliced

TOGETHER = 500
"""Slices in one message."""
KEPT_S = 3 * 86_400
"""Slices that control could not be told of for so long are given up."""
AHEAD_S = 300
"""A slice so far ahead was counted by a clock that has been put back since."""
Key = tuple[int, str]
"""Beginning of the slice, and ``name@version``."""


class Ledger(msgspec.Struct):
    """All that is known, as it lies on disk."""

    source: str
    """Another name for each ledger that begins anew."""
    door: str = ""
    """The Envoy that ``seen`` is of; empty: none was seen."""
    seen: dict[str, Counted] = {}
    """By ``name@version``: what Envoy said last."""
    slices: dict[Key, Sliced] = {}
    """What control has not written down in full."""


def take(ledger: Ledger, found: Mapping[str, Counted], door: str, at: int) -> bool:
    """Add what is new to the slice that begins at ``at``; returns whether there was anything.

    What a ledger that begins sees first is not new: nobody knows when it was counted.
    """
    first, same, is_new = not ledger.door, ledger.door == door, False
    if not same:
        ledger.seen.clear()
        ledger.door = door
    for name, now in found.items():
        before = ledger.seen.get(name, now if first else Counted())
        ledger.seen[name] = now
        fresh = _since(before, now)
        if any(fresh):
            is_new = True
            _add(ledger, (at, name), fresh)
    return is_new


def _since(before: Counted, now: Counted) -> tuple[int, int, int]:
    """Return answered, failed and slow since ``before``; a counter that fell began anew."""
    anew = now.timed < before.timed
    slow = now.slow if anew else max(0, now.slow - before.slow)
    return grown(before.answered, now.answered), grown(before.failed, now.failed), slow


def _add(ledger: Ledger, key: Key, fresh: tuple[int, int, int]) -> None:
    at, name = key
    model, _, version = name.partition("@")
    old = ledger.slices.get(key, Sliced(model, version, at))
    answered, failed, slow = fresh
    ledger.slices[key] = Sliced(model, version, at, old.answered + answered, old.failed + failed, old.slow + slow)


def due(kept: Mapping[Key, Sliced], told: Mapping[Key, Sliced]) -> tuple[Sliced, ...]:
    """Return what control should be told next of what is ``kept``, the oldest first; ``told``: what it has already."""
    wanted = (kept[key] for key in sorted(kept) if told.get(key) != kept[key])
    return tuple(one for one, _ in zip(wanted, range(TOGETHER), strict=False))


def forget(ledger: Ledger, told: dict[Key, Sliced], at: int) -> int:
    """Drop what control has of slices before the one that begins at ``at``, and what is too old to be told.

    Returns how many slices were never told.
    """
    lost = 0
    for key in [key for key in ledger.slices if at - key[0] > AHEAD_S]:
        is_told = told.get(key) == ledger.slices[key]
        if is_told or at - key[0] > KEPT_S:
            lost += not is_told
            del ledger.slices[key]
            told.pop(key, None)
    return lost


def renew(ledger: Ledger, told: dict[Key, Sliced], at: int, source: str) -> bool:
    """Go on under another name where the clock was put back: slices would come again that control knows already."""
    if not any(key[0] - at > AHEAD_S for key in ledger.slices):
        return False
    left = {key: _minus(one, told.get(key)) for key, one in ledger.slices.items()}
    ledger.slices = {key: one for key, one in left.items() if one.answered or one.failed or one.slow}
    ledger.source = source
    told.clear()
    return True


def _minus(one: Sliced, told: Sliced | None) -> Sliced:
    if told is None:
        return one
    return msgspec.structs.replace(
        one, answered=one.answered - told.answered, failed=one.failed - told.failed, slow=one.slow - told.slow
    )
