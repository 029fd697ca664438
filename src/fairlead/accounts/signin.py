"""Signing in: limited in tries, the same time whoever asks, hashing beside the database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import passwords, tokens
from fairlead.accounts.limit import SignInLimit
from fairlead.accounts.policy import Role
from fairlead.clock import Clock
from fairlead.errors import Forbidden
from fairlead.identity.keys import Keys
from fairlead.identity.tokens import Minted
from fairlead.store.database import Database
from fairlead.store.records import User

_AT_ONCE = 2
"""Hashes computed at once: each takes a core and 64 MiB."""


@dataclass(frozen=True)
class SignedIn:
    """Who signed in, and their new token."""

    user: str
    roles: tuple[str, ...]
    minted: Minted


class SignIn:
    """Checks passwords for one installation."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._limit = SignInLimit()
        self._hashing = asyncio.Semaphore(_AT_ONCE)

    async def sign_in(self, name: str, password: str, address: str, *, keys: Keys, days: float) -> SignedIn:
        """Return a new token of ``name``.

        Raises :class:`Forbidden` (``sign_in_failed``) alike for an unknown name, a wrong password and a disabled
        user, :class:`Busy` after too many failures.
        """
        await self.confirm(name, password, address)
        now = self._clock.now()

        def write(session: Session) -> SignedIn:
            user = session.get(User, name)
            if user is None or user.disabled:
                raise _refused()
            minted = tokens.give(
                session, user, user.roles, "sign-in", now, keys=keys, days=days, by=name, is_session=True
            )
            return SignedIn(name, user.roles, minted)

        return await self._database.write(write)

    async def sign_in_here(self, *, keys: Keys, days: float) -> SignedIn:
        """Return a new token of the first configurer, for whoever owns the home and so holds its keys anyway."""
        now = self._clock.now()

        def write(session: Session) -> SignedIn:
            people = session.scalars(select(User).where(User.disabled.is_(False)).order_by(User.created_at, User.name))
            user = next((one for one in people if Role.CONFIGURER in one.roles), None)
            if user is None:
                raise _refused()
            minted = tokens.give(
                session, user, user.roles, "on this machine", now, keys=keys, days=days, by=user.name, is_session=True
            )
            return SignedIn(user.name, user.roles, minted)

        return await self._database.write(write)

    async def confirm(self, name: str, password: str, address: str) -> None:
        """Return if ``password`` is that of ``name``; raises as :meth:`sign_in` does."""
        self._limit.check(name, address, self._clock.monotonic())
        # Counted before it is known: tries made at the same time must not slip past the limit together.
        self._limit.failed(name, address, self._clock.monotonic())
        user = await self._database.read(lambda session: session.get(User, name))
        known = user.password_hash if user is not None and not user.disabled else None
        async with self._hashing:
            right = await asyncio.to_thread(passwords.matches, known, password)
        if not right:
            raise _refused()
        self._limit.succeeded(name, address)


def _refused() -> Forbidden:
    return Forbidden(
        "name or password is wrong",
        code="sign_in_failed",
        hint="a configurer sets a new password: fairlead users password NAME; on the machine itself with --home HOME; "
        "one who was disabled is let in again with: fairlead users disable NAME --off",
    )
