"""The outbox and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Literal

from fastapi import APIRouter
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check
from fairlead.api import moments
from fairlead.api.deps import TheHouse, Who
from fairlead.api.params import AfterRow, RowNumber
from fairlead.api.views.base import Page, page
from fairlead.api.views.journal import (
    EventView,
    MailShortView,
    MailView,
    event_view,
    mail_short_view,
    mail_view,
)
from fairlead.mail import outbox
from fairlead.store import journal
from fairlead.store.lookup import check_limit
from fairlead.store.records import Mail

router = APIRouter(tags=["mail"])


@router.get("/mail")
async def list_mails(
    house: TheHouse,
    who: Who,
    run: str | None = None,
    before: AfterRow = None,
    limit: int = 100,
    view: Literal["whole", "short"] = "whole",
) -> Page[MailView] | Page[MailShortView]:
    """Return letters, newest first: those of one's own runs, or all for who may read the audit.

    `view=short` is what lists show: no texts.
    """
    check_limit(limit)

    def read(session: Session) -> Sequence[Mail]:
        is_short = view == "short"
        return outbox.list_mails(session, run=run, user=_whose(who), before=before, limit=limit, is_short=is_short)

    found = await house.database.read(read)
    next_ = str(found[-1].id) if len(found) == limit else None
    if view == "short":
        return page([mail_short_view(mail) for mail in found], next_)
    return page([mail_view(mail) for mail in found], next_)


@router.get("/mail/{number}")
async def show_mail(number: RowNumber, house: TheHouse, who: Who) -> MailView:
    return await house.database.read(lambda session: mail_view(outbox.show(session, number, user=_whose(who))))


@router.get("/audit")
async def audit(
    house: TheHouse,
    who: Who,
    kind: str | None = None,
    by: str | None = None,
    since: str = "",
    before: AfterRow = None,
    limit: int = 100,
) -> Page[EventView]:
    """Return what people did, newest first."""
    check(who, Verb.SEE_AUDIT)
    check_limit(limit)
    from_ = moments.parse(since, house.clock.now(), UTC) if since else None
    found = await house.database.read(
        lambda s: journal.recent(s, kind=kind, by=by, people=True, since=from_, before=before, limit=limit)
    )
    return page([event_view(one) for one in found], str(found[-1].id) if len(found) == limit else None)


def _whose(who: Caller) -> str | None:
    """Return whose runs' letters the caller may read; None: all letters."""
    return None if who.may(Verb.SEE_AUDIT) else who.name
