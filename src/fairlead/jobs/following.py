"""Jobs that wait follow the alias by which they were addressed: the version that answers now does them.

One that was addressed by its version stays with it, and so does one for an endpoint that the versions of its alias have
not, or whose alias is no more. What is ordered already is followed when it comes back (``moves``, ``orders``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.jobs.waiting import waiting, waiting_versions
from fairlead.models import queries as models
from fairlead.store.records import Alias, Job, ModelVersion

AT_ONCE = 500
"""Jobs that are moved in one transaction."""


def follow(session: Session, now: datetime, draw: Callable[[], float]) -> list[str]:
    """Give jobs that wait for a version which their alias names no more to one that it names, and return them.

    At most ``AT_ONCE``: fewer say that none is left. They are due at once: what they waited for was the other
    version's. ``draw`` returns numbers from 0 to 1, by which each version gets its share.
    """
    moved: list[str] = []
    for model, version in waiting_versions(session):
        for held in models.aliases_of(session, model):
            if _names(held, version):
                continue
            here = (*waiting(), Job.model == model, Job.version == version, Job.alias == held.alias)
            known = _endpoints(session, held)
            if known is not None:
                here = (*here, Job.endpoint.in_(known))
            for job in session.scalars(select(Job).where(*here).limit(AT_ONCE - len(moved)).with_for_update()):
                _move(session, job, held, draw())
                job.due_at = min(job.due_at, now)
                moved.append(job.id)
            session.flush()
    return moved


def follow_one(session: Session, job: Job, chance: float) -> bool:
    """Have a job be done by a version that its alias names, and return whether that is another one."""
    held = session.get(Alias, (job.model, job.alias)) if job.alias else None
    if held is None or _names(held, job.version):
        return False
    known = _endpoints(session, held)
    if known is not None and job.endpoint not in known:
        return False
    _move(session, job, held, chance)
    return True


def _names(held: Alias, version: str) -> bool:
    return any(target.version == version and target.weight for target in held.targets)


def _move(session: Session, job: Job, held: Alias, chance: float) -> None:
    before, job.version = job.version, models.pick(held.targets, chance)
    version = models.version_of(session, job.model, job.version)
    job.timeout_s = models.manifest_of(version).run.timeout_s
    said = f"next with {job.model}@{job.version}: {held.alias} names {before} no more"
    job.reason = f"{job.reason}; {said}" if job.reason else said


def _endpoints(session: Session, held: Alias) -> set[str] | None:
    """Return the endpoints that all versions of an alias have, None where that is not known."""
    found: set[str] | None = None
    for target in held.targets:
        version = session.get(ModelVersion, (held.model, target.version)) if target.weight else None
        if version is not None and version.signature is not None:
            have = set(version.signature.get("endpoints") or ())
            found = have if found is None else found & have
    return found
