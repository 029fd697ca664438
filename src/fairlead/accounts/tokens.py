"""Access tokens: given out, listed, revoked. A token is returned once and stored nowhere, only its id."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from fairlead.accounts import quotas
from fairlead.accounts.policy import Caller, Verb, check, parse_roles
from fairlead.accounts.quotas import Defaults, Given
from fairlead.clock import to_text
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound
from fairlead.identity.keys import Keys
from fairlead.identity.tokens import Minted, mint
from fairlead.store.move import note
from fairlead.store.records import Token, User

LABEL_MAX = 100
_NO_QUOTAS = Defaults()


def new(
    session: Session,
    caller: Caller,
    label: str,
    now: datetime,
    *,
    keys: Keys,
    days: float,
    user: str = "",
    roles: Iterable[str] = (),
    calls_per_day: Given = None,
    defaults: Defaults = _NO_QUOTAS,
) -> Minted:
    """Make a token for ``user`` (default: the caller) with ``roles`` (default: all that both have).

    Raises :class:`Forbidden` for roles that the user or the caller does not have, and for a life longer than that of
    the caller's own token (``token_outlives``) or a quota above theirs (``quota_beyond``), :class:`Invalid` for a bad
    label, quota or length of life.
    """
    name = user or caller.name
    if name != caller.name:
        check(caller, Verb.MANAGE_USERS)
    owner = session.get(User, name)
    if owner is None or owner.disabled:
        raise NotFound(f"there is no user {name}, or it is disabled", hint="fairlead users lists them")
    if not 0 < len(label) <= LABEL_MAX:
        raise Invalid(f"a label has 1 to {LABEL_MAX} characters", code="label_invalid", hint="say what it is for")
    allowed = set(owner.roles) if name != caller.name else set(owner.roles) & set(caller.roles)
    wanted = parse_roles(roles or allowed)
    if beyond := sorted(set(wanted) - allowed):
        raise Forbidden(
            f"{name} may not have a token with {', '.join(beyond)}",
            code="role_beyond",
            hint=f"possible: {', '.join(sorted(allowed))}",
        )
    _refuse_longer(session, caller, now, days)
    quota = quotas.of_token(session, caller, owner, calls_per_day, defaults)
    minted = give(session, owner, wanted, label, now, keys=keys, days=days, by=caller.name)
    session.flush()
    session.get_one(Token, minted.jti).calls_per_day = quota
    return minted


def _refuse_longer(session: Session, caller: Caller, now: datetime, days: float) -> None:
    """A token that was lent for a day must not become one of a year. Who signed in by password may make any: they
    could sign in again just as well."""
    own = _lent(session, caller)
    if own is not None and now.timestamp() + days * 86_400 > own.expires_at.timestamp() + 1:
        raise Forbidden(
            f"the token {own.label} expires at {to_text(own.expires_at)}, and makes none that lives longer",
            code="token_outlives",
            hint="ask for fewer days, or sign in by password: fairlead login",
        )


def usual_days(session: Session, caller: Caller, now: datetime, usual: float) -> tuple[float, str]:
    """Return the life of a token of which nobody said how long it lives, and the id of the caller's own token where
    that leaves less than ``usual`` days."""
    own = _lent(session, caller)
    left = (own.expires_at - now).total_seconds() / 86_400 if own is not None else usual
    return (left, own.jti) if own is not None and left < usual else (usual, "")


def _lent(session: Session, caller: Caller) -> Token | None:
    """Return the token that the caller came with; None for who signed in."""
    own = session.get(Token, caller.token) if caller.token else None
    return own if own is not None and not own.session else None


def give(
    session: Session,
    owner: User,
    roles: tuple[str, ...],
    label: str,
    now: datetime,
    *,
    keys: Keys,
    days: float,
    by: str,
    is_session: bool = False,
) -> Minted:
    """Make a token and keep its id; the caller has checked everything."""
    minted = mint(owner.name, roles, keys=keys, days=days, now=now)
    session.add(
        Token(
            jti=minted.jti,
            user=owner.name,
            label=label,
            roles=roles,
            session=is_session,
            created_at=now,
            expires_at=minted.expires,
        )
    )
    note(session, "token", minted.jti, f"given to {owner.name}: {label}", now, by=by)
    return minted


def list_of(session: Session, caller: Caller, now: datetime, user: str = "") -> list[Token]:
    """Return the live tokens of ``user`` (default: the caller), newest first."""
    name = user or caller.name
    if name != caller.name:
        check(caller, Verb.MANAGE_USERS)
    query = select(Token).where(Token.user == name, *_live(now)).order_by(Token.jti.desc())
    return list(session.scalars(query))


def revoke(session: Session, caller: Caller, prefix: str, now: datetime) -> Token:
    """Revoke the token whose id begins with ``prefix``, or whose label it is; one's own, or as who manages users."""
    query = select(Token).where(*_live(now))
    if not caller.may(Verb.MANAGE_USERS):
        query = query.where(Token.user == caller.name)
    starts = Token.jti.startswith(prefix, autoescape=True)
    found = list(session.scalars(query.where(starts | (Token.label == prefix)).limit(2))) if prefix else []
    if not found:
        raise NotFound(f"there is no live token {prefix}", hint="fairlead tokens lists them")
    if len(found) > 1:
        raise Conflict(f"{prefix} names several tokens", code="ambiguous", hint="give more of the id")
    _revoke(session, found, now, caller.name)
    return found[0]


def revoke_all(session: Session, user: User, now: datetime, *, by: str) -> None:
    """Revoke every token of ``user``."""
    _revoke(session, session.scalars(_of(user, now)), now, by)


def revoke_sessions(session: Session, user: User, now: datetime, *, by: str) -> None:
    """Revoke the tokens that signing in made."""
    _revoke(session, session.scalars(_of(user, now, Token.session.is_(True))), now, by)


def revoke_beyond(session: Session, user: User, now: datetime, *, by: str) -> None:
    """Revoke the tokens that carry roles which ``user`` does not have any more."""
    held = set(user.roles)
    _revoke(session, [token for token in session.scalars(_of(user, now)) if set(token.roles) - held], now, by)


def denied(session: Session, now: datetime) -> dict[str, float]:
    """Return the ids that the gates refuse, and when each would have expired (Unix seconds)."""
    query = select(Token.jti, Token.expires_at).where(Token.revoked_at.is_not(None), Token.expires_at > now)
    return {jti: expires.timestamp() for jti, expires in session.execute(query)}


def _live(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Token.revoked_at.is_(None), Token.expires_at > now)


def _of(user: User, now: datetime, *more: ColumnElement[bool]) -> Select[Token]:
    return select(Token).where(Token.user == user.name, *_live(now), *more)


def _revoke(session: Session, found: Iterable[Token], now: datetime, by: str) -> None:
    for token in list(found):
        token.revoked_at = now
        note(session, "token", token.jti, f"revoked: {token.label}", now, by=by)
