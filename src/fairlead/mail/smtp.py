"""Letters over SMTP (RFC 5321), with aiosmtplib."""

from __future__ import annotations

import ipaddress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

import aiosmtplib

from fairlead.errors import Invalid, Unavailable
from fairlead.mail.page import page
from fairlead.mail.port import Letter

TIMEOUT_S = 30.0


class SmtpMailer:
    """Sends over one connection a letter; TLS as the URL's scheme and the server say."""

    def __init__(self, url: str, *, sender: str | None = None) -> None:
        """``smtp://user:password@host:port`` (STARTTLS where offered) or ``smtps://…`` (TLS from the start).

        A password leaves this machine by TLS only: beyond loopback STARTTLS must be offered then.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == -1:
            message = "the setting mail is no SMTP URL"
            raise Invalid(message, code="settings_invalid", hint="smtp://user:password@host:587")
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = port or (465 if self._tls else 587)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._must_encrypt = self._password is not None and not self._tls and not _is_loopback(self._host)
        self.sender = sender or (self._user if self._user and "@" in self._user else f"fairlead@{self._host}")

    async def send(self, letter: Letter) -> str:
        try:
            refused, _ = await aiosmtplib.send(
                self._compose(letter),
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._tls,
                start_tls=True if self._must_encrypt else None,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            said = "; ".join(f"{refused.recipient}: {refused.message}" for refused in error.recipients)
            raise _translate(min(codes, default=0), said) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _translate(error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            if self._must_encrypt and "STARTTLS extension not supported" in str(error):
                raise Unavailable(
                    f"{self._host} offers no STARTTLS: the password was not sent in clear",
                    code="mail_not_encrypted",
                    hint=f"setting mail: smtps://USER:PASSWORD@{self._host}, or a server with STARTTLS",
                ) from error
            raise _translate(0, str(error)) from error
        return "; ".join(f"{address}: {one.code} {one.message}" for address, one in refused.items())[:500]

    def _compose(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = ", ".join(letter.to)
        message["Subject"] = letter.subject
        message["Date"] = formatdate()
        domain = self.sender.rpartition("@")[2]
        message["Message-ID"] = f"<{letter.id}@{domain}>" if letter.id else make_msgid(domain=domain)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office programs keep quiet
        message.set_content(letter.text)
        message.add_alternative(page(letter.subject, letter.text), subtype="html")
        for enclosure in letter.enclosures:
            kind, _, subtype = enclosure.content_type.partition("/")
            message.add_attachment(
                enclosure.data, maintype=kind, subtype=subtype or "octet-stream", filename=enclosure.name
            )
        return message


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _translate(code: int, said: str) -> Invalid | Unavailable:
    # RFC 5321 §4.2.1: 5yz is final. 535 (RFC 4954) speaks of our password, which a person can correct meanwhile.
    if 500 <= code < 600 and code not in (530, 534, 535, 538):
        return Invalid(
            f"the mail server refused it: {code} {said}"[:500], code="mail_refused", hint="check the address"
        )
    return Unavailable(
        f"the mail server did not take it: {code or ''} {said}".replace("  ", " ")[:500],
        code="mail_unavailable",
        hint="check the setting mail; it is tried again",
    )
