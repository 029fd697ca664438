"""Users and tokens."""

from __future__ import annotations

from fairlead.api.views.base import View, moment
from fairlead.identity.tokens import Minted
from fairlead.store.records import Token, User


class SignedInView(View):
    token: str
    user: str
    roles: list[str]
    expires_at: str


class MeView(View):
    user: str
    roles: list[str]


class UserView(View):
    name: str
    roles: list[str]
    disabled: bool
    created_at: str | None
    password: str | None = None
    """Only in the answer to the call that made it."""
    pending: str | None = None
    """Why what was revoked with the change still works at a front door; only with status 202."""


class TokenView(View):
    id: str
    label: str
    user: str
    roles: list[str]
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None = None
    token: str | None = None
    """Only in the answer to the call that made it."""
    pending: str | None = None
    """Why a revoked token still works at a front door; only with status 202."""


def user_view(user: User, password: str | None = None) -> UserView:
    return UserView(
        name=user.name,
        roles=list(user.roles),
        disabled=user.disabled,
        created_at=moment(user.created_at),
        password=password,
    )


def token_view(token: Token, minted: Minted | None = None) -> TokenView:
    return TokenView(
        id=token.jti,
        label=token.label,
        user=token.user,
        roles=list(token.roles),
        created_at=moment(token.created_at),
        expires_at=moment(token.expires_at),
        revoked_at=moment(token.revoked_at),
        token=minted.token if minted else None,
    )
