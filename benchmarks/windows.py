"""Schedules: what of 100,000 is due, and how soon after its window opens an app is ready.

    python benchmarks/windows.py [--schedules 100000] [--opens 5]

The first part is a file of SQLite with so many schedules of every kind in six zones, and the very look that control
takes at least each second. The second is a whole platform: an app with the SDK is scheduled for a moment a little
ahead, and the ledger's own times of window and run are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from installed import Installed, installed
from measure import Aimed, aim_table, machine
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from fairlead.apps import versions
from fairlead.bundles import manifest
from fairlead.devices import registry
from fairlead.messages import EnvironmentSpec, Prepared
from fairlead.models.pushed import Pushed
from fairlead.schedules import due, opening
from fairlead.schedules.conflicts import table_of
from fairlead.store.database import open_database
from fairlead.store.records import Schedule, User, Window

BUSY = "\n**Preliminary: the machine was busy with other work, so that times are too long and say little.**\n"
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LATE = timedelta(seconds=1)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "UTC")
DUE = (0, 10, 100)
"""So many are due at once in the looks that are timed."""
MANIFEST = 'kind = "app"\nname = "clock"\n[run]\nentry = "app:app"\n'
CODE = "import fairlead\n\napp = fairlead.App()\n"
OPENS_NOW = {
    "zone": "UTC",
    "windows": (Window(days=due.DAYS, start="09:00", end="17:00"),),
    "cron": None,
    "every_s": None,
    "once_from": None,
}
"""Times of those whose window has just opened."""


@dataclass
class Found:
    """What was measured, in milliseconds but for the apps."""

    schedules: int
    looks_ms: dict[int, float] = field(default_factory=dict)
    cpu_ms: dict[int, float] = field(default_factory=dict)
    each_us: float = 0.0
    """Of one schedule, to know when it opens next."""
    ready_s: list[float] = field(default_factory=list)
    """After the window opened: written by the platform itself."""


def kinds() -> Iterator[dict[str, object]]:
    """Yield the times of schedules: every kind, each in every zone, at ever other moments."""
    number = 0
    while True:
        number += 1
        hour, minute = number % 24, number * 7 % 60
        zone = ZONES[number % len(ZONES)]
        window = Window(days=due.DAYS[: 1 + number % 7], start=f"{hour:02}:{minute:02}", end=f"{(hour + 9) % 24:02}:00")
        yield {"zone": zone, "windows": (window,)}
        yield {"zone": zone, "cron": f"{minute} {hour} * * mon-fri", "for_s": 600.0}
        yield {"zone": zone, "every_s": 60.0 * (30 + number % 90), "for_s": 60.0, "start": "2026-11-01"}
        yield {"zone": zone, "once_from": NOW + timedelta(minutes=number)}


def found_app(session: Session) -> None:
    """Write an app with one version."""
    session.add(User(name="ada", roles=("user",), created_at=NOW))
    session.flush()
    registry.add_location(session, "house", NOW, by="ada", zone="UTC")
    parsed = manifest.parse(MANIFEST)
    assert isinstance(parsed, manifest.AppManifest)
    pushed = Pushed(manifest=parsed, environment=EnvironmentSpec(), digest="d", key="d.zip", size_bytes=1)
    versions.register(session, pushed, NOW, by="ada")
    versions.prepared(session, Prepared("app", "clock", "1", "d", "done"), NOW)


def fill(session: Session, numbered: Sequence[tuple[int, dict[str, object]]]) -> None:
    """Write schedules that are due after :data:`NOW`."""
    none = {"windows": (), "cron": None, "every_s": None, "for_s": None, "once_from": None, "start": None}
    moments = {"created_at": NOW, "seen_until": NOW, "next_at": NOW + timedelta(hours=1)}
    fixed = {"app": "clock", "at": "house", "created_by": "ada", "params": {}, "bind": {}}
    rows = [
        {"id": f"sch-{number:08d}", "name": f"s{number}"} | fixed | moments | none | times for number, times in numbered
    ]
    session.execute(insert(Schedule), rows)


async def looks(found: Found) -> None:
    """Time the look for what is due, with nothing due and with some, through the platform's own database."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_database(f"sqlite:///{folder}/ledger.db") as database:
            await database.write(found_app)
            rows = list(zip(range(found.schedules), kinds(), strict=False))
            for begin in range(0, len(rows), 5_000):
                part = rows[begin : begin + 5_000]
                await database.write(lambda session, part=part: fill(session, part))
            first = 0
            for count in DUE:
                times, used = [], []
                for _ in range(5):
                    chosen = [f"sch-{first + number:08d}" for number in range(count)]
                    first += count
                    await database.write(lambda session, chosen=chosen: make_due(session, chosen))
                    began, before = time.perf_counter(), time.process_time()
                    opened = await database.write(lambda session: len(opening.fire(session, NOW + LATE)))
                    times.append((time.perf_counter() - began) * 1000)
                    used.append((time.process_time() - before) * 1000)
                    assert opened == count
                found.looks_ms[count], found.cpu_ms[count] = statistics.median(times), statistics.median(used)
            tables = await database.read(
                lambda session: [table_of(one) for one in session.scalars(select(Schedule).limit(4_000))]
            )
    began = time.perf_counter()
    for table in tables:
        due.upcoming(table, NOW, 1)
    found.each_us = (time.perf_counter() - began) / len(tables) * 1e6


def make_due(session: Session, chosen: Sequence[str]) -> None:
    """Have the windows of these open at :data:`NOW`."""
    moment = {"seen_until": NOW - timedelta(minutes=1), "next_at": NOW} | OPENS_NOW
    session.execute(update(Schedule).where(Schedule.id.in_(chosen)).values(**moment))


def opens(found: Found, rounds: int) -> None:
    """Have an app run at moments a little ahead, and add how long after each it was ready."""
    with installed() as platform, tempfile.TemporaryDirectory() as folder:
        platform.start()
        bundle = Path(folder) / "clock"
        bundle.mkdir()
        (bundle / "fairlead.toml").write_text(MANIFEST)
        (bundle / "app.py").write_text(CODE)
        platform.push(bundle)
        asked(platform, "POST", "/api/v1/locations", {"path": "house", "zone": "UTC"})
        for number in range(rounds):
            at = datetime.now(UTC) + timedelta(seconds=4)
            body = {"app": "clock", "at": "house", "name": f"at-{number}", "once_from": at.isoformat(), "for_s": 600}
            asked(platform, "POST", "/api/v1/schedules", body)
            path = f"/api/v1/runs?schedule=at-{number}"
            platform.until(lambda path=path: ready(platform, path) is not None, "the app is ready")
            run = ready(platform, path) or 0.0
            found.ready_s.append(run)
            print(f"ready {run:.2f} s after its window opened", flush=True)


def asked(platform: Installed, method: str, path: str, body: object = None) -> object:
    answer = platform.ask(method, path, json.dumps(body).encode() if body is not None else b"")
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
    return json.loads(answer.body)


def ready(platform: Installed, path: str) -> float | None:
    """Return how long after its window's start the run was ready."""
    answer = platform.ask("GET", path)
    items = json.loads(answer.body)["items"] if answer.status == 200 else []
    if not items or items[0]["ready_at"] is None:
        return None
    begun, done = items[0]["window"]["from"], items[0]["ready_at"]
    return (datetime.fromisoformat(done) - datetime.fromisoformat(begun)).total_seconds()


def said(found: Found) -> str:
    """Return what was measured in Markdown."""
    rows = "\n".join(f"| {count} | {took:.1f} | {found.cpu_ms[count]:.1f} |" for count, took in found.looks_ms.items())
    return f"""## What is due

{found.schedules:,} schedules of every kind in six zones, in the platform's SQLite. The look that control takes at least
each second, with the windows of so many of them just opened: runs written and synced, the next moment
found. Medians of five looks.

| opened | ms | processor ms |
|--:|--:|--:|
{rows}

To know when one schedule opens next takes {found.each_us:.0f} µs; it is asked once for each firing, not at each look.

## From window to ready

An app with the SDK, from the start of its window to ready: {", ".join(f"{one:.2f}" for one in found.ready_s)} s.
"""


def run(options: argparse.Namespace) -> tuple[str, list[Aimed]]:
    """Return what was measured, and what is aimed at."""
    found = Found(options.schedules)
    asyncio.run(looks(found))
    opens(found, options.opens)
    aims = [
        Aimed(f"look for what is due of {found.schedules:,} schedules, ms", found.looks_ms[0], 100, False),
        Aimed("slowest app ready after its window opened, s", max(found.ready_s), 3, False),
    ]
    return said(found), aims


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--opens", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks")
    return parser


def main() -> None:
    options = arguments().parse_args()
    load = os.getloadavg()[0]
    text, aims = run(options)
    busy = load > 0.5 * (os.cpu_count() or 1)
    page = f"""# Windows

<!-- Written by benchmarks/windows.py: make bench-windows -->

Made by `make bench-windows` on {datetime.now(UTC):%Y-%m-%d}: {machine()}; load of the machine before {load:.1f}.
{BUSY if busy else ""}
{text}
## Aims

{aim_table(aims)}
"""
    (options.out / "windows.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
