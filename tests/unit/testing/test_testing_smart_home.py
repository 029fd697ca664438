"""The example smart-home on a stage: a hot day, an evening, and people with switches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fairlead
from fairlead.testing.stage import Kept, Stage

APP = Path(str(fairlead.__file__)).parents[2] / "examples" / "smart-home"
ALL = {"light": 1, "air_conditioners": 1, "lamps": 2}
ADA, BOB = "ada", "bob"


def comfort(body: Any) -> dict[str, Any]:
    """Answer as the model comfort does."""
    return {"hot": body["temperature"] > body["comfort_c"], "why": f"{body['temperature']:g} °C"}


async def feel(stage: Stage, *temperatures: float) -> None:
    stage.model("comfort", comfort)
    for value in temperatures:
        await stage.device("thermometer").report(temperature=value)


def switched(stage: Stage, role: str, index: int = 0) -> list[bool]:
    """Return when the device went on and off, in turn."""
    told = [command["on"] for command in stage.device(role, index).commands]
    return [on for number, on in enumerate(told) if not number or told[number - 1] is not on]


async def press(stage: Stage, device: str, on: bool | None, user: str = ADA) -> dict[str, Any]:
    """Press a switch of the page; return what the page shows of the device afterwards."""
    answer = await stage.visit(user).post("/switch", json={"device": device, "on": on})
    assert answer.status_code == 200, answer.text
    return next(one for one in answer.json()["switches"] if one["id"] == device)


async def test_a_hot_day_starts_the_fan_and_then_the_air_conditioner() -> None:
    async with Stage(APP, devices=ALL) as stage:
        await feel(stage, 24, 26.5, 25.9, 26.1, 27, 27.6, 27, 26.2, 27, 25.4, 25.9, 26.2)
        assert switched(stage, "fan") == [False, True, False, True]
        cooler = stage.device("air_conditioners").commands
        assert cooler == [{"on": False}, {"on": True, "target": 26}, {"on": False}], "it does not go on and off in turn"


async def test_what_is_comfortable_may_be_more_than_an_air_conditioner_can_be_set_to() -> None:
    async with Stage(APP, devices=ALL, params={"comfort_c": 10}) as stage:
        await feel(stage, 24)
        assert stage.device("air_conditioners").state["target"] == 16


async def test_lamps_shine_in_the_dark_and_their_own_light_does_not_put_them_out() -> None:
    async with Stage(APP, devices=ALL) as stage:
        for lux in (600, 200, 100, 400, 310):
            await stage.device("light").report(light=lux)
        assert stage.device("lamps").state["on"] is True
        for lux in (600, 300):
            await stage.device("light").report(light=lux)
        assert switched(stage, "lamps", 0) == switched(stage, "lamps", 1) == [False, True, False]
        assert stage.device("lamps").commands[1]["brightness"] == 100


async def test_a_switch_by_hand_counts_until_its_time_is_over() -> None:
    async with Stage(APP, devices=ALL, params={"by_hand_min": 30}) as stage:
        await feel(stage, 24)
        shown = await press(stage, "fan-1", True)
        assert (shown["on"], shown["hand"], shown["by"]) == (True, True, "switched by ada, for 30 min more")
        await feel(stage, 24, 23)
        assert stage.device("fan").state["on"] is True
        assert await press(stage, "fan-1", False, BOB)
        await feel(stage, 30)
        assert stage.device("fan").state["on"] is False
        await stage.advance(minutes=31)
        assert stage.device("fan").state["on"] is True, "the rules count again"
        (fan,) = [one for one in (await stage.web.get("/now")).json()["switches"] if one["id"] == "fan-1"]
        assert (fan["hand"], fan["by"]) == (False, "30 °C")


async def test_who_gives_a_device_back_has_the_rules_count_at_once() -> None:
    async with Stage(APP, devices=ALL) as stage:
        await stage.device("light").report(light=50)
        await press(stage, "lamps-2", False)
        assert stage.device("lamps", 1).state["on"] is False
        await stage.device("light").report(light=40)
        assert (stage.device("lamps", 0).state["on"], stage.device("lamps", 1).state["on"]) == (True, False)
        assert (await press(stage, "lamps-2", None))["hand"] is False
        assert stage.device("lamps", 1).state["on"] is True


async def test_a_switch_by_hand_outlives_a_new_start_of_the_app() -> None:
    kept = Kept()
    async with Stage(APP, kept=kept) as stage:
        await press(stage, "fan-1", True)
    async with Stage(APP, kept=kept) as stage:
        await feel(stage, 20)
        assert stage.device("fan").commands == []


async def test_the_page_says_what_keeps_a_device_from_doing_it_and_it_is_tried_again() -> None:
    async with Stage(APP, devices=ALL) as stage:
        lamp = stage.device("lamps")
        lamp.offline()
        await stage.device("light").report(light=50)
        (shown,) = [one for one in (await stage.web.get("/now")).json()["switches"] if one["id"] == "lamps-1"]
        assert shown["problem"] == "offline"
        lamp.is_online = True
        await stage.device("light").report(light=49)
        assert lamp.state["on"] is True


async def test_a_home_of_a_thermometer_and_a_fan_is_one() -> None:
    async with Stage(APP) as stage:
        await feel(stage, 30)
        now = (await stage.visit(ADA).get("/now")).json()
        assert [one["id"] for one in now["sensors"]] == ["thermometer-1"]
        assert [(one["id"], one["on"]) for one in now["switches"]] == [("fan-1", True)]
        assert "Smart home" in (await stage.web.get("/")).text


@pytest.mark.parametrize(
    "given",
    [{}, [], {"device": "fan-9", "on": True}, {"device": "fan-1", "on": 1}, {"device": ["fan-1"], "on": True}],
    ids=["nothing", "list", "unknown", "number", "devices"],
)
async def test_what_is_no_switch_is_refused(given: Any) -> None:
    async with Stage(APP) as stage:
        answer = await stage.visit(ADA).post("/switch", json=given)
        assert (answer.status_code, "fan-1" in answer.json()["error"]) == (422, True)
        assert (await stage.web.post("/switch", json={"device": "fan-1", "on": True})).status_code == 403
        assert stage.device("fan").commands == []
