"""The example mood-lighting on a stage: an evening with music, a quarrel, a model that is away, silence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import fairlead
from fairlead.errors import Unavailable
from fairlead.testing.stage import Kept, Stage

APP = Path(str(fairlead.__file__)).parents[2] / "examples" / "mood-lighting"
CLIP = b"RIFF____WAVEfmt "
ADA, BOB = "ada", "bob"
RED, GREEN = "#ff0000", "#00ff00"


def sounds(valence: float, energy: float, loudness_db: float = -20.0) -> dict[str, Any]:
    """Return what the model mood answers."""
    heard = {"loudness_db": loudness_db}
    return {"mood": "", "valence": valence, "energy": energy, "alpha": "80", "color": "#000000", "heard": heard}


SILENT = sounds(0.0, -1.0, -90.0)


async def play(stage: Stage, seconds: int, answer: dict[str, Any] | Callable[[Any], Any]) -> None:
    """Have the microphone send a clip a second."""
    stage.model("mood", answer)
    for _ in range(seconds):
        await stage.device("microphone").report(audio=CLIP)
        await stage.advance(seconds=1)


def colors(stage: Stage, lamp: int = 0) -> list[str]:
    return [told.get("color", "off") if told["on"] else "off" for told in stage.device("lamps", lamp).commands]


def red(color: str) -> int:
    return int(color[1:3], 16)


async def test_the_color_glides_from_one_mood_to_the_other_and_does_not_flicker() -> None:
    async with Stage(APP, devices={"lamps": 2}) as stage:
        await play(stage, 10, sounds(1, 0))
        assert colors(stage, 0) == colors(stage, 1) == ["#ffd23f"]
        assert stage.device("lamps").commands[0]["brightness"] == 100
        await play(stage, 20, sounds(-1, 0))
        way = [red(color) for color in colors(stage)]
        assert way == sorted(way, reverse=True), "each step is nearer"
        assert 3 <= len(way) <= 9
        assert abs(way[-1] - 0x5B) <= 24

        before = len(colors(stage))
        for turn in range(30):
            await play(stage, 1, sounds(-1, 0.1 if turn % 2 else -0.1))
        assert len(colors(stage)) == before, "what wavers a little is not shown"


async def test_one_odd_second_changes_little() -> None:
    async with Stage(APP) as stage:
        await play(stage, 10, sounds(1, 0))
        await play(stage, 1, sounds(-1, 0))
        await play(stage, 10, sounds(1, 0))
        assert all(red(color) > 0xD0 for color in colors(stage))
        assert len(colors(stage)) <= 3


async def test_the_lamps_go_off_after_silence_and_on_again_with_the_next_sound() -> None:
    async with Stage(APP, params={"silence_s": 10, "smooth_s": 60}) as stage:
        await play(stage, 5, sounds(1, 0))
        await play(stage, 5, SILENT)
        assert colors(stage) == ["#ffd23f"], "a pause is no silence"
        await play(stage, 10, SILENT)
        assert colors(stage) == ["#ffd23f", "off"]
        await play(stage, 1, sounds(-1, 0))
        assert colors(stage) == ["#ffd23f", "off", "#5b4b9a"], "what was before the silence counts no more"


async def test_a_microphone_that_says_nothing_is_silent_too() -> None:
    async with Stage(APP, params={"silence_s": 10}) as stage:
        await play(stage, 2, sounds(1, 0))
        await stage.advance(minutes=10)
        assert colors(stage) == ["#ffd23f", "off"]


async def test_while_the_model_is_away_the_lamps_stay_and_the_page_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fairlead.app")

    def away(_body: Any) -> None:
        raise Unavailable("the model starts", code="starting")

    async with Stage(APP, params={"silence_s": 10}) as stage:
        await play(stage, 3, sounds(1, 0))
        await play(stage, 60, away)
        assert colors(stage) == ["#ffd23f"]
        assert "the model starts" in (await stage.web.get("/now")).json()["trouble"]
        await play(stage, 3, sounds(1, 0))
        assert colors(stage) == ["#ffd23f"]
        assert (await stage.web.get("/now")).json()["trouble"] == ""
    said = [
        record.getMessage()
        for record in caplog.records
        if record.name == "fairlead.app" and "model" in record.getMessage()
    ]
    assert len(said) == 2, said


async def test_each_person_has_colors_that_stay_from_run_to_run() -> None:
    kept = Kept()
    async with Stage(APP, kept=kept, params={"silence_s": 10}) as stage:
        await play(stage, 2, sounds(1, 0))
        done = await stage.visit(ADA).post("/choose", json={"colors": {"pleased": RED}, "silence": "dim"})
        assert done.json()["who"] == "ada"
        assert colors(stage) == ["#ffd23f", RED]
        await stage.visit(BOB).post("/choose", json={"colors": {"pleased": GREEN}, "silence": "stay"})
        assert colors(stage)[-1] == GREEN
        await stage.visit(ADA).post("/choose", json=(await mine(stage, ADA)))
        assert colors(stage)[-1] == RED
        assert (await mine(stage, BOB))["colors"]["pleased"] == GREEN
        assert (await mine(stage, BOB))["colors"]["calm"] == "#4fb477"
        await play(stage, 12, SILENT)
        assert stage.device("lamps").commands[-1] == {"on": True, "color": "#f2efe6", "brightness": 15}
    async with Stage(APP, kept=kept) as stage:
        await play(stage, 1, sounds(1, 0))
        assert colors(stage) == [RED]


async def mine(stage: Stage, user: str) -> Any:
    return (await stage.visit(user).get("/now")).json()["mine"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"colors": {"happy": RED}}, "there is no mood 'happy'; there are pleased"),
        ({"colors": {"calm": "red"}}, "write it like #ffcc00"),
        ({"colors": {}, "silence": "shout"}, "off, dim, stay"),
        ({"colors": {}, "silence": ["off"]}, "off, dim, stay"),
        ([], "send"),
    ],
    ids=["mood", "color", "silence", "list-of-silences", "list"],
)
async def test_what_is_no_choice_is_refused_and_changes_nothing(given: Any, said: str) -> None:
    async with Stage(APP) as stage:
        answer = await stage.visit(ADA).post("/choose", json=given)
        assert answer.status_code == 422
        assert said in answer.json()["error"]
        assert (await stage.web.get("/now")).json()["who"] == "stage"
        assert stage.kept.state == {}


async def test_who_is_not_signed_in_sees_the_page_and_chooses_nothing() -> None:
    async with Stage(APP) as stage:
        page: httpx.Response = await stage.web.get("/")
        assert "Mood lighting" in page.text
        assert (await stage.web.post("/choose", json={})).status_code == 403
        assert (await stage.visit(ADA).post("/choose", content=b"{")).status_code == 422
        assert (await stage.visit(ADA).post("/choose", content=b" " * 30_000)).status_code == 422
        assert (await stage.web.get("/other")).status_code == 404


async def test_a_lamp_that_is_away_is_named_on_the_page_and_the_others_shine() -> None:
    async with Stage(APP, devices={"lamps": 2}) as stage:
        stage.device("lamps", 1).offline()
        await play(stage, 3, sounds(1, 0))
        assert colors(stage) == ["#ffd23f"]
        now = (await stage.web.get("/now")).json()
        assert now["lamps"] == [{"id": "lamps-1", "problem": ""}, {"id": "lamps-2", "problem": "offline"}]
