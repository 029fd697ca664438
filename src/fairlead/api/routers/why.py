"""Why something is as it is."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check
from fairlead.api import moments
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.journal import WhyView, why_view
from fairlead.apps import sight as apps
from fairlead.control import nearby
from fairlead.errors import NotFound
from fairlead.jobs import queries as jobs
from fairlead.logs import facts
from fairlead.models import queries as models
from fairlead.schedules.sight import schedules
from fairlead.store.records import App, Device, Model, Schedule

router = APIRouter(tags=["why"])


@router.get("/why")
async def why(of: str, house: TheHouse, who: Who, at: str = "") -> WhyView:
    """Explain a model, version, job, schedule, run, command, device or ``device.property``, now or as it was then.

    A time of day is the last such time in UTC, unless it carries an offset: ``14:03+01:00``.
    """
    now = house.clock.now()

    sight = facts.Sight(commands=apps.commands(who), runs=apps.runs(who), schedules=schedules(who), jobs=jobs.seen(who))

    def read(session: Session) -> WhyView:
        _check(session, who, of)
        moment = moments.until(at, now) if at else now
        try:
            return why_view(facts.why(session, of, moment, sight))
        except NotFound as error:
            if error.code == "not_found":
                error.hint = nearby.hint(session, who, of, error.hint, _names(session, sight))
            raise

    return await house.database.read(read)


def _names(session: Session, sight: facts.Sight) -> list[str]:
    """Return what devices and schedules are called, as far as the caller may see them."""
    of_schedules = select(Schedule.name).where(Schedule.removed_at.is_(None), sight.schedules)
    return [
        *session.scalars(select(Device.id).limit(nearby.AMONG)),
        *session.scalars(of_schedules.limit(nearby.AMONG)),
    ]


def _check(session: Session, who: Caller, of: str) -> None:
    """Raise :class:`fairlead.errors.NotFound` for what the caller may not see."""
    check(who, Verb.SEE_DEVICES)
    name = of.partition("@")[0]
    try:
        if session.get(Model, name) is not None:
            models.get(session, who, name)
        elif session.get(App, name) is not None:
            apps.show_app(session, who, name)
    except NotFound as error:
        raise facts.unknown(of) from error
