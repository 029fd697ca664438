"""Users and tokens."""

from __future__ import annotations

from fairlead.accounts.quotas import Used
from fairlead.api.views.base import View, moment
from fairlead.identity.tokens import Minted
from fairlead.store.records import Token, User


class SignedInView(View):
    token: str
    user: str
    roles: list[str]
    expires_at: str


class UsedView(View):
    """What somebody has used of their quotas; null: there is none."""

    calls_today: int
    """Calls of models since 00:00 UTC, by all of their tokens."""
    calls_per_day: int | None
    stored_bytes: int
    """Of bundles, unpacked."""
    stored_mb: int | None


class MeView(View):
    user: str
    roles: list[str]
    used: UsedView
    token: str
    """Id of the token that asks."""
    token_calls_today: int
    token_calls_per_day: int | None
    opens_at: str | None
    """When the next day begins."""


class UserView(View):
    name: str
    roles: list[str]
    disabled: bool
    created_at: str | None
    used: UsedView | None = None
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
    calls_today: int = 0
    calls_per_day: int | None = None
    token: str | None = None
    """Only in the answer to the call that made it."""
    ends_with: str | None = None
    """The token that made it, where that leaves less than the usual life; only in the answer to that call."""
    pending: str | None = None
    """Why a revoked token still works at a front door; only with status 202."""


def used_view(used: Used) -> UsedView:
    return UsedView(
        calls_today=used.calls_today,
        calls_per_day=used.calls_per_day or None,
        stored_bytes=used.stored_bytes,
        stored_mb=used.stored_mb or None,
    )


def user_view(user: User, password: str | None = None, used: Used | None = None) -> UserView:
    return UserView(
        name=user.name,
        roles=list(user.roles),
        disabled=user.disabled,
        created_at=moment(user.created_at),
        used=used_view(used) if used is not None else None,
        password=password,
    )


def token_view(token: Token, minted: Minted | None = None, calls_today: int = 0) -> TokenView:
    return TokenView(
        id=token.jti,
        label=token.label,
        user=token.user,
        roles=list(token.roles),
        created_at=moment(token.created_at),
        expires_at=moment(token.expires_at),
        revoked_at=moment(token.revoked_at),
        calls_today=calls_today,
        calls_per_day=token.calls_per_day,
        token=minted.token if minted else None,
    )
