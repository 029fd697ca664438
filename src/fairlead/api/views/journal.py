"""What happened: why, logs, mails, the audit (docs/contract.md §8)."""

from __future__ import annotations

from pydantic import Field

from fairlead.api.views.base import View, moment
from fairlead.control.sources import Told
from fairlead.logs.why import Why
from fairlead.store.records import Event, Mail


class LinkView(View):
    at: str | None
    kind: str
    id: str
    said: str


class WhyView(View):
    of: str
    at: str | None
    answer: str
    chain: list[LinkView]


class LineView(View):
    at: str | None
    level: str
    source: str
    said: str


class AttachmentView(View):
    name: str
    content_type: str


class MailShortView(View):
    """A letter as lists show it."""

    id: int
    to: list[str]
    subject: str
    attachments: list[AttachmentView]
    run: str | None
    status: str
    reason: str | None
    attempts: int
    created_at: str | None
    sent_at: str | None


class MailView(MailShortView):
    text: str


class EventView(View):
    id: int
    at: str | None
    kind: str
    ref: str
    said: str
    before: str | None = Field(serialization_alias="from")
    to: str | None
    because: list[str]
    by: str | None


def why_view(why: Why) -> WhyView:
    chain = [LinkView(at=moment(link.at), kind=link.kind, id=link.id, said=link.said) for link in why.chain]
    return WhyView(of=why.of, at=moment(why.at), answer=why.answer, chain=chain)


def line_view(told: Told) -> LineView:
    return LineView(at=moment(told.line.at), level=told.line.level, source=told.source, said=told.line.said)


def mail_view(mail: Mail) -> MailView:
    return MailView(**dict(mail_short_view(mail)), text=mail.text)


def mail_short_view(mail: Mail) -> MailShortView:
    return MailShortView(
        id=mail.id,
        to=list(mail.to),
        subject=mail.subject,
        attachments=[AttachmentView(name=one.name, content_type=one.content_type) for one in mail.attach],
        run=mail.run,
        status=mail.status.value,
        reason=mail.reason or None,
        attempts=mail.attempts,
        created_at=moment(mail.created_at),
        sent_at=moment(mail.sent_at),
    )


def event_view(event: Event) -> EventView:
    return EventView(
        id=event.id,
        at=moment(event.at),
        kind=event.kind,
        ref=event.ref,
        said=event.said,
        before=event.status_from,
        to=event.status_to,
        because=list(event.because),
        by=event.by or None,
    )
