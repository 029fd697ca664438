"""Links that need no token for a while: the path and the moment of their end, signed with the home's key. Pure.

What is signed names what it is for, so a link to one thing opens no other, and no other signature of the home is one.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta

import msgspec

from fairlead.errors import Forbidden
from fairlead.identity.seal import Sealer

LONGEST_S = 7 * 24 * 3600
"""What S3 signs for at most, too."""
_SIGNATURE_CHARACTERS = 43


class Link(msgspec.Struct, frozen=True):
    """A URL that anybody may GET until ``expires_at``."""

    url: str
    expires_at: datetime


def link(sealer: Sealer, base: str, path: str, now: datetime, for_s: float) -> Link:
    """Return the link to ``path`` at ``base`` (``https://HOST``)."""
    expires = int(now.timestamp() + for_s)
    url = f"{base}{path}?expires={expires}&signature={_signature(sealer, path, expires)}"
    return Link(url, datetime.fromtimestamp(expires, UTC))


def check(sealer: Sealer, path: str, expires: str, signature: str, now: datetime) -> None:
    """Return when ``path`` may be read with this signature; raises :class:`Forbidden` (``link_invalid``,
    ``link_expired``)."""
    is_moment = expires.isascii() and expires.isdigit() and len(expires) <= 11
    made = _signature(sealer, path, int(expires) if is_moment else 0)
    given = signature if signature.isascii() and len(signature) == _SIGNATURE_CHARACTERS else "-" * len(made)
    if not hmac.compare_digest(made, given) or not is_moment:
        raise Forbidden(
            "this link was not made here, or was changed",
            code="link_invalid",
            hint="copy all of it, or have a new one made: fairlead jobs link JOB",
        )
    if now >= datetime.fromtimestamp(int(expires), UTC):
        raise Forbidden(
            "this link has expired", code="link_expired", hint="have a new one made: fairlead jobs link JOB"
        )


def ends(now: datetime, for_s: float) -> datetime:
    """Return when a link made now ends that somebody else signs."""
    return (now + timedelta(seconds=int(for_s))).replace(microsecond=0)


def _signature(sealer: Sealer, path: str, expires: int) -> str:
    return sealer.derive(f"link GET {path} until {expires}")
