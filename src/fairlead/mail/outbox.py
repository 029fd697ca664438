"""The outbox: letters are written in the transaction of what they tell of, and sent afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session, defer

from fairlead import ids
from fairlead.errors import Busy, Invalid, NotFound, Problem
from fairlead.messages import Attachment
from fairlead.status import MailStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Mail, Run

SUBJECT_MAX = 300
TEXT_MAX = 1_000_000
RECIPIENTS_MAX = 50
ATTACHMENTS_MAX = 20
PER_RUN_AND_HOUR = 100
RECIPIENTS_PER_DAY = 1000
"""Of a run and those of its schedule that began within a day: an app that is let loose writes in the team's name."""
ATTEMPTS_MAX = 8
RETRY_S = 30.0
RETRY_FACTOR = 3.0


def post(
    session: Session,
    to: Sequence[str],
    subject: str,
    text: str,
    now: datetime,
    *,
    run: str | None = None,
    attach: tuple[Attachment, ...] = (),
    by_platform: bool = False,
) -> Mail:
    """Put a letter into the outbox; raises :class:`Invalid` with every problem, :class:`Busy` when a run floods it.

    ``by_platform``: it tells of the run, which did not write it; so it is never one too many.
    """
    problems = [
        Problem("to", "mail", f"{address[:80]!r} is no mail address")
        for address in to
        if not ids.is_mail_address(address)
    ]
    for path, count, most in (
        ("to", len(to), RECIPIENTS_MAX),
        ("subject", len(subject), SUBJECT_MAX),
        ("text", len(text), TEXT_MAX),
        ("attach", len(attach), ATTACHMENTS_MAX),
    ):
        if count > most:
            problems.append(Problem(path, "max", f"{count} are more than {most}", "send several, or attach a file"))
    if not to:
        problems.append(Problem("to", "required", "nobody to write to", "to=, or --notify of the schedule"))
    if problems:
        first = problems[0]
        raise Invalid(f"{first.path}: {first.message}", code="mail_invalid", hint=first.hint, problems=tuple(problems))
    if run is not None and not by_platform:
        _check_quota(session, run, len(to), now)
    mail = Mail(
        to=tuple(to),
        subject=" ".join(subject.split()) or "(no subject)",  # a line break would begin another header
        text=text,
        attach=attach,
        run=run,
        due_at=now,
        created_at=now,
    )
    session.add(mail)
    session.flush()
    note(session, "mail", str(mail.id), f"written to {', '.join(mail.to)}", now, status=MailStatus.WAITING)
    session.flush()
    return mail


def _check_quota(session: Session, run: str, recipients: int, now: datetime) -> None:
    since = now - timedelta(hours=1)
    count = session.scalar(select(func.count()).where(Mail.run == run, Mail.created_at > since)) or 0
    if count >= PER_RUN_AND_HOUR:
        message = f"{run} wrote {count} mails within an hour"
        raise Busy(message, code="too_many_mails", hint="write less often", retry_after_s=600)
    yesterday = now - timedelta(days=1)
    schedule = select(Run.schedule).where(Run.id == run).scalar_subquery()
    beside = select(Run.id).where(Run.schedule == schedule, Run.starts_at > yesterday)
    day = select(Mail.to).where(Mail.created_at > yesterday, (Mail.run == run) | Mail.run.in_(beside))
    written = sum(len(to) for to in session.scalars(day))
    if written + recipients > RECIPIENTS_PER_DAY:
        raise Busy(
            f"{run} and the runs before it wrote to {written} recipients within a day, of {RECIPIENTS_PER_DAY}",
            code="too_many_mails",
            hint="write less often, or to fewer; a list server is the place for many",
            retry_after_s=3600,
        )


def due(session: Session, now: datetime, limit: int = 20) -> Sequence[Mail]:
    """Return letters that wait and may be tried now, oldest first."""
    query = select(Mail).where(Mail.status == MailStatus.WAITING, Mail.due_at <= now)
    return session.scalars(query.order_by(Mail.due_at, Mail.id).limit(limit)).all()


def next_at(session: Session) -> datetime | None:
    """Return when a letter is due next."""
    return session.scalar(select(func.min(Mail.due_at)).where(Mail.status == MailStatus.WAITING))


def sent(session: Session, mail: int, now: datetime, refused: str = "") -> None:
    """Mark a letter as handed over, but for those ``refused``; again changes nothing."""
    record = show(session, mail)
    if record.status is MailStatus.WAITING:
        record.attempts += 1
        record.sent_at = now
        said = f"handed to the mail server, which refused {refused}" if refused else "handed to the mail server"
        move_to(session, record, MailStatus.SENT, said, now)
        session.flush()


def kept(session: Session, mail: int, now: datetime) -> None:
    """Mark a letter as kept here: there is no mail server."""
    record = show(session, mail)
    if record.status is MailStatus.WAITING:
        move_to(session, record, MailStatus.KEPT, "there is no mail server: read it here (setting mail)", now)
        session.flush()


def failed(session: Session, mail: int, why: str, now: datetime, *, final: bool) -> None:
    """Note a failed try: another one later, or, when final or after ``ATTEMPTS_MAX``, none."""
    record = show(session, mail)
    if record.status is not MailStatus.WAITING:
        return
    record.attempts += 1
    if final or record.attempts >= ATTEMPTS_MAX:
        move_to(session, record, MailStatus.FAILED, why, now)
    else:
        record.reason = why
        record.due_at = now + timedelta(seconds=RETRY_S * RETRY_FACTOR ** (record.attempts - 1))
        note(session, "mail", str(record.id), f"try {record.attempts}: {why}", now)
    session.flush()


def show(session: Session, mail: int, *, user: str | None = None) -> Mail:
    """Return a letter; of another ``user``'s run it raises :class:`NotFound`, as where there is none."""
    record = session.scalar(select(Mail).where(Mail.id == mail, _of(user)))
    if record is None:
        raise NotFound(f"there is no mail {mail}", code="mail_not_found", hint="fairlead mail lists them")
    return record


def list_mails(
    session: Session,
    *,
    run: str | None = None,
    user: str | None = None,
    before: int | None = None,
    limit: int = 100,
    is_short: bool = False,
) -> Sequence[Mail]:
    """Return letters, newest first; with ``user`` those of this one's runs alone.

    ``before`` is the last number of the page before; ``is_short``: without their texts.
    """
    query = select(Mail).where(_of(user)).order_by(Mail.id.desc()).limit(limit)
    if is_short:
        query = query.options(defer(Mail.text, raiseload=True))
    if before is not None:
        query = query.where(Mail.id < before)
    if run is not None:
        query = query.where(Mail.run == run)
    return session.scalars(query).all()


def _of(user: str | None) -> ColumnElement[bool]:
    """Return the condition of a letter of a user's runs; None: of any letter."""
    return true() if user is None else Mail.run.in_(select(Run.id).where(Run.user == user))
