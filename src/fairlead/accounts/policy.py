"""Which role may do what: the one table, printed in the docs. Values only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fairlead.errors import Forbidden, Invalid, Problem


class Role(StrEnum):
    """What a person is in the installation; one may be several."""

    AI_DEVELOPER = "ai_developer"
    APP_DEVELOPER = "app_developer"
    CONFIGURER = "configurer"
    """The administrator."""
    USER = "user"


class Verb(StrEnum):
    """Everything that somebody may be allowed to do."""

    CALL_MODELS = "call models and submit jobs"
    PUSH_MODELS = "push models"
    MANAGE_MODELS = "move aliases, roll back, remove and retire models"
    PUSH_APPS = "push apps"
    MANAGE_APPS = "move aliases, roll back and remove apps"
    SET_SECRETS = "see or set secrets of bundles"
    GRANT = "grant public access and outbound connections"
    SEE_DEVICES = "see device types, locations, devices and readings"
    SEND_COMMANDS = "send commands to devices by hand"
    MANAGE_DEVICES = "register device types, locations and devices"
    SIMULATE = "simulate devices"
    SCHEDULE = "schedule and run apps"
    SCHEDULE_SAFETY = "schedule apps that command with tier safety"
    MANAGE_OTHERS = "change what belongs to somebody else"
    MANAGE_USERS = "add and change users and their tokens"
    SEE_AUDIT = "read the audit"
    READ_LOGS = "read the logs of the platform"
    OPERATE = "drain nodes, back up, change settings"


_A, _P, _C, _U = Role.AI_DEVELOPER, Role.APP_DEVELOPER, Role.CONFIGURER, Role.USER
_EVERYBODY = frozenset(Role)

ALLOWED: Mapping[Verb, frozenset[Role]] = {
    Verb.CALL_MODELS: _EVERYBODY,
    Verb.PUSH_MODELS: frozenset({_A}),
    Verb.MANAGE_MODELS: frozenset({_A, _C}),
    Verb.PUSH_APPS: frozenset({_P}),
    Verb.MANAGE_APPS: frozenset({_P, _C}),
    Verb.SET_SECRETS: frozenset({_A, _P, _C}),
    Verb.GRANT: frozenset({_C}),
    Verb.SEE_DEVICES: _EVERYBODY,
    Verb.SEND_COMMANDS: frozenset({_U, _P, _C}),
    Verb.MANAGE_DEVICES: frozenset({_C}),
    Verb.SIMULATE: frozenset({_P, _C}),
    Verb.SCHEDULE: frozenset({_U, _P, _C}),
    Verb.SCHEDULE_SAFETY: frozenset({_C}),
    Verb.MANAGE_OTHERS: frozenset({_C}),
    Verb.MANAGE_USERS: frozenset({_C}),
    Verb.SEE_AUDIT: frozenset({_C}),
    Verb.READ_LOGS: frozenset({_C}),
    Verb.OPERATE: frozenset({_C}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user with the roles that their token carries."""

    name: str
    roles: frozenset[Role]
    token: str = ""
    """Id of the token."""
    expires: float | None = None
    """When the token does (Unix seconds); None: it was not asked for by one."""

    def may(self, verb: Verb) -> bool:
        return not self.roles.isdisjoint(ALLOWED[verb])

    def owns(self, owner: str) -> bool:
        """Whether they may change what belongs to ``owner``."""
        return self.name == owner or self.may(Verb.MANAGE_OTHERS)


SYSTEM = Caller("system", frozenset(Role))
"""The platform itself."""


def caller(name: str, roles: Iterable[str], token: str = "") -> Caller:
    """Return the caller that a verified token names; roles that this program does not know count for nothing."""
    known = {role.value: role for role in Role}
    return Caller(name, frozenset(known[role] for role in roles if role in known), token)


def check(caller: Caller, verb: Verb) -> None:
    """Raise :class:`Forbidden` (``role_needed``) unless ``caller`` may do ``verb``."""
    if caller.may(verb):
        return
    allowed = " or ".join(sorted(ALLOWED[verb]))
    raise Forbidden(
        f"{caller.name} may not {verb}",
        code="role_needed",
        hint=f"that takes the role {allowed}; {_lacks(caller)}",
    )


def check_any(caller: Caller, verbs: Sequence[Verb]) -> None:
    """Raise :class:`Forbidden` (``role_needed``) unless ``caller`` may do one of ``verbs``."""
    if any(caller.may(verb) for verb in verbs):
        return
    each = "; ".join(f"to {verb} takes the role {' or '.join(sorted(ALLOWED[verb]))}" for verb in verbs)
    raise Forbidden(
        f"{caller.name} may neither {' nor '.join(verbs)}",
        code="role_needed",
        hint=f"{each}; {_lacks(caller)}",
    )


def _lacks(caller: Caller) -> str:
    """Return who lacks a role: a token may have fewer than the person, whom more roles would not help then."""
    give = f"a configurer gives it with: fairlead users set {caller.name} --add ROLE"
    return f"this token or {caller.name} lacks it: sign in with all your roles (fairlead login), or {give}"


def check_owner(caller: Caller, owner: str, what: str, to: str = "change it") -> None:
    """Raise :class:`Forbidden` (``not_owner``) unless ``caller`` may change what belongs to ``owner``.

    ``to`` says what else it takes its owner for.
    """
    if not caller.owns(owner):
        raise Forbidden(f"{what} belongs to {owner}", code="not_owner", hint=f"ask {owner} or a configurer to {to}")


def may_see(caller: Caller | None, owner: str, visibility: str) -> bool:
    """Whether ``caller`` (none: nobody signed in) may see and call something of ``owner``."""
    if visibility == "public":
        return True
    if caller is None:
        return False
    return visibility == "team" or caller.owns(owner)


def in_force(visibility: str, wanted: str, granted: Collection[str]) -> str:
    """Return the visibility that holds once a manifest wants ``wanted``; ``public`` only where that was granted."""
    if wanted != "public" or "public" in granted:
        return wanted
    return "team" if visibility == "public" else visibility


def parse_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """Return ``roles`` sorted and once each; raises :class:`Invalid` for none and for unknown ones."""
    given = sorted(set(roles))
    known = ", ".join(Role)
    unknown = [role for role in given if role not in set(Role)]
    problems = tuple(Problem("roles", "unknown_role", f"{role} is no role", f"one of {known}") for role in unknown)
    if problems or not given:
        said = f"unknown role {', '.join(unknown)}" if unknown else "at least one role is needed"
        raise Invalid(said, code="unknown_role" if unknown else "role_missing", hint=known, problems=problems)
    return tuple(given)
