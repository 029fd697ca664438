"""What a device with a fault says, and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fairlead.devices.door import Door
from fairlead.devices.types import DeviceType, Property
from fairlead.simulators.telling import LATE_S, Told, telling

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
PLAIN = Told("state/temperature", b"21.5")


def told(fault: str) -> tuple[Told, ...]:
    return telling(fault, "temperature", b"21.5", NOW, text=False, media=False)


@pytest.mark.parametrize(
    ("fault", "messages"),
    [("", (PLAIN,)), ("stuck", (PLAIN,)), ("silent", ()), ("duplicate", (PLAIN, PLAIN)), ("deaf", (PLAIN,))],
)
def test_faults_of_telling(fault: str, messages: tuple[Told, ...]) -> None:
    assert told(fault) == messages


def test_what_is_late_says_when_it_was_measured() -> None:
    (late,) = told("late")
    assert (late.tail, late.after_s) == ("state", LATE_S)
    assert json.loads(late.payload) == {"temperature": 21.5, "at": "2026-11-20T14:03:00Z"}


def test_a_clock_that_is_ahead_is_told_so_by_the_platform() -> None:
    (skewed,) = told("skew")
    door = Door()
    door.kinds = {"t1": DeviceType("t", "1.0.0", properties={"temperature": Property({"type": "number"})})}
    heard = door.hear("t1", skewed.tail, skewed.payload, NOW, 0.0)
    assert [error.code for error in heard.errors] == ["clock_ahead"]
    assert [(one.property, one.value) for one in heard.measured] == [("temperature", 21.5)]


def test_texts_and_media_keep_their_form() -> None:
    (text,) = telling("late", "text", b"hello", NOW, text=True, media=False)
    assert json.loads(text.payload)["text"] == "hello"
    (picture,) = telling("late", "image", b"\xff\xd8", NOW, text=False, media=True)
    assert (picture.tail, picture.payload, picture.after_s) == ("state/image", b"\xff\xd8", LATE_S)
    assert telling("skew", "image", b"\xff\xd8", NOW, text=False, media=True) == (Told("state/image", b"\xff\xd8"),)
