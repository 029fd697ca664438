"""What routers ask for: the house, and who calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from fairlead.accounts import service
from fairlead.accounts.policy import Caller
from fairlead.control.house import House
from fairlead.identity.tokens import verify

COOKIE = "fl_session"


def house(request: Request) -> House:
    """Return the house that this application belongs to."""
    found: House = request.app.state.house
    return found


TheHouse = Annotated[House, Depends(house)]


def token_of(request: Request) -> str:
    """Return the token in ``Authorization``, ``X-API-Key`` or the page's cookie; empty without one."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given:
        return given.strip()
    return request.headers.get("x-api-key", "") or request.cookies.get(COOKIE, "")


async def caller(request: Request, house: TheHouse) -> Caller:
    """Return who calls. The token is verified here once more: a proxy's verdict alone is not trusted.

    Raises :class:`fairlead.errors.Forbidden`: ``token_required``, ``token_invalid``, ``token_expired``,
    ``token_revoked``, ``user_disabled``.
    """
    claims = verify(token_of(request), keys=house.keys, now=house.clock.now(), denied=house.denied)
    return await house.database.read(lambda session: service.caller_of(session, claims.sub, claims.roles, claims.jti))


Who = Annotated[Caller, Depends(caller)]


def address_of(request: Request) -> str:
    """Return the client's address as the front door saw it."""
    return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or "local"
