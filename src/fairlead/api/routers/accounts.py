"""Signing in, users and tokens."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr
from sqlalchemy.orm import Session

from fairlead.accounts import passwords, quotas, service, tokens, usage
from fairlead.accounts.policy import Verb, check
from fairlead.api.deps import TheHouse, Who, address_of
from fairlead.api.routers.signin import set_session
from fairlead.api.views.accounts import MeView, SignedInView, TokenView, UserView, token_view, used_view, user_view
from fairlead.api.views.base import Page, page
from fairlead.clock import to_text
from fairlead.errors import Forbidden, Invalid
from fairlead.store.records import Token, User

router = APIRouter(tags=["accounts"])
V = TypeVar("V", TokenView, UserView)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LoginBody(Body):
    user: str
    password: str


class HereBody(Body):
    key: str


class TokenBody(Body):
    label: str
    roles: list[str] | None = None
    role: str | None = None
    days: float | None = None
    user: str = ""
    calls_per_day: StrictInt | StrictStr | None = None
    """At most what the user has; null: whatever they may."""


class UserBody(Body):
    name: str
    roles: list[str] = Field(default_factory=lambda: ["user"])
    password: str | None = None


class UserChange(Body):
    roles: list[str] | None = None
    disabled: bool | None = None
    password: str | None = None
    old_password: str | None = None
    """Needed to change one's own."""
    key: str | None = None
    """The key of the home, instead of the old password: for the owner of the machine who has lost it."""
    calls_per_day: StrictInt | StrictStr | None = None
    """``default`` for the installation's, ``none`` for no quota."""
    stored_mb: StrictInt | StrictStr | None = None
    """As above."""


@router.post("/login")
async def login(body: LoginBody, request: Request, response: Response, house: TheHouse) -> SignedInView:
    """Sign in by password."""
    signed = await house.sign_in.sign_in(
        body.user, body.password, address_of(request), keys=house.keys, days=house.settings.token_days
    )
    set_session(response, house, signed.minted.cookie, signed.minted.expires)
    return SignedInView(
        token=signed.minted.token,
        user=signed.user,
        roles=list(signed.roles),
        expires_at=to_text(signed.minted.expires),
    )


@router.post("/login/here")
async def login_here(body: HereBody, house: TheHouse) -> SignedInView:
    """Sign in the owner of the home, by the key that lies in it: ``fairlead up`` does so."""
    if not house.is_here(body.key):
        raise Forbidden("the key is not that of this home", code="wrong_password", hint="fairlead login URL")
    signed = await house.sign_in.sign_in_here(keys=house.keys, days=house.settings.token_days)
    return SignedInView(
        token=signed.minted.token,
        user=signed.user,
        roles=list(signed.roles),
        expires_at=to_text(signed.minted.expires),
    )


@router.get("/me")
async def me(house: TheHouse, who: Who) -> MeView:
    """Return who asks, and what they have used."""
    now = house.clock.now()

    def read(session: Session) -> MeView:
        user, token = session.get_one(User, who.name), session.get(Token, who.token)
        return MeView(
            user=who.name,
            roles=sorted(who.roles),
            used=used_view(quotas.used(session, [user], house.quotas, now)[who.name]),
            token=who.token,
            token_calls_today=usage.calls(session, usage.TOKEN, [who.token], now).get(who.token, 0),
            token_calls_per_day=token.calls_per_day if token is not None else None,
            opens_at=to_text(usage.opens_at(now)),
        )

    return await house.database.read(read)


@router.post("/tokens", status_code=201)
async def new_token(body: TokenBody, house: TheHouse, who: Who) -> TokenView:
    roles = body.roles or ([body.role] if body.role else [])
    now = house.clock.now()

    def write(session: Any) -> TokenView:
        days, limit = body.days or 0.0, ""
        if not body.days:
            days, limit = tokens.usual_days(session, who, now, house.settings.token_days)
        minted = tokens.new(
            session,
            who,
            body.label,
            now,
            keys=house.keys,
            days=days,
            user=body.user,
            roles=roles,
            calls_per_day=body.calls_per_day,
            defaults=house.quotas,
        )
        session.flush()
        view = token_view(session.get_one(Token, minted.jti), minted)
        view.ends_with = limit or None
        return view

    return await house.database.write(write)


@router.get("/tokens")
async def list_tokens(house: TheHouse, who: Who, user: str = "") -> Page[TokenView]:
    now = house.clock.now()

    def read(session: Session) -> list[TokenView]:
        found = tokens.list_of(session, who, now, user)
        calls = usage.calls(session, usage.TOKEN, [one.jti for one in found], now)
        return [token_view(one, calls_today=calls.get(one.jti, 0)) for one in found]

    return page(await house.database.read(read))


@router.delete("/tokens/{token}")
async def revoke_token(token: str, response: Response, house: TheHouse, who: Who) -> TokenView:
    """Revoke; 200 once both gates refuse it, 202 with ``pending`` when that is not so within three seconds."""
    now = house.clock.now()
    view = await house.database.write(lambda session: token_view(tokens.revoke(session, who, token, now)))
    return await _in_force(view, response, house)


@router.get("/users")
async def list_users(house: TheHouse, who: Who) -> Page[UserView]:
    now = house.clock.now()

    def read(session: Session) -> list[UserView]:
        people = service.list_all(session, who)
        used = quotas.used(session, people, house.quotas, now)
        return [user_view(one, used=used[one.name]) for one in people]

    return page(await house.database.read(read))


@router.post("/users", status_code=201)
async def add_user(body: UserBody, house: TheHouse, who: Who) -> UserView:
    check(who, Verb.MANAGE_USERS)  # first: each hash takes a core and 64 MiB
    password = body.password or passwords.random_password()
    hashed = await asyncio.to_thread(passwords.hash_of, password)
    now = house.clock.now()
    return await house.database.write(
        lambda s: user_view(
            service.add(s, who, body.name, body.roles, hashed, now), None if body.password else password
        )
    )


@router.patch("/users/{name}")
async def change_user(
    name: str, body: UserChange, request: Request, response: Response, house: TheHouse, who: Who
) -> UserView:
    """Change a user; 202 with ``pending`` when a front door still takes what was revoked with it."""
    given = {"calls_per_day": body.calls_per_day, "stored_mb": body.stored_mb}
    has_quota = any(value is not None for value in given.values())
    if body.roles is None and body.disabled is None and body.password is None and not has_quota:
        raise Invalid("nothing to change", hint="give roles, disabled, password or quotas")
    if name != who.name:
        check(who, Verb.MANAGE_USERS)  # before anything is hashed, or told about who there is
    if body.password is not None and name == who.name and not (body.key and house.is_here(body.key)):
        await house.sign_in.confirm(name, body.old_password or "", address_of(request))
    hashed = await asyncio.to_thread(passwords.hash_of, body.password) if body.password is not None else ""
    now = house.clock.now()

    def write(session: Any) -> UserView:
        user = service.get(session, name)
        if body.roles is not None:
            user = service.set_roles(session, who, name, body.roles, now)
        if body.disabled is not None:
            user = service.set_disabled(session, who, name, body.disabled, now)
        if hashed:
            user = service.set_password(session, who, name, hashed, now)
        if has_quota:
            user = quotas.set_(session, who, name, given, now)
        return user_view(user, used=quotas.used(session, [user], house.quotas, now)[name])

    view = await house.database.write(write)
    return await _in_force(view, response, house)


@router.delete("/users/{name}")
async def remove_user(name: str, response: Response, house: TheHouse, who: Who) -> UserView:
    """Remove a user who owns nothing; 202 with ``pending`` when a front door still takes what was revoked with it."""
    now = house.clock.now()

    def write(session: Session) -> UserView:
        user = service.remove(session, who, name, now)
        return user_view(user, used=quotas.used(session, [user], house.quotas, now)[name])

    return await _in_force(await house.database.write(write), response, house)


async def _in_force(view: V, response: Response, house: TheHouse) -> V:
    """Return ``view`` once every front door refuses what is revoked; else with status 202 and the reason."""
    if pending := await house.reconcile.in_force():
        response.status_code = 202
        return view.model_copy(update={"pending": pending})
    return view
