"""Who calls and what they mean, remembered until a commit touches a record that it was read from.

Whoever was told of a change (a user disabled, an alias moved, a quota set) finds it here: what was read before that
commit counts no more. What another program writes to the database counts after ``KEPT_S``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import quotas, service
from fairlead.accounts.policy import Caller
from fairlead.accounts.usage import Subject
from fairlead.clock import Clock
from fairlead.identity.claims import Claims
from fairlead.jobs import inputs
from fairlead.messages import Target
from fairlead.models import queries as models
from fairlead.store.database import Database
from fairlead.store.records import Alias, Model, ModelVersion, Token, User

T = TypeVar("T")
KEPT_S = 1.0
MOST = 10_000
"""Answers that are remembered."""
_PEOPLE = (User.__tablename__, Token.__tablename__)
_MODELS = (Model.__tablename__, ModelVersion.__tablename__, Alias.__tablename__)


@dataclass(frozen=True, slots=True)
class Called:
    """A version that may be called: what a job of it is made from."""

    record: ModelVersion
    timeout_s: float
    inputs: inputs.Inputs


@dataclass(frozen=True, slots=True)
class Meaning:
    """Who calls, how often they may, and the versions that the name stands for, by weight."""

    caller: Caller
    most: Mapping[Subject, int]
    targets: tuple[Target, ...]
    versions: Mapping[str, Called]
    alias: str = ""
    """The alias that the name says or means, empty where it says a version."""

    def pick(self, chance: float) -> Called:
        """Return the version on which ``chance`` (0 to 1) falls."""
        return self.versions[models.pick(self.targets, chance)]


@dataclass(frozen=True, slots=True)
class _Known:
    value: Any
    mark: tuple[int, ...]
    until: float
    """Monotonic seconds."""


class Directory:
    """Answers from memory where it may, else from the database: one read for all who ask the same at once."""

    def __init__(self, database: Database, clock: Clock, defaults: quotas.Defaults) -> None:
        self._database, self._clock, self._defaults = database, clock, defaults
        self._known: dict[tuple[Any, ...], _Known] = {}

    async def caller(self, claims: Claims) -> Caller:
        """Return whose token it is, with the roles that they still have.

        Raises :class:`fairlead.errors.Forbidden` (``user_disabled``) and :class:`fairlead.errors.Busy`
        (``store_busy``).
        """
        return await self._of(("caller", claims), _PEOPLE, lambda session: caller_of(session, claims))

    async def meaning(self, claims: Claims, ref: str) -> Meaning:
        """Return what ``name[@alias or version]`` means to the bearer of ``claims``.

        Raises what :meth:`caller` and :func:`fairlead.models.queries.resolve` raise.
        """
        return await self._of(("meaning", ref, claims), _PEOPLE + _MODELS, lambda s: self._look(s, claims, ref))

    def _look(self, session: Session, claims: Claims, ref: str) -> Meaning:
        name, _, wished = ref.partition("@")
        caller = caller_of(session, claims)
        wished = wished or models.PRODUCTION
        targets = models.targets_of(session, caller, name, wished)
        versions = {one.version: _callable(models.version_of(session, name, one.version)) for one in targets}
        alias = "" if ids.is_version(wished) else wished
        return Meaning(caller, quotas.most(session, [caller], self._defaults), targets, versions, alias)

    async def _of(self, key: tuple[Any, ...], tables: tuple[str, ...], look: Callable[[Session], T]) -> T:
        mark, now = self._database.changes.of(tables), self._clock.monotonic()
        known = self._known.get(key)
        if known is not None and known.mark == mark and now < known.until:
            found: T = known.value
            return found
        found = await self._database.read_shared(key, look)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[key] = _Known(found, mark, now + KEPT_S)  # marked as of before it was read
        return found


def caller_of(session: Session, claims: Claims) -> Caller:
    """Return whose token it is, with the roles that they still have; raises :class:`fairlead.errors.Forbidden`
    (``user_disabled``)."""
    found = service.caller_of(session, claims.sub, claims.roles, claims.jti)
    return replace(found, expires=claims.exp)


def _callable(version: ModelVersion) -> Called:
    return Called(version, models.manifest_of(version).run.timeout_s, inputs.Inputs(version.signature))
