"""From what was asked for and what keepers report to what must change. Pure: the same again gives the same.

A rollout, a wake-up and a restarted control plane are this plan seen once more with newer reports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fairlead.messages import ErrorInfo, NodeReport, Prepared, Target, VersionReport
from fairlead.status import VersionStatus

Key = tuple[str, str]
"""Model and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What is known of a version."""

    model: str
    version: str
    digest: str
    status: VersionStatus
    reason: str = ""
    step: str = ""
    attempt: int = 0
    proven: bool = False
    """It was ready once."""
    takes: str | None = None
    takes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What an alias names."""

    targets: tuple[Target, ...]
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What all nodes report of a version's present attempt."""

    prepared: tuple[Prepared, ...] = ()
    reports: tuple[VersionReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """It is further in its preparation."""

    key: Key
    step: str
    said: str


@dataclass(frozen=True, slots=True)
class MarkStarting:
    """It is prepared: a first replica shall load it."""

    key: Key
    signature: Mapping[str, Any] | None = field(hash=False)
    preload: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MarkReady:
    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class MarkSleeping:
    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class MarkFailed:
    key: Key
    error: ErrorInfo
    last_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TakeAlias:
    """It is ready: the alias that its push asked for is its own now."""

    key: Key
    alias: str


@dataclass(frozen=True, slots=True)
class LeaveAlias:
    """The alias was moved since the push asked for it: the later wish holds."""

    key: Key
    alias: str


@dataclass(frozen=True, slots=True)
class Retire:
    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class Revive:
    """An alias names a retired version, or a push asked for it: it may sleep and be woken again."""

    key: Key
    reason: str


Action = Progress | MarkStarting | MarkReady | MarkSleeping | MarkFailed | TakeAlias | LeaveAlias | Retire | Revive


def decide(
    versions: Iterable[Version],
    aliases: Mapping[tuple[str, str], Held],
    reports: Sequence[NodeReport],
    busy: Collection[Key] = (),
) -> list[Action]:
    """Return what changes now; ``aliases`` by (model, alias). A version that is ``busy`` with jobs is not retired."""
    named = {(model, target.version) for (model, _), held in aliases.items() for target in held.targets}
    by_version = _gather(reports)
    actions: list[Action] = []
    for version in versions:
        key = (version.model, version.version)
        seen = _present(version, by_version.get(key, Seen()))
        held = aliases.get((version.model, version.takes)) if version.takes else None
        actions += _decide_one(version, key, seen, held, named=key in named, busy=key in busy)
    return actions


def _decide_one(
    version: Version, key: Key, seen: Seen, held: Held | None, *, named: bool, busy: bool
) -> Iterator[Action]:
    match version.status:
        case VersionStatus.BUILDING:
            yield from _building(version, key, seen)
        case VersionStatus.STARTING:
            yield from _starting(version, key, seen)
        case VersionStatus.READY | VersionStatus.SLEEPING:
            if version.takes is not None:
                late = held is not None and _later(held.asked_at, version.takes_at)
                yield LeaveAlias(key, version.takes) if late else TakeAlias(key, version.takes)
            elif not (named or busy):
                yield Retire(key, "no alias names it")
            else:
                yield from _awake(version, key, seen)
        case VersionStatus.RETIRED:
            if named:
                yield Revive(key, "an alias names it again")
            elif version.takes is not None:
                yield Revive(key, "pushed again")
        case VersionStatus.FAILED:
            pass


def _building(version: Version, key: Key, seen: Seen) -> Iterator[Action]:
    done = next((one for one in seen.prepared if one.step == "done"), None)
    failed = next((one for one in seen.prepared if one.step == "failed"), None)
    if done is not None:
        yield MarkStarting(key, done.signature, done.preload, done.warnings)
    elif failed is not None:
        error = failed.error or ErrorInfo("prepare_failed", failed.said or "its preparation failed")
        yield MarkFailed(key, error, failed.last_lines)
    elif seen.prepared and (seen.prepared[0].step, seen.prepared[0].said) != (version.step, version.reason):
        yield Progress(key, seen.prepared[0].step, seen.prepared[0].said)


def _starting(version: Version, key: Key, seen: Seen) -> Iterator[Action]:
    ready = next((one for one in seen.reports if one.status is VersionStatus.READY), None)
    failed = next((one for one in seen.reports if one.status is VersionStatus.FAILED), None)
    trouble = next((one for one in seen.reports if one.status is VersionStatus.STARTING and one.reason), None)
    lost = next((one for one in seen.prepared if one.step == "failed"), None)
    if ready is not None:
        yield MarkReady(key, "a replica is ready")
    elif failed is not None:
        error = failed.error or ErrorInfo("start_failed", failed.reason or "no replica started")
        yield MarkFailed(key, error, failed.last_lines)
    elif lost is not None:  # another node, or the same after it lost its files
        yield MarkFailed(key, lost.error or ErrorInfo("prepare_failed", lost.said), lost.last_lines)
    elif trouble is not None and trouble.reason != version.reason:
        yield Progress(key, "start", trouble.reason)


def _awake(version: Version, key: Key, seen: Seen) -> Iterator[Action]:
    """Follow the nodes: ready where any node has a replica, sleeping where all say so."""
    statuses = {one.status for one in seen.reports}
    if version.status is VersionStatus.SLEEPING and VersionStatus.READY in statuses:
        yield MarkReady(key, "woken")
    elif version.status is VersionStatus.READY and statuses == {VersionStatus.SLEEPING}:
        yield MarkSleeping(key, seen.reports[0].reason or "idle")


def _gather(reports: Sequence[NodeReport]) -> dict[Key, Seen]:
    found: dict[Key, Seen] = {}
    for report in reports:
        for prepared in report.prepared:
            if prepared.kind == "model":
                key = (prepared.name, prepared.version)
                seen = found.get(key, Seen())
                found[key] = Seen((*seen.prepared, prepared), seen.reports)
        for one in report.versions:
            seen = found.get((one.model, one.version), Seen())
            found[one.model, one.version] = Seen(seen.prepared, (*seen.reports, one))
    return found


def _present(version: Version, seen: Seen) -> Seen:
    """Leave out what speaks of an earlier attempt or of other content."""
    return Seen(
        tuple(one for one in seen.prepared if one.attempt >= version.attempt and one.digest == version.digest),
        tuple(one for one in seen.reports if one.attempt >= version.attempt),
    )


def _later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one > other
