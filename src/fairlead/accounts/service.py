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
from fairlead.store.records import App, Job, Model, Run, Schedule, User

FIRST = "admin"
_NAMED = 5
_OWNED_MAX = 100
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
    if found is None or is_removed(found):
        raise NotFound(f"there is no user {name}", hint="fairlead users lists them")
    return found


def is_removed(user: User) -> bool:
    """Whether a user was removed: such a one has no role, and keeps the name for what was done under it."""
    return not user.roles


def list_all(session: Session, caller: Caller) -> list[User]:
    """Return all users by name; a caller who manages none sees only themselves."""
    query = select(User).order_by(User.name)
    if not caller.may(Verb.MANAGE_USERS):
        query = query.where(User.name == caller.name)
    return [user for user in session.scalars(query) if not is_removed(user)]


def add(
    session: Session, caller: Caller, name: str, roles: Iterable[str], password_hash: str | None, now: datetime
) -> User:
    """Add a user; without a hash they can only be given tokens. Raises :class:`Conflict` for a taken name."""
    check(caller, Verb.MANAGE_USERS)
    if not ids.is_name(name) or name in _RESERVED:
        raise Invalid(
            f"{name!r} is no name for a user", code="name_invalid", hint="lower-case letters, digits and - inside"
        )
    if (there := session.get(User, name)) is not None:
        if is_removed(there):
            said, hint = f"{name} was removed, and keeps what was done under the name", "choose another name"
        else:
            said, hint = f"there is a user {name} already", f"fairlead users set {name} changes it"
        raise Conflict(said, code="name_taken", hint=hint)
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


def remove(session: Session, caller: Caller, name: str, now: datetime) -> User:
    """Remove a user who owns nothing: no sign-in, all tokens revoked, no roles, not listed; what they did stays.

    Raises :class:`Conflict` (``user_owns``) with what is theirs, and ``last_configurer``.
    """
    check(caller, Verb.MANAGE_USERS)
    user = get(session, name)
    _keep_one_configurer(session, user)
    if theirs := _owned(session, name):
        more = f" and {len(theirs) - _NAMED} more" if len(theirs) > _NAMED else ""
        raise Conflict(
            f"{name} owns {', '.join(theirs[:_NAMED])}{more}",
            code="user_owns",
            hint="hand over: fairlead models set MODEL --owner WHO, apps set APP --owner WHO; remove the rest, or shut"
            f" them out and keep it: fairlead users disable {name}",
        )
    tokens.revoke_all(session, user, now, by=caller.name)
    user.disabled, user.roles, user.password_hash = True, (), None
    note(session, "user", name, "removed", now, by=caller.name)
    return user


def _owned(session: Session, name: str) -> list[str]:
    """Return what belongs to a user and goes on: models and apps, schedules with windows ahead, runs and jobs."""
    models = select(Model.name).where(Model.owner == name, Model.removed_at.is_(None)).order_by(Model.name)
    apps = select(App.name).where(App.owner == name, App.removed_at.is_(None)).order_by(App.name)
    schedules = select(Schedule.name).where(
        Schedule.created_by == name, Schedule.removed_at.is_(None), Schedule.next_at.is_not(None)
    )
    runs = select(Run.id).join(Schedule, Run.schedule == Schedule.id)
    runs = runs.where(Schedule.created_by == name, Run.finished_at.is_(None))
    jobs = select(Job.id).where(Job.created_by == name, Job.finished_at.is_(None))
    kinds = (("model", models), ("app", apps), ("schedule", schedules), ("run", runs), ("job", jobs))
    return [f"the {kind} {one}" for kind, query in kinds for one in session.scalars(query.limit(_OWNED_MAX))]


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
            hint="make somebody else a configurer first: fairlead users set NAME --add configurer",
        )
