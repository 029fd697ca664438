"""What a token says; values only.

A token is a JWT (RFC 7519) that the front door verifies by itself. Its claims: ``iss`` (always :data:`ISSUER`),
``sub`` (user), ``aud`` (:data:`EVERYWHERE`, or one page), ``roles`` (list) and ``role`` (the same roles joined by
spaces, because the front door can hand on text but no lists), ``jti`` (token id), ``iat`` and ``exp`` (Unix seconds).
"""

from __future__ import annotations

import msgspec

ISSUER = "fairlead"
EVERYWHERE = "fairlead"
"""Audience of tokens for the API, the models and every page that the user may see."""
DAYS_MAX = 366
"""Longest life of a token, in days; the front door refuses longer ones too."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """A verified token's claims."""

    sub: str
    """Name of the user."""
    roles: tuple[str, ...]
    jti: str
    """Id of the token; revoked by it."""
    iat: int
    """Issued at, Unix seconds."""
    exp: int
    """Expires at, Unix seconds."""
    aud: str = EVERYWHERE
    iss: str = ISSUER

    def has(self, role: str) -> bool:
        return role in self.roles


def page_audience(page: str) -> str:
    """Return the audience of a token that opens only the page called ``page``."""
    return f"page:{page}"
