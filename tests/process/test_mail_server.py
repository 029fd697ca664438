"""Mail by a real SMTP server (aiosmtpd): TLS, sign-in, refusals, and a server that is away."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from tests.certificates import Authority

from fairlead.errors import Invalid, Unavailable
from fairlead.mail.port import Enclosure, Letter
from fairlead.mail.smtp import SmtpMailer

LETTER = Letter(
    ("ada@example.org",), "cool is running", "cool runs at lab.\n\nIts page: https://cool.example.org/ <b>now</b>\n"
)


class Received:
    """What came. ``says`` answers the data, ``refused`` recipients their address."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.sessions: list[Session] = []
        self.says, self.refused = "250 OK", {"gone@example.org": "550 5.1.1 no such person"}

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        if self.says.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            made = email.message_from_bytes(content, policy=email.policy.default)
            assert isinstance(made, EmailMessage)
            self.mails.append(made)
            self.sessions.append(session)
        return self.says


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        port: int = made.getsockname()[1]
    return port


@contextmanager
def server(received: Received, **more: Any) -> Iterator[int]:
    controller = Controller(received, hostname="127.0.0.1", port=free_port(), ready_timeout=30, **more)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate of an authority that is trusted."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue()
    (tmp_path / "server.pem").write_bytes(certificate + key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return made


def knows(_: SMTP, __: Session, ___: Envelope, ____: str, given: Any) -> AuthResult:
    is_known = given == LoginPassword(b"ada", b"p@ss word")
    return AuthResult(success=is_known, handled=is_known)


async def test_a_letter_comes_as_text_and_as_a_page_with_its_files(received: Received) -> None:
    letter = Letter(LETTER.to, LETTER.subject, LETTER.text, enclosures=(Enclosure("f.jpg", b"\xff", "image/jpeg"),))
    with server(received) as port:
        assert await SmtpMailer(f"smtp://127.0.0.1:{port}").send(letter) == ""
    (mail,) = received.mails
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert page is not None
    assert text.get_content().replace("\r\n", "\n") == LETTER.text
    assert 'href="https://cool.example.org/"' in page.get_content()
    assert "&lt;b&gt;now" in page.get_content()
    assert [one.get_filename() for one in mail.iter_attachments()] == ["f.jpg"]
    assert mail["Auto-Submitted"] == "auto-generated"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_it_is_encrypted_and_signed_in_where_the_server_can(
    received: Received, context: ssl.SSLContext, scheme: str
) -> None:
    more: dict[str, Any] = {"authenticator": knows, "auth_required": True}
    more |= {"tls_context": context} if scheme == "smtp" else {"ssl_context": context, "auth_require_tls": False}
    with server(received, **more) as port:
        await SmtpMailer(f"{scheme}://ada:p%40ss%20word@127.0.0.1:{port}").send(LETTER)
        assert received.sessions[0].authenticated
        with pytest.raises(Unavailable, match="535"):
            await SmtpMailer(f"{scheme}://ada:wrong@127.0.0.1:{port}").send(LETTER)
    assert len(received.mails) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_a_password_leaves_the_machine_by_tls_only(received: Received, context: ssl.SSLContext) -> None:
    """0.0.0.0 is this machine, and no address of loopback; who offers no STARTTLS may have been made to."""
    told: list[object] = []

    def hears(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        told.append(given)
        return knows(server, session, envelope, mechanism, given)

    more: dict[str, Any] = {"authenticator": hears, "auth_required": True}
    with server(received, **more, auth_require_tls=False) as port:
        with pytest.raises(Unavailable, match="offers no STARTTLS: the password was not sent in clear") as caught:
            await SmtpMailer(f"smtp://ada:p%40ss%20word@0.0.0.0:{port}").send(LETTER)
        assert (caught.value.code, told, received.mails) == ("mail_not_encrypted", [], [])
        await SmtpMailer(f"smtp://ada:p%40ss%20word@127.0.0.1:{port}").send(LETTER)  # it stays on the machine
    other = pytest.raises(Unavailable, match="certificate")  # is localhost's: TLS is held to its name
    with server(received, **more, tls_context=context) as port, other:
        await SmtpMailer(f"smtp://ada:p%40ss%20word@0.0.0.0:{port}").send(LETTER)
    assert len(told) == len(received.mails) == 1


async def test_a_letter_without_a_password_goes_where_there_is_no_tls(received: Received) -> None:
    with server(received) as port:
        assert await SmtpMailer(f"smtp://0.0.0.0:{port}").send(LETTER) == ""


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    received: Received, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with server(received, ssl_context=context) as port, pytest.raises(Unavailable, match="certificate"):
        await SmtpMailer(f"smtps://127.0.0.1:{port}").send(LETTER)
    assert received.mails == []


@pytest.mark.parametrize(
    ("says", "kind", "code"),
    [
        ("451 4.7.1 greylisted, come back later", Unavailable, "mail_unavailable"),
        ("421 4.3.2 closing", Unavailable, "mail_unavailable"),
        ("554 5.7.1 looks like spam", Invalid, "mail_refused"),
    ],
)
async def test_what_a_server_says_for_now_is_tried_again_and_what_it_says_for_good_is_not(
    received: Received, says: str, kind: type[Exception], code: str
) -> None:
    received.says = says
    with server(received) as port, pytest.raises(kind, match=says[:3]) as caught:
        await SmtpMailer(f"smtp://127.0.0.1:{port}").send(LETTER)
    assert getattr(caught.value, "code", "") == code


async def test_a_recipient_that_is_refused_is_told_and_the_others_get_it(received: Received) -> None:
    with server(received) as port:
        mailer = SmtpMailer(f"smtp://127.0.0.1:{port}")
        both = Letter(("gone@example.org", *LETTER.to), LETTER.subject, LETTER.text)
        assert "gone@example.org: 550" in await mailer.send(both)
        with pytest.raises(Invalid, match="no such person"):
            await mailer.send(Letter(("gone@example.org",), LETTER.subject, LETTER.text))
    assert len(received.mails) == 1


async def test_a_server_that_is_away_is_tried_again() -> None:
    with pytest.raises(Unavailable):
        await SmtpMailer(f"smtp://127.0.0.1:{free_port()}").send(LETTER)
