"""Users: added, changed, disabled. All take a session and the moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import policy, tokens
from fairlead.accounts.policy import Caller, Role, Verb, check, parse_roles
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound
from fairlead.store.move import note
from fairlead.store.records import User

FIRST = "admin"
_RESERVED = frozenset({"system", "anonymous"})


def is_empty(session: Session) -> bool:
    """Whether there is nobody yet."""
    return not session.scalar(select(func.count()).select_from(User))


def create_first(session: Session, password_hash: str, now: datetime, name: str = FIRST) -> bool:
    """Add the first person, with every role; returns whether it did: not when there is somebody already."""
    if not is_empty(session):
        return False
    session.add(User(name=name, password_hash=password_hash, roles=tuple(sorted(Role)), created_at=now))
    note(session, "user", name, "added as the first person, with every role", now)
    return True


def get(session: Session, name: str) -> User:
    """Return the user; raises :class:`NotFound`."""
    found = session.get(User, name)
    if found is None:
        raise NotFound(f"there is no user {name}", hint="fairlead users lists them")
    return found


def list_all(session: Session, caller: Caller) -> list[User]:
    """Return all users by name; a caller who manages none sees only themselves."""
    query = select(User).order_by(User.name)
    if not caller.may(Verb.MANAGE_USERS):
        query = query.where(User.name == caller.name)
    return list(session.scalars(query))


def add(
    session: Session, caller: Caller, name: str, roles: Iterable[str], password_hash: str | None, now: datetime
) -> User:
    """Add a user; without a hash they can only be given tokens. Raises :class:`Conflict` for a taken name."""
    check(caller, Verb.MANAGE_USERS)
    if not ids.is_name(name) or name in _RESERVED:
        raise Invalid(
            f"{name!r} is no name for a user", code="name_invalid", hint="lower-case letters, digits and - inside"
        )
    if session.get(User, name) is not None:
        raise Conflict(
            f"there is a user {name} already", code="name_taken", hint=f"fairlead users set {name} changes it"
        )
    user = User(name=name, password_hash=password_hash, roles=parse_roles(roles), created_at=now)
    session.add(user)
    note(session, "user", name, f"added as {', '.join(user.roles)}", now, by=caller.name)
    return user


def set_roles(session: Session, caller: Caller, name: str, roles: Iterable[str], now: datetime) -> User:
    """Change the roles of a user; tokens that carry more are revoked. The last configurer stays one."""
    check(caller, Verb.MANAGE_USERS)
    user = get(session, name)
    given = parse_roles(roles)
    if Role.CONFIGURER not in given:
        _keep_one_configurer(session, user)
    note(session, "user", name, f"roles {', '.join(user.roles)} became {', '.join(given)}", now, by=caller.name)
    user.roles = given
    tokens.revoke_beyond(session, user, now, by=caller.name)
    return user


def set_password(session: Session, caller: Caller, name: str, password_hash: str, now: datetime) -> User:
    """Change a password, one's own or as who manages users; everybody who signed in with the old one is signed out.

    Whoever changes their own must have shown the old one before (``signin.SignIn.confirm``).
    """
    if caller.name != name:
        check(caller, Verb.MANAGE_USERS)
    user = get(session, name)
    user.password_hash = password_hash
    tokens.revoke_sessions(session, user, now, by=caller.name)
    note(session, "user", name, "password changed", now, by=caller.name)
    return user


def set_disabled(session: Session, caller: Caller, name: str, disabled: bool, now: datetime) -> User:
    """Disable a user, which revokes all their tokens, or let them in again. The last configurer cannot be disabled."""
    check(caller, Verb.MANAGE_USERS)
    user = get(session, name)
    if disabled == user.disabled:
        return user
    if disabled:
        _keep_one_configurer(session, user)
    user.disabled = disabled
    if disabled:
        tokens.revoke_all(session, user, now, by=caller.name)
    note(session, "user", name, "disabled" if disabled else "enabled", now, by=caller.name)
    return user


def caller_of(session: Session, name: str, roles: Iterable[str], token: str) -> Caller:
    """Return the caller of a verified token with the roles that they still have; raises :class:`Forbidden`."""
    user = session.get(User, name)
    if user is None or user.disabled:
        raise Forbidden(f"{name} has no access any more", code="user_disabled", hint="ask a configurer")
    return policy.caller(name, set(roles) & set(user.roles), token)


def _keep_one_configurer(session: Session, user: User) -> None:
    if Role.CONFIGURER not in user.roles or user.disabled:
        return
    others = session.scalars(select(User).where(User.name != user.name, User.disabled.is_(False)))
    if not any(Role.CONFIGURER in other.roles for other in others):
        raise Conflict(
            f"{user.name} is the only configurer",
            code="last_configurer",
            hint="make somebody else a configurer first: fairlead users set NAME --role configurer",
        )
