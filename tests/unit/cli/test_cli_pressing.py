"""What simulated devices are made to say: as it is typed, on the command line or while an app is served."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from fairlead.cli import pressing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("button-1", ("button-1", None, None)),
        (" knob-1.turned ", ("knob-1", "turned", None)),
        ("knob-1.turned=left", ("knob-1", "turned", "left")),
        ("motion-1.motion = false", ("motion-1", "motion", False)),
        ("t1.temperature=21.5", ("t1", "temperature", 21.5)),
        ("note-1.said=a = b", ("note-1", "said", "a = b")),
    ],
)
def test_a_device_its_event_and_a_value_are_told_apart(text: str, found: tuple[str, str | None, Any]) -> None:
    assert pressing.parse(text) == found


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[bytes]]:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb", buffering=0) as typing:
        monkeypatch.setattr("sys.stdin", stdin)
        yield typing


async def test_lines_are_taken_as_they_are_typed_until_there_are_no_more(keyboard: IO[bytes]) -> None:
    taken: list[str] = []
    with pressing.typed(taken.append):
        keyboard.write(b"button-1\n\n  knob-1.turned=l")
        async with asyncio.timeout(30):
            while taken != ["button-1"]:
                await asyncio.sleep(0.001)
            keyboard.write("éft\nlast".encode())
            while len(taken) < 2:
                await asyncio.sleep(0.001)
        keyboard.close()
        await asyncio.sleep(0)
    assert taken == ["button-1", "knob-1.turned=léft"]


async def test_nothing_is_typed_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "typed").write_text("button-1\n")
    with (tmp_path / "typed").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pressing.typed(lambda _: pytest.fail("nobody typed")):
            await asyncio.sleep(0)
    monkeypatch.setattr("sys.stdin", None)
    with pressing.typed(lambda _: pytest.fail("nobody typed")):
        await asyncio.sleep(0)
