"""The outbox: letters written, tried again, kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from fairlead.clock import SystemClock
from fairlead.errors import Busy, Invalid, NotFound, Unavailable
from fairlead.mail import outbox, worker
from fairlead.messages import Attachment
from fairlead.status import MailStatus
from fairlead.store.database import open_database
from fairlead.store.records import Run
from fairlead.testing.mailer import ListMailer
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        yield session


def test_a_subject_cannot_begin_another_header(session: Session) -> None:
    mail = outbox.post(session, ["ada@example.org"], "hello\r\nBcc: eve@example.org", "text", NOON)

    assert mail.subject == "hello Bcc: eve@example.org"


@pytest.mark.parametrize("address", ["", "ada", "@x", "a@", "a b@x", "a@x\n", "a,b@x", "<a@x>", "a@b@c"])
def test_a_bad_address_is_refused(session: Session, address: str) -> None:
    with pytest.raises(Invalid):
        outbox.post(session, [address], "s", "t", NOON)


def test_a_user_reads_the_letters_of_their_runs_however_many_others_wrote(session: Session) -> None:
    session.execute(text("PRAGMA foreign_keys = OFF"))  # the run alone is enough here
    session.add(
        Run(id="run-1", app="a", version="1", schedule="s", place="lab", starts_at=NOON, user="ada", created_at=NOON)
    )
    mine = outbox.post(session, ["ada@example.org"], "s", "t", NOON, run="run-1")
    for _ in range(3):
        other = outbox.post(session, ["eve@example.org"], "s", "t", NOON)

    assert outbox.list_mails(session, user="ada", limit=2) == [mine]
    assert outbox.list_mails(session, user="eve", limit=2) == []
    assert len(outbox.list_mails(session, limit=2)) == 2
    assert outbox.show(session, mine.id, user="ada") is mine
    with pytest.raises(NotFound):
        outbox.show(session, other.id, user="ada")


def test_a_run_cannot_flood(session: Session) -> None:
    for _ in range(outbox.PER_RUN_AND_HOUR):
        outbox.post(session, ["ada@example.org"], "s", "t", NOON, run="run-1")

    with pytest.raises(Busy):
        outbox.post(session, ["ada@example.org"], "s", "t", NOON, run="run-1")
    outbox.post(session, ["ada@example.org"], "s", "t", NOON + timedelta(hours=1), run="run-1")


def test_a_run_writes_to_so_many_a_day_and_the_platform_always(session: Session) -> None:
    def write(at: datetime, **more: bool) -> None:
        outbox.post(session, ["ada@example.org"] * 50, "s", "t", at, run="run-1", **more)

    most = outbox.RECIPIENTS_PER_DAY // 50
    for _ in range(most):
        write(NOON)
    later = NOON + timedelta(hours=2)

    with pytest.raises(Busy, match="within a day"):
        write(later)
    write(later, by_platform=True)
    write(NOON + timedelta(days=1))


def test_a_failed_try_waits_longer_each_time_and_ends(session: Session) -> None:
    mail = outbox.post(session, ["ada@example.org"], "s", "t", NOON)

    waits = []
    for _ in range(outbox.ATTEMPTS_MAX - 1):
        outbox.failed(session, mail.id, "no answer", NOON, final=False)
        waits.append((mail.due_at - NOON).total_seconds())
    assert waits[:3] == [30, 90, 270]
    outbox.failed(session, mail.id, "no answer", NOON, final=False)
    assert (mail.status, mail.reason) == (MailStatus.FAILED, "no answer")
    assert outbox.next_at(session) is None


async def test_letters_are_delivered_once_with_their_files(tmp_path: Path) -> None:
    mailer = ListMailer()

    async def fetch(key: str) -> bytes:
        return key.encode()

    async with open_database(f"sqlite:///{tmp_path / 'a.sqlite3'}") as database:
        now = SystemClock().now()
        attach = (Attachment("face.jpg", "media/1", "image/jpeg"),)
        await database.write(lambda session: outbox.post(session, ["a@x.org"], "s", "t", now, attach=attach))
        mailer.fails = Unavailable("no answer", code="mail_unavailable")
        assert await worker.deliver(database, mailer, fetch, SystemClock()) is not None
        mailer.fails = None
        await database.write(lambda session: setattr(outbox.show(session, 1), "due_at", now))
        assert await worker.deliver(database, mailer, fetch, SystemClock()) is None
        await worker.deliver(database, mailer, fetch, SystemClock())

        (letter,) = mailer.letters
        assert letter.enclosures[0].data == b"media/1"
        await database.write(lambda session: outbox.post(session, ["a@x.org"], "s", "t", now))
        await worker.deliver(database, None, fetch, SystemClock())
        kept = await database.read(lambda session: outbox.show(session, 2))
        assert kept.status is MailStatus.KEPT
