"""The example smart-classroom on a stage: lessons, light and air, the page, and a whole week in simulated time."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.classroom import LESSONS, MONDAY, SCHOOL, WEEK, attendance, away, is_told, lesson_room, recorded, shows, week


async def test_the_roll_is_called_at_the_hour() -> None:
    async with lesson_room(MONDAY.replace(hour=7, minute=55)) as stage:
        shows(stage, "ada", "unknown", "unknown")
        await stage.advance(minutes=13)
        shows(stage, "ada", "bo", "dee")
        await stage.advance(minutes=12)
        assert attendance(stage) == {
            ("08:00", "ada"): ("present", "08:00"),
            ("08:00", "bo"): ("late", "08:09"),
            ("08:00", "cem"): ("absent", ""),
            ("08:00", "dee"): ("late", "08:09"),
        }
        page = (await stage.web.get("/")).text
        assert "campus/room-1" in page
        assert "<td>2</td>" in page, "two guests at once"


async def test_nobody_is_absent_or_late_because_the_model_was_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with lesson_room(MONDAY.replace(hour=7, minute=59, second=30)) as stage:
        shows(stage, "ada")
        stage.model("faces", away)
        await stage.advance(minutes=58)
        assert "nobody is recognized now: no replica is ready" in (await stage.web.get("/")).text
        await stage.advance(minutes=2)
        stage.model("faces", recorded)
        stage.model("faces", lambda picture: away(picture) if stage.clock.now().minute < 20 else recorded(picture))
        await stage.advance(minutes=59)
        found = attendance(stage)
        assert found["08:00", "ada"] == ("not taken", "")
        assert found["09:00", "ada"] == ("present", "09:20"), "the first minute in which the room was seen"
        assert found["09:00", "bo"] == ("absent", "")
    said = [record.getMessage() for record in caplog.records if record.name == "fairlead.app"]
    assert len([line for line in said if line.startswith("the roll is not called now")]) == 1
    assert said.count("the roll is called again") == 1


async def test_a_run_that_starts_again_goes_on_with_the_list() -> None:
    async with lesson_room(MONDAY.replace(hour=7, minute=59)) as stage:
        shows(stage, "ada")
        await stage.advance(minutes=5)
    async with lesson_room(MONDAY.replace(hour=8, minute=5), stage.kept) as again:
        shows(again, "bo")
        await again.advance(minutes=15)
        assert attendance(again) == {
            ("08:00", "ada"): ("present", "08:00"),
            ("08:00", "bo"): ("late", "08:06"),
            ("08:00", "cem"): ("absent", ""),
        }
    async with lesson_room(MONDAY + timedelta(days=1, hours=7), again.kept) as tomorrow:
        assert "2026-11-23" in (await tomorrow.web.get("/attendance.csv", params={"date": "2026-11-23"})).text
        assert "No lesson has begun today" in (await tomorrow.web.get("/")).text


async def test_light_and_air_follow_who_is_there_and_what_is_measured() -> None:
    async with lesson_room(MONDAY.replace(hour=16), comfort_c=22, empty_min=10) as stage:
        lamp, cooler, motion = stage.device("lamps", 1), stage.device("coolers"), stage.device("motion")
        await stage.device("thermometer").report(temperature=27.0)
        await stage.device("sky").report(light=80.0)
        await stage.advance(minutes=1)
        assert (lamp.state["on"], cooler.state["on"]) == (False, False), "nobody is there"
        await motion.report(motion=True)
        assert (lamp.state["on"], cooler.state["on"]) == (True, True)
        assert cooler.state["target"] == 21
        await stage.device("sky").report(light=700.0)
        await stage.device("thermometer").report(temperature=22.3)
        await stage.advance(minutes=1)
        assert (lamp.state["on"], cooler.state["on"]) == (True, True), "neither flickers"
        await stage.device("sky").report(light=1500.0)
        await stage.device("thermometer").report(temperature=21.4)
        await stage.advance(minutes=1)
        assert (lamp.state["on"], cooler.state["on"]) == (False, False)
        await stage.device("sky").report(light=80.0)
        await stage.device("thermometer").report(temperature=27.0)
        await motion.report(motion=True)
        await motion.report(motion=False)
        await stage.advance(minutes=9)
        assert (lamp.state["on"], cooler.state["on"]) == (True, True)
        await stage.advance(minutes=2)
        assert (lamp.state["on"], cooler.state["on"]) == (False, False)
        assert lamp.commands == [{"on": on} for on in (False, True, False, True, False)]


async def test_a_thermometer_that_is_away_cools_nobody_and_a_lamp_is_told_again() -> None:
    async with lesson_room(MONDAY.replace(hour=16)) as stage:
        lamp, cooler = stage.device("lamps"), stage.device("coolers")
        await stage.device("thermometer").report(temperature=29.0)
        lamp.offline()
        for _ in range(4):
            await stage.device("motion").report(motion=True)
            await stage.advance(minutes=4)
        assert (cooler.state["on"], lamp.state.get("on")) == (False, None)
        assert {"on": True, "target": 23} in cooler.commands
        lamp.online()
        await stage.device("motion").report(motion=True)
        await stage.advance(minutes=1)
        assert lamp.state["on"] is True, "without a light sensor's word it is taken as dark"
    assert lamp.state["on"] is False, "the window is over"


async def test_the_page_follows_by_itself_and_says_names_as_they_are() -> None:
    async with lesson_room(MONDAY.replace(hour=7, minute=59), pupils=["<b>ada</b>"]) as stage:
        site: Any = stage.app.web
        heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        leave = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await leave.wait()
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "GET", "path": "/events", "query_string": b""}
        following = asyncio.create_task(site(scope, receive, heard.put))
        assert (await heard.get())["status"] == 200
        assert "No lesson has begun" in told(await heard.get())
        shows(stage, "<b>ada</b>")
        await stage.advance(minutes=1)
        texts = [told(await heard.get())]
        while not heard.empty():
            texts.append(told(heard.get_nowait()))
        assert "&lt;b&gt;ada&lt;/b&gt;" in texts[-1]
        assert 'class="present"' in texts[-1]
        leave.set()
        await asyncio.wait_for(following, 30)
        page = await stage.web.get("/")
        assert "<b>" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for path, status in (("/healthz", 200), ("/page.js", 200), ("/page.css", 200), ("/../app.py", 404)):
            assert (await stage.web.get(path)).status_code == status, path
        assert (await stage.web.post("/")).status_code == 405
        assert (await stage.web.get("/attendance.csv", params={"date": "2020-01-01"})).status_code == 404


def told(message: dict[str, Any]) -> str:
    return str(json.loads(message["body"].decode().removeprefix("data: ")))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "days", [range(3, 5), pytest.param(WEEK, marks=pytest.mark.long)], ids=["Thursday and Friday", "all"]
)
async def test_a_week(days: range) -> None:
    """Who was there when, and nothing is on at night or where nobody is."""
    lit = set()
    async with lesson_room(MONDAY + timedelta(days=days.start)) as stage:

        def look(at: datetime) -> None:
            on = [stage.device("lamps", n).state.get("on", False) for n in (0, 1)]
            if any(on) or stage.device("coolers").state.get("on", False):
                lit.add((at.weekday(), at.hour))

        await week(stage, look, days=days)
        assert lit == {(day, hour) for day in days if day in SCHOOL for hour in (*LESSONS, 18)}
        assert is_told(stage, days)
    assert "register" not in sys.modules, "the stage leaves no module of the app"
