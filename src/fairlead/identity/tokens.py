"""Access tokens: made, and verified once more behind the front door.

A token is shown as ``fl_<jwt>``; in the page's cookie it stands without the prefix.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import jwt
import msgspec

from fairlead.errors import Forbidden, Invalid
from fairlead.identity.claims import DAYS_MAX, EVERYWHERE, ISSUER, Claims, page_audience
from fairlead.identity.keys import Keys, SigningKey
from fairlead.ids import new

PREFIX = "fl_"
_ALGORITHM = "EdDSA"
_REQUIRED = ["iss", "sub", "aud", "jti", "iat", "exp"]
_REMEMBERED = 1000
"""Tokens of which it is remembered that they were signed here."""
_SIGN_IN = "fairlead login URL, or ask a configurer, who may have disabled its user: fairlead users"


@dataclass(frozen=True)
class Minted:
    """A new token; it is shown once and stored nowhere."""

    token: str
    jti: str
    expires: datetime

    @property
    def cookie(self) -> str:
        """The token as the page's cookie carries it: without its prefix."""
        return self.token.removeprefix(PREFIX)


def mint(
    user: str, roles: Sequence[str], *, keys: Keys, days: float, now: datetime, audience: str = EVERYWHERE
) -> Minted:
    """Return a new token of ``user``; raises :class:`Invalid` unless 0 < ``days`` <= :data:`DAYS_MAX`."""
    if not 0 < days <= DAYS_MAX:
        raise Invalid(
            f"days: {days:g} is not above 0 and at most {DAYS_MAX}", code="days_out_of_range", hint="30 is usual"
        )
    expires = (now + timedelta(days=days)).replace(microsecond=0)
    jti = new("tok")
    payload = {
        "iss": ISSUER,
        "sub": user,
        "aud": audience,
        "roles": list(roles),
        "role": " ".join(roles),
        "jti": jti,
        "iat": int(now.timestamp()),
        "exp": int(expires.timestamp()),
    }
    text = jwt.encode(payload, keys.current.private, algorithm=_ALGORITHM, headers={"kid": keys.current.kid})
    return Minted(PREFIX + text, jti, expires)


def for_page(claims: Claims, page: str, *, keys: Keys) -> str:
    """Return a token, as a cookie carries it, that opens the page called ``page`` only.

    It lives as long as the session of ``claims`` and ends with it: revoking the one revokes both.
    """
    payload = msgspec.to_builtins(claims) | {"aud": page_audience(page), "role": " ".join(claims.roles)}
    return jwt.encode(payload, keys.current.private, algorithm=_ALGORITHM, headers={"kid": keys.current.kid})


def verify(
    token: str, *, keys: Keys, now: datetime, denied: Container[str] = (), audience: str | None = EVERYWHERE
) -> Claims:
    """Return the claims of ``token`` (with or without its prefix); ``audience`` None takes any.

    Raises :class:`Forbidden` with code ``token_required``, ``token_invalid``, ``token_expired`` or ``token_revoked``.
    """
    if not token:
        raise Forbidden("this needs a token", code="token_required", hint=_SIGN_IN)
    claims = _decode(token.removeprefix(PREFIX), keys, audience)
    if claims.exp <= now.timestamp():
        raise Forbidden("the token has expired", code="token_expired", hint=_SIGN_IN)
    if claims.jti in denied:
        raise Forbidden("the token was revoked", code="token_revoked", hint=_SIGN_IN)
    return claims


def _decode(text: str, keys: Keys, audience: str | None) -> Claims:
    try:
        key = keys.find(_named_key(text))
        if key is None:
            raise _invalid()
        return _verified(text, _Key(key), audience)
    except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
        raise _invalid() from error


@lru_cache(maxsize=_REMEMBERED)
def _named_key(text: str) -> str:
    """Return the id of the key that a token says it was signed with."""
    return str(jwt.get_unverified_header(text).get("kid", ""))


class _Key:
    """A signing key as part of a lookup: the same object is the same."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.key is other.key

    def __hash__(self) -> int:
        return id(self.key)


@lru_cache(maxsize=_REMEMBERED)
def _verified(text: str, key: _Key, audience: str | None) -> Claims:
    """Return what a token says that this key has signed; that is so for good, and verifying takes 0.1 ms.

    Raises :class:`jwt.InvalidTokenError` and :class:`msgspec.ValidationError`, of which nothing is remembered.
    """
    payload = jwt.decode(
        text,
        key.key.public,
        algorithms=[_ALGORITHM],
        issuer=ISSUER,
        audience=audience,
        # the moments are judged against the caller's clock, not the machine's
        options={
            "require": _REQUIRED,
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "verify_aud": audience is not None,
        },
    )
    return msgspec.convert(payload, Claims)


def _invalid() -> Forbidden:
    return Forbidden("the token is not one of this installation", code="token_invalid", hint=_SIGN_IN)
