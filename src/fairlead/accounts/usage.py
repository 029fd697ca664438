"""What is used: calls by person, token and UTC day, and bytes of bundles. Takes a session and the moment.

A call is counted where it is answered, by a counter that only grows for each replica, day and token. What is told of
it may come late, twice or out of order: the highest figure of each counter is kept beside the sums, and only what is
above it is added, in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from fairlead.messages import Metered
from fairlead.store.records import CallMark, GalleryEntry, StoredBundle, Token, Usage
from fairlead.store.rows import Rows, table_of

USER, TOKEN = "user", "token"
Subject = tuple[str, str]
"""``user`` or ``token``, and which."""
LATE_DAYS = 2
"""What is told of a day so long ago still counts."""
CALLS_MAX = 10**12
"""No replica counts more; whoever says so is not believed."""
_ROWS = Rows(
    table_of(Usage),
    ("day", "kind", "name", "calls"),
    more="ON CONFLICT (day, kind, name) DO UPDATE SET calls = usage.calls + excluded.calls",
)


def day_of(now: datetime) -> str:
    """Return the UTC day of ``now``: ``2026-11-21``."""
    return now.astimezone(UTC).date().isoformat()


def opens_at(now: datetime) -> datetime:
    """Return when the next UTC day begins."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=1)


def take(session: Session, told: Iterable[Metered], now: datetime) -> None:
    """Add what is new in what replicas counted; days long ago and tokens that are not there are passed over."""
    days = {day_of(now + timedelta(days=ahead)) for ahead in range(-LATE_DAYS, 2)}
    said = {
        (day, one.source, token): calls
        for one in told
        for day, by_token in one.days.items()
        for token, calls in by_token.items()
        if day in days and 0 < calls <= CALLS_MAX
    }
    if not said:
        return
    tokens = {token for _, _, token in said}
    users = {jti: user for jti, user in session.execute(select(Token.jti, Token.user).where(Token.jti.in_(tokens)))}
    marked = select(CallMark).where(
        CallMark.day.in_({day for day, _, _ in said}), CallMark.source.in_({source for _, source, _ in said})
    )
    marks = {(mark.day, mark.source, mark.token): mark for mark in session.scalars(marked)}
    strange = _strange(session, {(day, source) for day, source, _ in said}, {(day, source) for day, source, _ in marks})
    fresh: Counter[tuple[str, Subject]] = Counter()
    for (day, source, token), calls in said.items():
        mark = marks.get((day, source, token))
        new = calls - (mark.calls if mark is not None else 0)
        if new <= 0 or token not in users or (day, source) in strange:
            continue
        if mark is None:
            session.add(CallMark(day=day, source=source, token=token, calls=calls))
        else:
            mark.calls = calls
        fresh[day, (TOKEN, token)] += new
        fresh[day, (USER, users[token])] += new
    add(session, fresh)


def _strange(session: Session, said: set[tuple[str, str]], known: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the days and sources (``replica/process``) of replicas that counted under another name on that day.

    A replica is one process; one that invents names would leave marks without end.
    """
    found, named = set(), {(day, source.partition("/")[0]) for day, source in known}
    for day, source in sorted(said - known):
        replica = source.partition("/")[0]
        others = select(CallMark.source).where(
            CallMark.day == day, CallMark.source >= f"{replica}/", CallMark.source < f"{replica}0"
        )
        if (day, replica) in named or session.scalar(others.limit(1)) is not None:
            found.add((day, source))
        named.add((day, replica))
    return found


def add(session: Session, fresh: Mapping[tuple[str, Subject], int]) -> None:
    """Add calls by day and subject."""
    rows = [(day, kind, name, calls) for (day, (kind, name)), calls in fresh.items()]
    session.flush()
    _ROWS.insert(session.connection(), rows)


def calls(session: Session, kind: str, names: Iterable[str], now: datetime) -> dict[str, int]:
    """Return the calls of today by name; who made none is left out."""
    query = select(Usage.name, Usage.calls).where(
        Usage.day == day_of(now), Usage.kind == kind, Usage.name.in_(set(names))
    )
    return {name: count for name, count in session.execute(query)}


def forget(session: Session, before: datetime, now: datetime) -> int:
    """Remove the calls of days before ``before``, and marks that nothing is held against any more; returns how many."""
    old = session.execute(delete(Usage).where(Usage.day < day_of(before)).returning(Usage.name)).all()
    session.execute(delete(CallMark).where(CallMark.day < day_of(now - timedelta(days=LATE_DAYS))))
    return len(old)


# --- bundles ----------------------------------------------------------------------------------------------------------


def stored(session: Session, names: Iterable[str] | None = None) -> dict[str, int]:
    """Return the bytes that people (None: all) keep here: bundles, the same one under two names once, and results."""
    query = select(StoredBundle.user, StoredBundle.digest, StoredBundle.size_bytes)
    results = select(GalleryEntry.created_by, func.sum(GalleryEntry.size_bytes)).group_by(GalleryEntry.created_by)
    if names is not None:
        among = set(names)
        query = query.where(StoredBundle.user.in_(among))
        results = results.where(GalleryEntry.created_by.in_(among))
    sizes = {(user, digest): size for user, digest, size in session.execute(query)}
    found: Counter[str] = Counter()
    for (user, _), size in sizes.items():
        found[user] += size
    for user, size in session.execute(results):
        found[user] += int(size)
    return dict(found)


def has_stored(session: Session, user: str, digest: str) -> bool:
    query = select(StoredBundle.digest).where(StoredBundle.user == user, StoredBundle.digest == digest)
    return session.scalar(query.limit(1)) is not None


def keep(session: Session, user: str, digest: str, name: str, size_bytes: int) -> None:
    """Note that ``user`` pushed the bundle as ``name``."""
    if session.get(StoredBundle, (user, digest, name)) is None:
        session.add(StoredBundle(user=user, digest=digest, name=name, size_bytes=size_bytes))


def give_back(session: Session, name: str, digest: str = "") -> None:
    """Count what was pushed as ``name``, by whomever, for nobody any more: all of it, or one bundle."""
    which = (StoredBundle.digest == digest,) if digest else ()
    session.execute(delete(StoredBundle).where(StoredBundle.name == name, *which))
