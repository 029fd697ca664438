"""Why something is as it is: facts in, one sentence and a chain out. Pure; ``logs.facts`` finds the facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from fairlead import clock


class Link(msgspec.Struct, frozen=True):
    """One link of a chain: what happened, when, to what."""

    at: datetime
    kind: str
    """schedule, run, reading, prediction, command, version, job, device, alias …"""
    id: str
    said: str
    status: str = ""
    """What it became; empty: the status stayed."""


class Why(msgspec.Struct, frozen=True):
    """The answer of ``fairlead why``."""

    of: str
    at: datetime
    answer: str
    chain: tuple[Link, ...]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A command, told for an explanation."""

    id: str
    device: str
    values: dict[str, str]
    """Property to its value as JSON; empty for a command that reads."""
    status: str
    reason: str
    tier: str
    at: datetime
    app: str | None = None
    run: str | None = None
    user: str = ""
    because: tuple[str, ...] = ()
    again: str = ""
    """Why it holds again, where it did before; empty: it is the first time."""


SENT_AGAIN = "sent again (attempt "
"""How it is told that a device did not answer a command."""
_READING = re.compile(r"(?P<kind>reading)\s+(?P<id>\S+)\s+(?P<said>.+?)(?:\s+at\s+(?P<at>\S+))?$", re.DOTALL)
_PREDICTION = re.compile(r"prediction\s+(?P<id>\S+?):?\s+(?:(?P<request>req-[^\s:]+):?\s+)?(?P<said>.+)$", re.DOTALL)


def of_command(of: str, at: datetime, order: Order, events: Sequence[Link], before: Sequence[Link]) -> Why:
    """Explain a command: ``events`` are its own, ``before`` those of the schedule and run that it came from."""
    causes = [because(text, order.at) for text in order.because]
    chain = ordered([*before, *causes, *events])
    reasons = [_spoken(link) for link in causes] + ([f"it holds again: {order.again}"] if order.again else [])
    reason = f": {'; '.join(reasons)}" if reasons else ""
    end = f" ({order.reason})" if order.status == "failed" else ""
    is_unanswered = order.status == "sent" and any(link.said.startswith(SENT_AGAIN) for link in events)
    if is_unanswered:
        end = f"; {order.device} has not answered yet"
    return Why(of, at, f"{_who(order)} {_did(order, is_unanswered)}{reason}{end}.", chain)


def _who(order: Order) -> str:
    if order.app:
        return order.app
    return order.user or "The platform"


def _did(order: Order, is_unanswered: bool) -> str:
    if not order.values:
        return f"asked {order.device} for fresh values"
    wish = "tries to " if is_unanswered else {"accepted": "wants to ", "failed": "tried to "}.get(order.status, "")
    if order.values.keys() == {"on"}:
        return (
            f"{wish}{'switch' if wish else 'switched'} {order.device} {'on' if order.values['on'] == 'true' else 'off'}"
        )
    return f"{wish}set " + ", ".join(f"{order.device}.{name} = {value}" for name, value in order.values.items())


def _spoken(link: Link) -> str:
    match link.kind:
        case "reading":
            return f"{link.id} read {link.said}"
        case "prediction":
            return f"{link.id} answered {link.said}"
        case "because":
            return link.said
        case _:
            return f"{link.id}: {link.said}"


def because(text: str, at: datetime) -> Link:
    """Return one cause as a link. ``send`` writes ``reading t1.temperature 27.4 at 14:03:06Z``; others write freely."""
    if match := _PREDICTION.match(text.strip()):
        return Link(at, "prediction", match["id"], match["said"])
    match = _READING.match(text.strip())
    if not match:
        return Link(at, "because", "", text.strip())
    return Link(_time(match["at"], at), match["kind"], match["id"], match["said"])


def _time(text: str | None, near: datetime) -> datetime:
    """Return the moment in ``text``; a bare time of day is the last one at or before ``near``."""
    if text is None:
        return near
    try:
        if "T" in text:
            return clock.from_text(text)
        moment = clock.from_text(f"{near.astimezone(UTC):%Y-%m-%d}T{text}")
    except ValueError:
        return near
    return moment if moment <= near else moment - _DAY


_DAY = datetime(2000, 1, 2, tzinfo=UTC) - datetime(2000, 1, 1, tzinfo=UTC)


def of_events(of: str, at: datetime, events: Sequence[Link], before: Sequence[Link] = (), *, what: str = "") -> Why:
    """Explain a life by the last thing that happened to it; ``what`` is what a sentence calls it."""
    if not events:
        return Why(of, at, f"Nothing was known of {of} by {at:%Y-%m-%d %H:%M:%SZ}.", ordered(before))
    last = events[-1]
    return Why(of, at, f"{_sentence(of, last, what)}.", ordered([*before, *events]))


_PAST = {"failed": "has failed", "succeeded": "has succeeded", "canceled": "was canceled", "skipped": "was skipped"}
_WAITS = "waits: "


def _sentence(of: str, last: Link, what: str) -> str:
    if last.kind == "alias":
        return _alias(last)
    if last.status:
        reason = last.said.removeprefix(last.status).removeprefix(": ")
        is_so = _PAST.get(last.status, f"is {last.status}")
        return f"{what or last.id} {is_so}{f': {reason}' if reason else ''}"
    if what and last.kind == "run":
        return f"{what} {last.said}" if last.said.startswith(_WAITS) else f"{what}: {last.said}"
    return f"{of}: {last.said}"


def _alias(last: Link) -> str:
    """Return a move of an alias, ``3 → 4``, as a sentence."""
    before, arrow, after = last.said.partition("→")
    if not arrow:
        return f"{last.id} {'was removed' if last.said == 'removed' else last.said}"
    named = before.strip()
    return f"{last.id} names {after.strip()}{f'; it named {named} before' if named else ''}"


def of_reading(of: str, at: datetime, value: str, measured: datetime, after: Why | None = None) -> Why:
    """Explain a value that no command set; ``after`` explains the command that had set another one."""
    last = "no command of the platform set it."
    if after is not None:
        last = f"before that, {after.answer.replace('The platform', 'the platform', 1)}"
    told = Link(measured, "reading", of, value)
    chain = ordered([*after.chain, told]) if after else (told,)
    return Why(of, at, f"The device reported {of} = {value} itself; {last}", chain)


def ordered(links: Iterable[Link]) -> tuple[Link, ...]:
    """Return links in order of time, each once; those of the same second stay in the order given.

    What a program says of its causes knows seconds only: a cause would else stand before what led to it.
    """
    return tuple(sorted(dict.fromkeys(links), key=lambda link: link.at.replace(microsecond=0)))
