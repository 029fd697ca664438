"""Facts of cards as they are kept: what is due to be asked for, what was answered. Takes a session and the moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from fairlead.hub.cards import Known, Ref, refs_of
from fairlead.store.records import CardFact, Model

FRESH = timedelta(days=7)
"""So long what a site said is good; then it is asked again."""
AGAIN = timedelta(hours=1)
"""A site that could not be asked is tried again after so long."""


def wanted(session: Session) -> set[Ref]:
    """Return all that cards of models name now."""
    cards = session.scalars(select(Model.card).where(Model.removed_at.is_(None)))
    return {ref for card in cards for ref in refs_of(card)}


def due(session: Session, now: datetime) -> list[Ref]:
    """Return what is to be asked for now, in order; reads only."""
    rows = {(one.source, one.ref): one for one in session.scalars(select(CardFact))}
    return sorted(
        (ref for ref in wanted(session) if _is_due(rows.get((ref.site, ref.id)), now)),
        key=lambda ref: (ref.site, ref.id),
    )


def write(session: Session, ref: Ref, facts: Mapping[str, Any] | None, why: str, now: datetime) -> None:
    """Keep what a site answered; where it could not be asked, what it said before stays."""
    row = session.get(CardFact, (ref.site, ref.id))
    if row is None:
        row = CardFact(source=ref.site, ref=ref.id, tried_at=now)
        session.add(row)
    row.tried_at, row.why = now, why
    if facts is not None:
        row.facts, row.fetched_at = dict(facts), now


def forget(session: Session, kept: Collection[Ref]) -> None:
    """Remove what no card names any more."""
    for row in session.scalars(select(CardFact)):
        if Ref(row.source, row.ref) not in kept:
            session.execute(delete(CardFact).where(CardFact.source == row.source, CardFact.ref == row.ref))


def known(session: Session, card: Mapping[str, Any]) -> list[Known]:
    """Return what is known of all that a card names, asked for or not."""
    refs = refs_of(card)
    if not refs:
        return []
    named = or_(*((CardFact.source == ref.site) & (CardFact.ref == ref.id) for ref in refs))
    rows = {(one.source, one.ref): one for one in session.scalars(select(CardFact).where(named))}
    found = []
    for ref in refs:
        row = rows.get((ref.site, ref.id))
        found.append(Known(ref) if row is None else Known(ref, row.facts, row.fetched_at, row.tried_at, row.why))
    return found


def _is_due(row: CardFact | None, now: datetime) -> bool:
    if row is None:
        return True
    if row.why:
        return now - row.tried_at >= AGAIN
    return now - row.tried_at >= FRESH
