"""What routers ask for: the house, and who calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from fairlead.accounts.policy import Caller
from fairlead.api.call import Headers
from fairlead.control.house import House
from fairlead.errors import Forbidden
from fairlead.identity.claims import Claims
from fairlead.identity.cookies import session_cookie
from fairlead.identity.tokens import verify


def house(request: Request) -> House:
    """Return the house that this application belongs to."""
    found: House = request.app.state.house
    return found


async def of_request(request: Request) -> House:
    """Return the same. FastAPI calls what is not async in a thread, which costs each request more than all of this."""
    return house(request)


TheHouse = Annotated[House, Depends(of_request)]


SAFE = ("GET", "HEAD", "OPTIONS")


def token_of(request: Request) -> str:
    """Return the token in ``Authorization``, ``X-API-Key`` or the page's cookie; empty without one.

    What else stands in ``Authorization`` alone is returned as it is: it is none that is good.

    Raises :class:`Forbidden` (``origin_refused``) for a change that another site had the browser ask for: pages of
    apps are below the same domain, so the cookie's ``SameSite`` alone does not keep them out.
    """
    if given := bearer_of(request.headers):
        return given
    cookie = cookie_of(request)
    if cookie and request.method not in SAFE:
        check_origin(request)
    return cookie or request.headers.get("authorization", "")


def bearer_of(headers: Headers) -> str:
    """Return the token in ``Authorization`` or ``X-API-Key``, by names in lower case; empty without one."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given:
        return given.strip()
    return headers.get("x-api-key", "")


def cookie_of(request: Request) -> str:
    """Return the token that the browser keeps; empty without one."""
    return request.cookies.get(session_cookie(house(request).settings.is_https), "")


def check_origin(request: Request) -> None:
    """Raise :class:`Forbidden` (``origin_refused``) unless a page of this very site asks; so does the front door."""
    settings = house(request).settings
    own = {settings.url, f"{'https' if settings.is_https else 'http'}://{request.headers.get('host', '')}"}
    if request.headers.get("origin", "") not in own and request.headers.get("sec-fetch-site") != "same-origin":
        raise Forbidden(
            "this change was asked for by another site",
            code="origin_refused",
            hint="sign in here, or send the token in Authorization",
        )


async def verified(request: Request, house: TheHouse) -> Claims:
    """Return what the token says. It is verified here once more: a proxy's verdict alone is not trusted.

    Raises :class:`fairlead.errors.Forbidden`: ``token_required``, ``token_invalid``, ``token_expired``,
    ``token_revoked``.
    """
    return verify(token_of(request), keys=house.keys, now=house.clock.now(), denied=house.denied)


Verified = Annotated[Claims, Depends(verified)]


async def caller(house: TheHouse, claims: Verified) -> Caller:
    """Return who calls. Raises what :func:`verified` and ``house.directory.caller`` raise."""
    return await house.directory.caller(claims)


Who = Annotated[Caller, Depends(caller)]


def address_of(request: Request) -> str:
    """Return the client's address as the front door saw it."""
    return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or "local"
