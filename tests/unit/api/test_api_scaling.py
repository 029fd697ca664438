"""``GET /models/{name}/scaling``: who sees it, and what it says."""

from __future__ import annotations

from functools import partial

from fairlead.models import replicas as records
from fairlead.models.replicas import Made

from .conftest import World

WHY = "360 jobs wait; at 0.18 s each, 5 replicas drain them in 15 s"


async def test_decisions_are_told_with_what_they_were_made_from(world: World) -> None:
    version = await world.model()
    made = Made(("flowers", version), 2, 5, "queue", WHY, {"backlog": 360, "service_s": 0.18, "start_s": None})
    await world.house.database.write(partial(records.write, made=[made], now=world.house.clock.now()))

    view = await world.ok(world.by("ben").get("/api/v1/models/flowers/scaling"))

    (decision,) = [one for one in view["decisions"] if one["rule"] == "queue"]
    assert decision.pop("at")
    assert decision == {
        "version": version,
        "from": 2,
        "to": 5,
        "rule": "queue",
        "why": WHY,
        "inputs": {"backlog": 360, "service_s": 0.18, "start_s": None},
    }
    assert (view["model"], view["ready"], view["starting"]) == ("flowers", 0, 0)


async def test_a_private_model_is_not_there_for_others_and_its_decisions_go_with_it(world: World) -> None:
    private = '[access]\nvisibility = "private"\n'
    version = await world.model(more=private)
    made = Made(("flowers", version), 2, 5, "queue", WHY, {})
    await world.house.database.write(partial(records.write, made=[made], now=world.house.clock.now()))
    assert (await world.by("ben").get("/api/v1/models/flowers/scaling")).status_code == 404
    assert (await world.by("ada").get("/api/v1/models/flowers/scaling")).status_code == 200

    assert (await world.by("ada").delete("/api/v1/models/flowers")).status_code == 204
    kept = await world.house.database.read(lambda session: records.decisions(session, "flowers"))

    assert [one for one in kept if one.rule == "queue"] == []
