"""What is wrong with a schedule that somebody asks for: its time, its app, its place, devices and parameters."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.apps import ground, params, versions
from fairlead.bundles.manifest import AppManifest
from fairlead.devices import registry
from fairlead.errors import Forbidden, Invalid, NotFound, Problem
from fairlead.schedules.check import Wanted, check


def checked(session: Session, wanted: Wanted, now: datetime, *, may_safety: bool) -> str:
    """Return the zone of a schedule that may be written.

    Raises :class:`Invalid` with every problem, and :class:`Forbidden` for an app whose commands go before people's
    unless ``may_safety``: the caller is a configurer.
    """
    zone, manifest, problems = judge(session, wanted, now)
    if problems or manifest is None:
        raise refusal(problems)
    if not may_safety and any(role.tier == "safety" for role in manifest.devices.values()):
        message = f"{wanted.app} commands devices before people do"
        raise Forbidden(message, code="safety_tier", hint="a configurer schedules it")
    return zone


def judge(session: Session, wanted: Wanted, now: datetime) -> tuple[str, AppManifest | None, tuple[Problem, ...]]:
    """Return the zone, the app's manifest (None: there is no such app) and every problem."""
    problems: list[Problem] = []
    zone, manifest = wanted.zone or "UTC", None
    try:
        place = registry.show_location(session, wanted.at)
        zone = wanted.zone or place.zone
    except NotFound as error:
        problems.append(Problem("at", error.code, error.message, error.hint))
    try:
        manifest = versions.manifest_of(versions.show_version(session, wanted.app))
    except NotFound as error:
        problems.append(Problem("app", error.code, error.message, error.hint))
    problems += check(wanted, zone, now)
    if manifest is not None:
        problems += params.check(manifest.params, wanted.params)
        problems += ground.problems_of(session, manifest, wanted.at, wanted.bind)
    return zone, manifest, tuple(problems)


def refusal(problems: tuple[Problem, ...]) -> Invalid:
    """Return the error of a schedule with these problems; its message is the first."""
    first = problems[0]
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = f"{first.path}: {first.message}{rest}"
    return Invalid(message, code="schedule_invalid", hint=first.hint, problems=problems)
