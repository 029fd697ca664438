"""People removed and models handed over, by the API."""

from __future__ import annotations

from typing import Any


async def test_who_owns_a_model_is_removed_once_it_is_handed_over(world: Any) -> None:
    await world.model()
    eve = world.by("eve")
    error = world.refused(await eve.delete("/api/v1/users/ada"), 409, "user_owns")
    assert "the model flowers" in error["message"]

    view = await world.ok(eve.patch("/api/v1/models/flowers", json={"owner": "ben"}))
    assert view["owner"] == "ben"
    assert (await world.ok(eve.delete("/api/v1/users/ada")))["name"] == "ada"

    assert "ada" not in [one["name"] for one in (await world.ok(eve.get("/api/v1/users")))["items"]]
    world.refused(await world.by("ada").get("/api/v1/models"), 403, "user_disabled")
    audit = (await world.ok(eve.get("/api/v1/audit")))["items"]
    assert {"removed", "owner ada → ben"} <= {one["said"] for one in audit}


async def test_nobody_but_its_owner_and_configurers_hands_a_model_over(world: Any) -> None:
    await world.model()
    world.refused(await world.by("ben").patch("/api/v1/models/flowers", json={"owner": "ben"}), 403, "not_owner")
    world.refused(await world.by("ada").patch("/api/v1/models/flowers", json={"owner": "nobody"}), 404, "not_found")


async def test_what_is_not_in_force_yet_is_asked_for(world: Any) -> None:
    assert await world.ok(world.by("zoe").get("/api/v1/pending")) == {"pending": None}
