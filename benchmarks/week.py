"""A week of the classroom: the example's app through seven simulated days, in one process.

    python benchmarks/week.py [--rounds 1]

The app of examples/smart-classroom on fairlead.testing.Stage, with the story of its test: lessons on five days, who is
there when, a model that is away for an hour, warm afternoons, a cleaner in the evening, the nights and a weekend. It
counts only where the lists of the week say of everybody what was so, and nothing was on where nobody was.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measure import Aimed, aim_table, machine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.classroom import LESSONS, MONDAY, is_told, lesson_room, recorded, week  # noqa: E402 - beside this folder

BUSY = "\n**Preliminary: the machine was busy with other work, so that times are too long and say little.**\n"
AIM_S = 60
WEEK_S = 7 * 24 * 3600
WAKE_S = 60
"""The app looks so often who is there."""


@dataclass
class Week:
    """One week that was played."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    steps: int = 0
    pictures: int = 0
    """Looked at by the model."""
    commands: int = 0
    files: int = 0
    is_right: bool = False


async def played() -> Week:
    """Play a week and return what it took."""
    found, lit = Week(), set()

    def faces(picture: bytes) -> dict[str, Any]:
        found.pictures += 1
        return recorded(picture)

    async with lesson_room(MONDAY) as stage:
        devices = [stage.device("lamps", 0), stage.device("lamps", 1), stage.device("coolers")]

        def look(at: datetime) -> None:
            found.steps += 1
            if any(device.state.get("on", False) for device in devices):
                lit.add((at.weekday(), at.hour))

        wall, cpu = time.perf_counter(), time.process_time()
        await week(stage, look, faces)
        found.wall_s, found.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        found.commands = sum(len(device.commands) for device in devices)
        found.files = len(stage.kept.files)
        found.is_right = is_told(stage) and lit == {(day, hour) for day in range(5) for hour in (*LESSONS, 18)}
    return found


def said(weeks: list[Week]) -> str:
    """Return what was measured in Markdown."""
    one, cpu_s = weeks[0], statistics.median(each.cpu_s for each in weeks)
    rows = "\n".join(
        f"| {each.wall_s:.1f} | {each.cpu_s:.1f} | {each.wall_s / 7:.1f} | {WEEK_S / each.wall_s:,.0f} |"
        for each in weeks
    )
    return f"""The app of [examples/smart-classroom](../../examples/smart-classroom) on `fairlead.testing.Stage`:
its own code in this process, over the channel that a run has, on a clock that the story moves, with recorded
predictions.

| a week, s | processor s | a day, s | times as fast as life |
|--:|--:|--:|--:|
{rows}

In each:

- {WEEK_S // WAKE_S:,} times the app looked who is there and tended light and air;
- {3 * one.steps:,} readings of motion, temperature and daylight;
- {one.pictures:,} pictures asked for and looked at;
- {one.commands} commands to two lamps and an air conditioner;
- {one.files} lists of attendance, which say of each of three people in each of {5 * len(LESSONS)} lessons what was so.

One minute of the week takes {1000 * cpu_s / (WEEK_S / WAKE_S):.2f} ms of processor time.

## What it does not show

- The platform: no bus, no MQTT, no database, no front door, no sandbox and no second process takes part, and no history
  is written. [Devices](devices.md) and [windows](windows.md) measure those.
- The model: its answers are there at once. [Faces](face-recognition.md) measures a real one.
- Time: waits that take real time, a machine that is slow, clocks that jump or disagree.
- More than one app, one room, three people.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # that the model was away is part of the story
    load = os.getloadavg()[0]
    weeks = [asyncio.run(played()) for _ in range(options.rounds)]
    busy = load > 0.5 * (os.cpu_count() or 1)
    aims = [
        Aimed("a week of the classroom, s", max(each.wall_s for each in weeks), AIM_S, False),
        Aimed("its processor time, s", max(each.cpu_s for each in weeks), AIM_S, False),
        Aimed("weeks whose lists and lamps were not right", sum(not each.is_right for each in weeks), 0, False),
    ]
    page = f"""# A week in a minute

<!-- Written by benchmarks/week.py: make bench-week -->

Made by `make bench-week` on {datetime.now(UTC):%Y-%m-%d}: {machine()}; load of the machine before {load:.1f}.
{BUSY if busy else ""}
{said(weeks)}
## Aims

{aim_table(aims)}
"""
    (options.out / "week.md").write_text(page)
    print(page)
    sys.exit(any(not each.is_right for each in weeks))


if __name__ == "__main__":
    main()
