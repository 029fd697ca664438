"""Quotas: how many calls people and tokens may make in a UTC day, how many bytes people may keep: bundles, and results
in the gallery.

A person has a quota of their own or the installation's; 0 stands for none at all. All calls by a person's tokens count
together; a token may have a quota besides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import usage
from fairlead.accounts.policy import Caller, Role, Verb, check
from fairlead.accounts.usage import TOKEN, USER
from fairlead.clock import to_text
from fairlead.errors import Busy, Error, Forbidden, Invalid, NotFound
from fairlead.messages import Spent
from fairlead.settings import Settings
from fairlead.store.move import note
from fairlead.store.records import Token, Usage, User

MB = 1024**2
MOST = {"calls_per_day": 10**9, "stored_mb": 10**9}
"""The highest figure of each quota."""
Given = int | str | None


@dataclass(frozen=True, slots=True)
class Defaults:
    """Quotas of people who have none of their own and are no configurers; 0: none."""

    calls_per_day: int = 0
    stored_mb: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Defaults:
        return cls(settings.user_calls_per_day, settings.user_stored_mb)


@dataclass(frozen=True, slots=True)
class Used:
    """What somebody has used, and of how much; 0: no quota."""

    calls_today: int = 0
    calls_per_day: int = 0
    stored_bytes: int = 0
    stored_mb: int = 0


def parse(name: str, given: int | str) -> int | None:
    """Return a quota as it is kept; ``default``: None, ``none``: 0. Raises :class:`Invalid` (``quota_invalid``)."""
    if given == "default":
        return None
    if given == "none":
        return 0
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST[name]:
        raise Invalid(
            f"{name}: {str(given)[:40]} is no quota",
            code="quota_invalid",
            hint=f"a whole number from 1 to {MOST[name]}, none for no quota at all, or default for the installation's",
        )
    return given


def limits(user: User, defaults: Defaults) -> tuple[int, int]:
    """Return the calls a day and the megabytes that ``user`` may use; 0: any number."""
    if Role.CONFIGURER in user.roles:
        defaults = Defaults()
    calls = defaults.calls_per_day if user.calls_per_day is None else user.calls_per_day
    return calls, defaults.stored_mb if user.stored_mb is None else user.stored_mb


def set_(session: Session, caller: Caller, name: str, given: dict[str, Given], now: datetime) -> User:
    """Change quotas of a user by name (``calls_per_day``, ``stored_mb``; None: as it is)."""
    check(caller, Verb.MANAGE_USERS)
    user = session.get(User, name)
    if user is None:
        raise NotFound(f"there is no user {name}", hint="fairlead users lists them")
    chosen = {field: parse(field, value) for field, value in given.items() if value is not None}
    for field, value in chosen.items():
        setattr(user, field, value)
    said = ", ".join(f"{field} {given[field]}" for field in chosen)
    note(session, "user", name, f"quota: {said}", now, by=caller.name)
    return user


def of_token(session: Session, caller: Caller, owner: User, given: Given, defaults: Defaults) -> int | None:
    """Return the quota of a new token of ``owner`` that ``caller`` makes.

    Raises :class:`Forbidden` (``quota_beyond``) where it is above its owner's, and for a maker whose own token has a
    quota: many small ones would be more than that one.
    """
    own = session.get(Token, caller.token) if caller.token else None
    if own is not None and own.calls_per_day is not None:
        raise Forbidden(
            f"the token {own.label} has a quota of its own, and makes no other tokens",
            code="quota_beyond",
            hint="sign in by password: fairlead login",
        )
    quota = parse("calls_per_day", given) if given is not None else None
    most, _ = limits(owner, defaults)
    if most and quota == 0:
        quota = None  # what its owner may, it may
    if quota and most and quota > most:
        raise Forbidden(
            f"{owner.name} has {most} calls a day, and a token cannot have {quota}",
            code="quota_beyond",
            hint=f"ask for at most {most}; a configurer raises it: fairlead users set {owner.name} --calls-per-day N",
        )
    return quota or None


# --- calls ------------------------------------------------------------------------------------------------------------


def spent(session: Session, defaults: Defaults, now: datetime) -> Spent:
    """Return whose calls of today are used up; reads only."""
    day = usage.day_of(now)
    today = Usage.day == day
    people = session.execute(
        select(User, Usage.calls).join(Usage, (Usage.name == User.name) & (Usage.kind == USER)).where(today)
    )
    users = [user.name for user, calls in people if 0 < limits(user, defaults)[0] <= calls]
    tokens = session.scalars(
        select(Token.jti)
        .join(Usage, (Usage.name == Token.jti) & (Usage.kind == TOKEN))
        .where(today, Token.calls_per_day.is_not(None), Usage.calls >= Token.calls_per_day, Token.expires_at > now)
    )
    found = tuple(sorted(users)), tuple(sorted(tokens))
    return Spent(day, *found) if any(found) else Spent()


def exceeded(whose: str, most: int, now: datetime) -> Error:
    """Return the refusal of one more call."""
    opens = usage.opens_at(now)
    return Busy(
        f"{whose} {most} calls of today are used up: it opens again at {to_text(opens)}",
        code="quota_exceeded",
        hint="fairlead whoami shows what is used; a configurer raises it: fairlead users set NAME --calls-per-day N",
        retry_after_s=(opens - now).total_seconds(),
    )


def most(session: Session, callers: Collection[Caller], defaults: Defaults) -> dict[usage.Subject, int]:
    """Return how many calls a day these people and their tokens may make, 0: any number; who is not there is left
    out."""
    names, tokens = {one.name for one in callers}, {one.token for one in callers}
    found: dict[usage.Subject, int] = {}
    for user in session.scalars(select(User).where(User.name.in_(names))):
        found[USER, user.name] = limits(user, defaults)[0]
    for jti, calls in session.execute(select(Token.jti, Token.calls_per_day).where(Token.jti.in_(tokens))):
        found[TOKEN, jti] = calls or 0
    return found


class Till:
    """Counts calls that control itself accepts, many in one transaction; reads once, writes once.

    ``known``: what :func:`most` said of others than ``callers``, and is still true.
    """

    def __init__(
        self,
        session: Session,
        callers: Iterable[Caller],
        defaults: Defaults,
        now: datetime,
        known: Mapping[usage.Subject, int] | None = None,
    ) -> None:
        self._session, self._now = session, now
        self._most: dict[usage.Subject, int] = dict(known or {})
        self._used: Counter[usage.Subject] = Counter()
        self._fresh: Counter[usage.Subject] = Counter()
        if strange := {caller for caller in callers if caller.token}:
            self._most |= most(session, strange, defaults)
        for kind in (USER, TOKEN):
            limited = {name for of, name in self._most if of == kind and self._most[of, name]}
            if limited:
                found = usage.calls(session, kind, limited, now)
                self._used.update({(kind, name): calls for name, calls in found.items()})

    def charge(self, caller: Caller) -> None:
        """Count one call; raises :class:`Busy` (``quota_exceeded``). Calls by no token are not counted."""
        if not caller.token:
            return
        mine = ((USER, caller.name), (TOKEN, caller.token))
        for subject in mine:
            may = self._most.get(subject, 0)
            if may and self._used[subject] >= may:
                raise exceeded("your" if subject[0] == USER else "this token's", may, self._now)
        for subject in mine:
            if subject in self._most:
                self._used[subject] += 1
                self._fresh[subject] += 1

    def write(self) -> None:
        """Write down what was counted."""
        if self._fresh:
            day = usage.day_of(self._now)
            usage.add(self._session, {(day, subject): calls for subject, calls in self._fresh.items()})


# --- bytes ------------------------------------------------------------------------------------------------------------


def check_stored(session: Session, who: str, digest: str, size_bytes: int, defaults: Defaults) -> None:
    """Raise :class:`Invalid` (``storage_exceeded``) unless ``who`` has room for the bundle; what they keep has."""
    if not usage.has_stored(session, who, digest):
        check_room(session, who, "the bundle", size_bytes, defaults, "fairlead models rm NAME")


def check_room(session: Session, who: str, what: str, size_bytes: int, defaults: Defaults, gives_back: str) -> None:
    """Raise :class:`Invalid` (``storage_exceeded``) unless ``who`` has room for so many bytes of ``what``.

    ``gives_back`` is the command that makes room.
    """
    user = session.get(User, who)
    most = limits(user, defaults)[1] * MB if user is not None else 0
    if not most:
        return
    used = usage.stored(session, [who]).get(who, 0)
    if used + size_bytes > most:
        raise Invalid(
            f"{what} has {_said(size_bytes)}, and {_said(max(0, most - used))} of your {_said(most)} are free",
            code="storage_exceeded",
            hint=f"{gives_back} gives room back; a configurer gives more: fairlead users set {who} --stored-mb N",
        )


def _said(size_bytes: int) -> str:
    return f"{size_bytes / MB:.1f} MB" if size_bytes >= MB / 10 else f"{size_bytes} bytes"


# --- what is shown ----------------------------------------------------------------------------------------------------


def used(session: Session, users: Iterable[User], defaults: Defaults, now: datetime) -> dict[str, Used]:
    """Return by name what ``users`` have used."""
    people = list(users)
    names = [user.name for user in people]
    today, kept = usage.calls(session, USER, names, now), usage.stored(session, names)
    found = {}
    for user in people:
        calls, stored_mb = limits(user, defaults)
        found[user.name] = Used(today.get(user.name, 0), calls, kept.get(user.name, 0), stored_mb)
    return found
