"""Signing in and out with a browser: a form, a cookie, and the way back to where one came from."""

from __future__ import annotations

import math
from datetime import datetime
from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from fairlead.accounts import service, tokens
from fairlead.accounts.policy import Caller
from fairlead.api.deps import TheHouse, address_of, caller, check_origin, cookie_of, verified
from fairlead.api.handover import entry
from fairlead.api.html import page
from fairlead.apps.pages import show_page
from fairlead.control.house import House
from fairlead.errors import Error, Forbidden, Invalid, Kind, NotFound
from fairlead.identity.cookies import session_cookie
from fairlead.identity.tokens import verify

router = APIRouter(include_in_schema=False)
PATH = "/sign-in"
_FIELDS_MAX = 10
_TEXT_MAX = 4096
_STATUS = {Kind.BUSY: 429, Kind.FORBIDDEN: 401}


@router.get(PATH)
async def form(request: Request, house: TheHouse) -> Response:
    """Show the form, or lead back whoever is signed in already.

    The query is what the front door writes: ``next=`` is its last part, and everything after it, as it was asked for.
    """
    before, _, back = request.url.query.partition("next=")
    host = _fields(before).get("at", [""])[-1]
    who = await known(request, house)
    if who is None:
        return _form(house, host, back)
    return await _lead_back(request, house, cookie_of(request), host, back)


@router.post(PATH)
async def sign_in(request: Request, house: TheHouse) -> Response:
    """Sign in by name and password; the cookie that comes with it is what pages show instead of a token."""
    check_origin(request)
    sent = _fields((await request.body()).decode("utf-8", "replace"))
    user, password, host, back = (sent.get(name, [""])[-1][:_TEXT_MAX] for name in ("user", "password", "at", "next"))
    try:
        signed = await house.sign_in.sign_in(
            user, password, address_of(request), keys=house.keys, days=house.settings.token_days
        )
    except Error as error:
        if error.kind not in _STATUS:
            raise
        return _form(house, host, back, user=user, wrong=error)
    answer = await _lead_back(request, house, signed.minted.cookie, host, back)
    set_session(answer, house, signed.minted.cookie, signed.minted.expires)
    return answer


def _fields(text: str) -> dict[str, list[str]]:
    """Return the fields of a form; raises :class:`Invalid` for more than the page has."""
    try:
        return parse_qs(text, max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        hint = f"open {PATH} and fill in what it asks for"
        raise Invalid("this is not what the form sends", code="form_invalid", hint=hint) from error


@router.post("/sign-out")
async def sign_out(request: Request, house: TheHouse) -> Response:
    """End the session: here, and on the pages of apps that it was carried over to."""
    check_origin(request)
    who = await known(request, house)
    if who is not None:
        now = house.clock.now()
        await house.database.write(lambda session: tokens.revoke(session, who, who.token, now))
        await house.reconcile.in_force()
    answer = RedirectResponse("/", 303, headers={"Cache-Control": "no-store"})
    is_https = house.settings.is_https
    answer.delete_cookie(session_cookie(is_https), httponly=True, samesite="lax", secure=is_https)
    return answer


@router.get("/.fairlead/enter")
async def enter(request: Request, house: TheHouse, word: str = "") -> Response:
    """Take a session over on the page of an app, at that page's own address."""
    back = request.url.query.partition("next=")[2]
    host = request.headers.get("host", "").partition(":")[0].removesuffix(f".{house.settings.apps_domain}")
    ticket = request.app.state.handovers.take(word, host)
    if ticket is None:
        body = "<h1>Please sign in again</h1><p>This address was good for one use within a minute.</p>"
        return page("Fairlead", f'{body}<p><a href="/">To the page</a></p>', status=403, narrow=True)
    answer = _redirect(own_path(back))
    set_session(answer, house, ticket.cookie, ticket.expires, framed=_is_framed(request))
    return answer


async def known(request: Request, house: House) -> Caller | None:
    """Return who is signed in with this browser, if anybody is."""
    if not cookie_of(request):
        return None
    try:
        return await caller(house, await verified(request, house))
    except Forbidden:
        return None


def set_session(answer: Response, house: House, cookie: str, expires: datetime, *, framed: bool = False) -> None:
    """Have the browser keep a session: out of reach of scripts, and not sent with what other sites have it send.

    ``lax`` and not ``strict``: an address in a letter must open without signing in again. ``framed``: it counts only
    below the site that shows the page in a frame now (partitioned, https://github.com/privacycg/CHIPS), where browsers
    take no ``lax`` one.
    """
    name, is_https = session_cookie(house.settings.is_https), house.settings.is_https
    if not framed:
        answer.set_cookie(name, cookie, httponly=True, samesite="lax", secure=is_https, expires=expires)
        return
    answer.set_cookie(name, cookie, httponly=True, samesite="none", secure=True, expires=expires)
    answer.headers["set-cookie"] += "; Partitioned"  # http.cookies does not know it before Python 3.14


def _is_framed(request: Request) -> bool:
    """Whether another site shows this page in a frame, as the browser says; it says so where it takes such cookies."""
    told = request.headers
    return told.get("sec-fetch-dest") == "iframe" and told.get("sec-fetch-site") == "cross-site"


def own_path(text: str) -> str:
    """Return ``text`` where it is a path of the site one is at, else ``/``."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\"))
    is_plain = all(33 <= ord(character) < 127 and character != "\\" for character in text)
    return text if is_path and is_plain and len(text) <= _TEXT_MAX else "/"


def _redirect(where: str) -> RedirectResponse:
    answer = RedirectResponse("/", 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "same-origin"})
    answer.headers["location"] = where  # as it is: it was asked for so
    return answer


async def _lead_back(request: Request, house: House, cookie: str, host: str, back: str) -> Response:
    """Return to where one came from: a path of this site, or the page of an app that this session may see."""
    if not host:
        return _redirect(own_path(back))
    claims = verify(cookie, keys=house.keys, now=house.clock.now(), denied=house.denied)
    name = host.partition(":")[0].removesuffix(f".{house.settings.apps_domain}")

    def read(session: Session) -> str:
        who = service.caller_of(session, claims.sub, claims.roles, claims.jti)
        return show_page(session, who, name).name

    try:
        found = await house.database.read(read)
    except NotFound as error:
        body = f"<h1>Not here</h1><p>{escape(error.message)}.</p>"
        return page("Fairlead", f'{body}<p><a href="/">What is here</a></p>', status=404, narrow=True)
    await house.reconcile.in_force()  # else the front door may not lead to a page that is ready just now
    return _redirect(entry(request.app.state.handovers, house, claims, name, found, own_path(back)))


def _form(house: House, host: str, back: str, *, user: str = "", wrong: Error | None = None) -> Response:
    said = f'<p class="wrong" role="alert">{escape(wrong.message)}</p>' if wrong is not None else ""
    first, second = ("", " autofocus") if user else (" autofocus", "")
    body = f"""<h1>Sign in to Fairlead</h1>{said}
<form method="post" action="{PATH}">
<input type="hidden" name="at" value="{escape(host[:_TEXT_MAX])}">
<input type="hidden" name="next" value="{escape(own_path(back))}">
<label for="user">Name</label>
<input id="user" name="user" value="{escape(user)}" autocomplete="username" autocapitalize="none" spellcheck="false"
 required{first}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{second}>
<button class="main">Sign in</button></form>
<p class="soft">A configurer sets a new password: <code>fairlead users password NAME</code></p>"""
    status = _STATUS[wrong.kind] if wrong is not None else 200
    answer = page("Sign in to Fairlead", body, status=status, narrow=True, leads_to=house.runs.address("*"))
    if wrong is not None and wrong.retry_after_s is not None:
        answer.headers["Retry-After"] = str(max(1, math.ceil(wrong.retry_after_s)))
    return answer
