"""Puts the API together."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fairlead.api import errors
from fairlead.api.handover import Handovers
from fairlead.api.limits import BodyLimit
from fairlead.api.routers import (
    accounts,
    apps,
    bundles,
    commands,
    devices,
    examples,
    gallery,
    history,
    inference,
    jobs,
    live,
    locations,
    logs,
    mails,
    models,
    objectives,
    pages,
    runs,
    schedules,
    secrets,
    signin,
    simulations,
    system,
    things,
    types,
    why,
)
from fairlead.api.views.base import InferenceRefusal, Refusal
from fairlead.control.house import House

PREFIX = "/api/v1"


def make_app(house: House) -> FastAPI:
    """Return the application of ``house``."""
    app = FastAPI(
        title="Fairlead",
        version=house.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        responses={"default": {"model": Refusal, "description": "refused: what, why, and what next"}},
    )
    app.state.house = house
    app.state.handovers = Handovers()
    errors.install(app)
    app.add_middleware(BodyLimit)
    app.include_router(jobs.calls)  # first: each router before it costs each job a look
    app.include_router(system.health)
    app.include_router(pages.router)
    app.include_router(signin.router)
    app.include_router(jobs.shared)
    app.include_router(models.calls)
    refused: dict[int | str, dict[str, Any]] = {"default": {"model": InferenceRefusal, "description": "refused"}}
    app.include_router(inference.router, responses=refused)
    rooms = (
        *(
            system,
            accounts,
            bundles,
            models,
            examples,
            objectives,
            apps,
            jobs,
            gallery,
            types,
            locations,
            devices,
            live,
            history,
            things,
            simulations,
            commands,
        ),
        *(schedules, runs, why, logs, mails, secrets),
    )
    for room in rooms:
        app.include_router(room.router, prefix=PREFIX)
    return app
