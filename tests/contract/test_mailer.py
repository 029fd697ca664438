"""One suite for the SMTP mailer, against a mail server in this process, and the fake."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from fairlead.errors import Invalid, Unavailable
from fairlead.mail.port import Enclosure, Letter, Mailer
from fairlead.mail.smtp import SmtpMailer
from fairlead.testing.mailer import ListMailer

LETTER = Letter(
    ("ada@example.org", "eve@example.org"),
    "Grüße",
    "Zeile\n",
    (Enclosure("a.jpg", b"\xff\xd8", "image/jpeg"),),
    "mail-1",
)


@dataclass
class Server:
    """As much of RFC 5321 as a letter needs; ``refuse`` is its answer to each recipient."""

    refuse: bytes = b""
    letters: list[tuple[tuple[str, ...], EmailMessage]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to: list[str] = []
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            match line[:4].upper():
                case b"EHLO" | b"HELO" | b"MAIL" | b"RSET":
                    writer.write(b"250 ok\r\n")
                case b"RCPT":
                    to.append(line.decode().partition("<")[2].partition(">")[0])
                    writer.write(self.refuse or b"250 ok\r\n")
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    body = await reader.readuntil(b"\r\n.\r\n")
                    parsed = message_from_bytes(body[:-3], policy=policy.default)
                    assert isinstance(parsed, EmailMessage)
                    self.letters.append((tuple(to), parsed))
                    writer.write(b"250 ok\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"502 no\r\n")
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    state = Server()
    listening = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    yield state, f"smtp://127.0.0.1:{port}"
    listening.close()
    await listening.wait_closed()


@pytest.fixture(params=["smtp", "list"])
def mailer(request: pytest.FixtureRequest, server: tuple[Server, str]) -> Mailer:
    return SmtpMailer(server[1]) if request.param == "smtp" else ListMailer()


async def test_a_letter_arrives_whole(mailer: Mailer, server: tuple[Server, str]) -> None:
    await mailer.send(LETTER)

    if isinstance(mailer, ListMailer):
        assert mailer.letters == [LETTER]
        return
    ((to, message),) = server[0].letters
    (enclosure,) = message.iter_attachments()
    body = message.get_body(("plain",))
    assert body
    assert to == LETTER.to
    assert (message["Subject"], body.get_content().replace("\r\n", "\n")) == (LETTER.subject, LETTER.text)
    assert (enclosure.get_filename(), enclosure.get_content()) == ("a.jpg", b"\xff\xd8")
    assert message["Message-ID"] == "<mail-1@127.0.0.1>"


@pytest.mark.parametrize(("code", "kind"), [(550, Invalid), (451, Unavailable)])
async def test_a_refusal_is_final_or_not(
    mailer: Mailer, server: tuple[Server, str], code: int, kind: type[Invalid] | type[Unavailable]
) -> None:
    server[0].refuse = b"%d no\r\n" % code
    if isinstance(mailer, ListMailer):
        mailer.fails = kind("no")

    with pytest.raises(kind):
        await mailer.send(LETTER)


async def test_no_server_means_later() -> None:
    with pytest.raises(Unavailable):
        await SmtpMailer("smtp://127.0.0.1:1").send(LETTER)


@pytest.mark.parametrize("url", ["", "http://x", "smtp://", "smtp://h:port", "localhost:25"])
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        SmtpMailer(url)
