"""The example intruder-alert on a stage: a night, in simulated time."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import fairlead
from fairlead.errors import Invalid, Unavailable
from fairlead.messages import MailAsk
from fairlead.testing.stage import Stage

APP = Path(str(fairlead.__file__)).parents[2] / "examples" / "intruder-alert"
EVENING = datetime(2026, 11, 23, 17, tzinfo=UTC)


def recorded(picture: bytes) -> dict[str, Any]:
    """Answer as face-recognition does: who is on a picture stands in it, several joined by ``+``."""
    names = [name for name in picture[3:].decode().split("+") if name != "nobody"]
    if picture.endswith(b"torn"):
        raise Invalid("is not a picture that can be read", code="invalid_input")
    first = names[0] if names else "nobody"
    return {"name": first, "distance": 0.4, "box": None, "faces": [{"name": n, "distance": 0.4} for n in names]}


def away(_picture: bytes) -> dict[str, Any]:
    raise Unavailable("no replica is ready", code="no_replica", retry_after_s=1)


def night(*, devices: dict[str, int] | None = None, **said: Any) -> Stage:
    stage = Stage(
        APP,
        at="campus/lab",
        zone="Europe/Berlin",
        starts=EVENING,
        devices=devices or {"cameras": 2, "displays": 1},
        **said,
    )
    stage.model("faces", recorded)
    return stage


async def shows(stage: Stage, who: str, camera: int = 0) -> None:
    await stage.device("cameras", camera).report(image=b"\xff\xd8\xff" + who.encode())


def subjects(mails: list[MailAsk]) -> list[str]:
    return [mail.subject for mail in mails]


async def test_a_stranger_sounds_the_buzzer_and_is_told_and_mailed_with_the_picture() -> None:
    async with night() as stage:
        buzzer, display = stage.device("buzzer"), stage.device("displays")
        for who in ("nobody", "ada", "ada+bo"):
            await shows(stage, who)
        assert (buzzer.commands, display.commands, stage.mails) == ([], [], [])
        await shows(stage, "ada+unknown", camera=1)
        assert buzzer.state == {"on": True}
        assert display.state == {"text": "someone unknown at cameras-2 at 18:00:00 CET"}
        (mail,) = stage.mails
        assert mail.subject == "Someone unknown at campus/lab"
        assert "cameras-2 at campus/lab saw someone unknown at 18:00:00 CET" in mail.text
        assert [one.name for one in mail.attach] == ["cameras-2-20261123-170000.jpg"]
        await stage.advance(seconds=21)
        assert buzzer.state == {"on": False}


async def test_one_alarm_in_the_quiet_time_however_many_pictures_and_cameras() -> None:
    async with night(params={"quiet_s": 120, "buzz_s": 5}) as stage:
        for _ in range(11):
            await shows(stage, "unknown")
            await shows(stage, "unknown", camera=1)
            await stage.advance(seconds=10)
        assert len(stage.mails) == len(stage.device("buzzer").commands) == 1
        await stage.advance(seconds=15)
        await shows(stage, "unknown")
        assert len(stage.mails) == len(stage.device("buzzer").commands) == 2
        assert "21 pictures since the last alarm" in stage.mails[1].text


async def test_a_run_that_starts_again_keeps_quiet_too() -> None:
    async with night() as stage:
        await shows(stage, "unknown")
    assert stage.device("buzzer").state == {"on": False}, "nothing sounds after the window"
    async with night(kept=stage.kept) as again:
        await shows(again, "unknown")
        assert (again.mails, again.device("buzzer").commands) == ([], [])
        await again.advance(seconds=301)
        await shows(again, "unknown")
        assert len(again.mails) == 1


async def test_who_may_be_there_and_who_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with night(params={"known": ["ada"], "ignored": ["cem"]}) as stage:
        for who in ("ada", "cem", "ada+cem"):
            await shows(stage, who)
        assert stage.mails == []
        await shows(stage, "ada+bo")
        assert subjects(stage.mails) == ["Bo at campus/lab"]
    said = [record.getMessage() for record in caplog.records]
    assert said.count("ada is at cameras-1") == 1
    assert not [line for line in said if "cem" in line]


async def test_several_sightings_of_one_camera_within_a_minute_where_that_is_asked() -> None:
    async with night(params={"sightings": 3}) as stage:
        for camera in (0, 1, 0):
            await shows(stage, "unknown", camera)
        await stage.advance(minutes=2)
        for _ in range(2):
            await shows(stage, "unknown")
        assert stage.mails == []
        await shows(stage, "unknown")
        assert len(stage.mails) == 1


async def test_without_the_model_nothing_is_an_alarm_and_pictures_are_looked_at_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with night() as stage:
        stage.model("faces", away)
        for who in ("nobody", "unknown", "nobody"):
            await shows(stage, who)
            await stage.advance(seconds=5)
        await stage.advance(minutes=3)
        assert (stage.mails, stage.device("buzzer").commands) == ([], [])
        stage.model("faces", recorded)
        await stage.advance(seconds=10)
        assert subjects(stage.mails) == ["Someone unknown at campus/lab"]
        assert "at 18:00:05" in stage.mails[0].text, "when the picture was taken"
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if line.startswith("faces is away")]) == 1
    assert len([line for line in said if line.startswith("faces is back after ")]) == 1


async def test_at_most_twenty_pictures_of_a_camera_wait_for_the_model() -> None:
    asked: list[bytes] = []

    def counted(picture: bytes) -> dict[str, Any]:
        asked.append(picture)
        return recorded(picture)

    async with night() as stage:
        stage.model("faces", away)
        await shows(stage, "unknown")
        for _ in range(25):
            await shows(stage, "nobody")
        await shows(stage, "nobody", camera=1)
        stage.model("faces", counted)
        await stage.advance(seconds=10)
        assert len(asked) == 21
        assert stage.mails == []


async def test_a_picture_from_before_the_run_is_no_alarm() -> None:
    async with night() as stage:
        stage.clock.set_by(-3600)
        await shows(stage, "unknown")
        stage.clock.set_by(3600)
        assert (stage.mails, stage.device("buzzer").commands) == ([], [])
        await shows(stage, "unknown")
        assert len(stage.mails) == 1


async def test_a_picture_that_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with night() as stage:
        await shows(stage, "torn")
        assert "a picture of cameras-1 is left out" in caplog.text
        await shows(stage, "unknown")
        assert len(stage.mails) == 1


async def test_a_buzzer_that_is_away_keeps_nobody_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    async with night() as stage:
        stage.device("buzzer").offline()
        await shows(stage, "unknown")
        assert "buzzer-1 was not told: offline" in caplog.text
        assert len(stage.mails) == 1
        assert stage.device("displays").state["text"].startswith("someone unknown")


async def test_a_mail_that_is_not_taken_is_tried_again() -> None:
    async with night() as stage:
        stage.refuse_mails = Unavailable("no outbox", code="mail_down")
        await shows(stage, "unknown")
        assert (stage.mails, stage.device("buzzer").state) == ([], {"on": True})
        stage.refuse_mails = None
        await stage.advance(seconds=10)
        assert len(stage.mails) == 1


async def test_a_house_without_displays() -> None:
    async with night(devices={"cameras": 1}) as stage:
        await shows(stage, "unknown")
        assert len(stage.mails) == 1
