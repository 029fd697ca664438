"""Objectives over the API: who sees what, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fairlead.store.records import SloAlert

SLO = "[slo]\nlatency_ms = 100\navailability = 99.9\n"
PATH = "/api/v1/models/flowers/slo"


async def test_who_may_see_a_model_sees_its_objectives_and_who_may_change_it_who_is_told(world: Any) -> None:
    await world.model(more=SLO)
    told = await world.ok(world.by("ada").put(f"{PATH}/alerts", json={"mail": ["ops@example.org"]}))
    assert told == {"mail": ["ops@example.org"], "webhook": None, "set_by": "ada"}

    for who, tell in (("ada", told), ("eve", told), ("zoe", None), ("ben", None)):
        view = await world.ok(world.by(who).get(PATH))
        assert [one["objective"] for one in view["objectives"]] == ["availability", "latency"]
        assert [one["attainment"] for one in view["objectives"]] == [None, None]
        assert view["tell"] == tell


async def test_others_do_not_say_who_is_told(world: Any) -> None:
    await world.model(more=SLO)
    body = {"mail": ["me@example.org"]}

    world.refused(await world.by("ben").put(f"{PATH}/alerts", json=body), 403, "not_owner")
    world.refused(await world.by("zoe").put(f"{PATH}/alerts", json=body), 403, "role_needed")


async def test_what_is_wrong_is_refused(world: Any) -> None:
    await world.model(more=SLO)
    ada = world.by("ada")

    world.refused(await ada.put(f"{PATH}/alerts", json={}), 422, "nothing_to_change")
    world.refused(await ada.put(f"{PATH}/alerts", json={"mail": ["x"]}), 422, "mail_invalid")
    world.refused(
        await ada.put(f"{PATH}/alerts", json={"mail": [f"a{n}@b.org" for n in range(11)]}), 422, "mail_invalid"
    )
    world.refused(await ada.put(f"{PATH}/alerts", json={"webhook": "http://10.1.2.3/"}), 422, "callback_private")
    webhook = {"webhook": "https://hooks.example.org/x"}
    world.refused(await ada.put(f"{PATH}/alerts", json=webhook), 422, "callback_secret_missing")
    await world.ok(ada.post("/api/v1/callbacks/secret"))
    assert (await world.ok(ada.put(f"{PATH}/alerts", json=webhook)))["webhook"] == webhook["webhook"]
    assert (await world.ok(ada.put(f"{PATH}/alerts", json={"webhook": ""})))["webhook"] is None
    world.refused(await ada.get(f"{PATH}/nagios"), 404, "no_such_path")


async def test_a_model_of_which_nothing_is_promised_says_how_to(world: Any) -> None:
    await world.model()

    refused = world.refused(await world.by("ada").get(PATH), 404, "no_objective")
    assert "[slo]" in refused["hint"]
    world.refused(await world.by("ada").get("/api/v1/models/nothing/slo"), 404, "no_such_model")


async def test_an_objective_that_is_missed_is_told_by_status_and_why(world: Any) -> None:
    await world.model(more=SLO)
    since = world.house.clock.now() - timedelta(minutes=5)
    await world.house.database.write(
        lambda session: session.add(SloAlert(model="flowers", sli="latency", name="fast", since=since))
    )
    zoe = world.by("zoe")

    status = await world.ok(zoe.get("/api/v1/status"))
    assert status["state"] == "degraded"
    assert [one for one in status["troubles"] if "fairlead slo flowers" in one]
    now = await world.ok(zoe.get("/api/v1/why", params={"of": "flowers"}))
    assert "It misses its objective latency since " in now["answer"]
    assert now["answer"].endswith("fairlead slo flowers.")
    before = await world.ok(zoe.get("/api/v1/why", params={"of": "flowers", "at": "10m"}))
    assert "objective" not in before["answer"]


async def test_all_that_is_promised_is_listed_by_name_to_who_may_see_the_models(world: Any) -> None:
    for name in ("flowers", "birds"):
        await world.model(name, more=SLO)
    await world.ok(world.by("ada").patch("/api/v1/models/birds", json={"visibility": "private"}))

    async def listed(who: str, **query: Any) -> tuple[list[str], str | None]:
        view = await world.ok(world.by(who).get("/api/v1/objectives", params=query))
        return [one["model"] for one in view["items"]], view["next"]

    assert await listed("eve") == (["birds", "flowers"], None)
    assert await listed("zoe") == (["flowers"], None)
    assert await listed("ada", limit=1) == (["birds"], "birds")
    assert await listed("ada", limit=1, after="birds") == (["flowers"], "flowers")
    assert await listed("ada", limit=1, after="flowers") == ([], None)
    view = await world.ok(world.by("zoe").get("/api/v1/objectives"))
    assert view["items"][0]["objectives"][0]["budget_left"] == 1
    world.refused(await world.by("zoe").get("/api/v1/objectives", params={"limit": 101}), 422, "limit_out_of_range")
