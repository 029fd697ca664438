"""The outbox and the audit."""

from __future__ import annotations

from datetime import UTC

from fastapi import APIRouter
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check
from fairlead.api import moments
from fairlead.api.deps import TheHouse, Who
from fairlead.api.params import AfterRow, RowNumber
from fairlead.api.views.base import Page, page
from fairlead.api.views.journal import EventView, MailView, event_view, mail_view
from fairlead.errors import NotFound
from fairlead.mail import outbox
from fairlead.store import journal
from fairlead.store.lookup import check_limit
from fairlead.store.records import Mail, Run

router = APIRouter(tags=["mail"])


@router.get("/mail")
async def list_mails(house: TheHouse, who: Who, run: str | None = None, limit: int = 100) -> Page[MailView]:
    """Return letters, newest first: those of one's own runs, or all for who may read the audit."""
    check_limit(limit)

    def read(session: Session) -> list[MailView]:
        found = outbox.list_mails(session, run=run, limit=limit)
        return [mail_view(mail) for mail in found if _may_read(session, who, mail)]

    return page(await house.database.read(read))


@router.get("/mail/{number}")
async def show_mail(number: RowNumber, house: TheHouse, who: Who) -> MailView:
    def read(session: Session) -> MailView:
        mail = outbox.show(session, number)
        if not _may_read(session, who, mail):
            raise NotFound(f"there is no mail {number}", code="mail_not_found", hint="fairlead mail lists them")
        return mail_view(mail)

    return await house.database.read(read)


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


def _may_read(session: Session, who: Caller, mail: Mail) -> bool:
    if who.may(Verb.SEE_AUDIT):
        return True
    run = session.get(Run, mail.run) if mail.run else None
    return run is not None and run.user == who.name
