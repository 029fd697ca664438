"""How soon the page shows its lists, and how smoothly they scroll: a platform with 1,000 models and 10,000 devices.

    python benchmarks/page.py [--models 1000] [--devices 10000] [--rounds 5] [--home FOLDER] [--out docs/benchmarks]

The platform, the database and Chromium are real; the models are copies of one that sleeps, the devices have values but
no hardware. Each view is opened several times with an empty cache and several times with a full one; then each list is
scrolled from end to end, a window's height in every second frame, and at the pace of who reads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from installed import FAIRLEAD, Installed, installed
from measure import Aimed, aim_table, machine
from page_look import Asked, Opened, Scrolled, asked, chromium, opened, scrolled, signed_in
from page_seed import seed

HERE = Path(__file__).parent
VIEWS = {"models": "/ui/models", "devices": "/ui/devices"}
ASKED = {"models": "/api/v1/models?view=short", "devices": "/api/v1/devices?limit={page}"}
TEXT = """# The page with a thousand models and ten thousand devices

<!-- Written by benchmarks/page.py: make bench-page -->

Made by `make bench-page` on {date:%Y-%m-%d}: {machine}; load of the machine {load:.1f} before
and {after:.1f} after. Platform, database, front door and Chromium {chromium} are real and on
this machine, {models:,} models and {devices:,} devices.{busy}

## First view

From the navigation to the frame after the first rows are in the document, who opens it being signed in; medians of
{rounds}. Cold: the browser's cache is empty. Thread: processor time of the page's main thread until then, which other
programs on the same cores do not blur. Longest task: the longest time that the page could not react.

{first}

Script of the first view, compressed as it travels: {script}.

## What the lists ask for

Medians of {rounds}, asked without a page; control: processor time of the API's process in the least of them, for the
process does other work too (told in steps of 10 ms).

{answers}

## Scrolling

From end to end, a window's height in every second frame (nobody scrolls faster by hand; a scroll bar does), and at the
pace of who reads fast, {pace} px a frame through {reading:,} px. A frame has 16.7 ms; dropped are those of 60 a second
that were not drawn. Empty: of each tenth frame, how many had no row in the middle of the window.

{scrolls}

## Aims

{aims}

## What it does not show

- Chromium draws without a graphics card and without a window here, on the cores that the platform has: a desktop with
  one draws faster. A phone is slower than these cores.
- Browser and platform are on one machine: a network adds its round trips, three before the first rows (page, script and
  styles, list) and its time for {travels:,.0f} kB.
- The devices have values but do not speak. What the stream of a screen full of devices costs is in
  [devices.md](devices.md), as far as the platform has to do with it.
- The models are copies of one. The API's answers travel unpacked, script and styles packed.
"""
BUSY = "\n\n**The machine was busy with other work: what was waited for is too long; processor times hold.**"
PACE, READING = 60, 30_000


def first_table(found: dict[tuple[str, str], list[Opened]]) -> str:
    lines = ["| view | cache | first rows ms | slowest ms | thread ms | list answered ms | longest task ms |"]
    lines.append(f"|---|---|{'--:|' * 5}")
    for (view, cache), some in found.items():
        longest = max((max(one.long_ms, default=0) for one in some), default=0)
        cells = [_median(some, "first_ms"), max(one.first_ms for one in some), _median(some, "thread_ms")]
        cells += [_median(some, "answer_ms"), longest]
        lines.append(f"| {view} | {cache} | " + " | ".join(f"{cell:,.0f}" for cell in cells) + " |")
    return "\n".join(lines)


def answers_table(found: dict[str, Asked]) -> str:
    lines = ["| list | waited ms | control ms | kB | whole list ms |", "|---|--:|--:|--:|--:|"]
    for what, one in found.items():
        cells = f"{one.waited_ms:,.0f} | {one.control_ms:,.0f} | {one.size_kb:,.0f} | {one.whole_ms:,.0f}"
        lines.append(f"| {what} | {cells} |")
    return "\n".join(lines)


def scroll_table(found: dict[tuple[str, str], Scrolled]) -> str:
    head = "| list | pace | px | frames | median ms | 95 % ms | over 50 ms | dropped | long tasks | thread ms a frame "
    lines = [f"{head}| elements | empty |", f"|---|---|{'--:|' * 10}"]
    for (view, pace), one in found.items():
        frames = sorted(one.frames_ms)
        cells = [f"{one.pixels:,.0f}", f"{len(frames):,}", f"{statistics.median(frames):.0f}"]
        cells += [f"{frames[int(0.95 * len(frames))]:.0f}", str(one.over_50), str(one.dropped), str(len(one.long_ms))]
        cells += [f"{one.thread_ms / len(frames):.1f}", f"{one.elements:,}", str(one.blank)]
        lines.append(f"| {view} | {pace} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _median(some: Sequence[Opened], field: str) -> float:
    return float(statistics.median(getattr(one, field) for one in some))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, help="seed this folder once and keep it: the next run begins with it")
    parser.add_argument("--page", type=int, default=200, help="devices that the page asks for first")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    settings = {"FAIRLEAD_CARD_FACTS": "false"}
    if options.home is None:
        with installed(settings) as platform:
            seed(platform, options.models, options.devices, Path(tempfile.mkdtemp(dir=platform.home.root.parent)))
            return measured(platform, options, load)
    platform = Installed(options.home, settings)
    try:
        if not platform.home.database.exists():
            seed(platform, options.models, options.devices, options.home / "seed")
        return measured(platform, options, load)
    finally:
        platform.stop()


def measured(platform: Installed, options: argparse.Namespace, load: float) -> int:
    """Measure a platform that is seeded and stopped, and write the page."""
    platform.start()
    _quiet(platform)
    name = f"reader-{time.time_ns() % 10**8}"
    command = [FAIRLEAD, "--json", "users", "add", name, "--role", "configurer"]
    done = subprocess.run(command, env=platform.env, capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(done.stderr[-500:])
    password = str(json.loads(done.stdout)["password"])
    url = f"http://127.0.0.1:{platform.port}"
    answers = {
        f"`{path}`": asked(platform, path, options.rounds)
        for path in (one.format(page=options.page) for one in ASKED.values())
    }
    first: dict[tuple[str, str], list[Opened]] = {}
    scrolls: dict[tuple[str, str], Scrolled] = {}
    with chromium() as browser:
        for view, path in VIEWS.items():
            for _ in range(options.rounds):
                context = signed_in(browser, url, name, password)
                page = context.new_page()
                first.setdefault((view, "cold"), []).append(opened(page, path))
                page.close()
                page = context.new_page()
                first.setdefault((view, "warm"), []).append(opened(page, path))
                context.close()
            context = signed_in(browser, url, name, password)
            page = context.new_page()
            opened(page, path)
            page.wait_for_timeout(5_000)
            scrolls[view, "end to end"] = scrolled(page, 900, 1e9, 2)
            scrolls[view, "reading"] = scrolled(page, PACE, READING, 1)
            context.close()
        version = browser.version
    script = {view: _median(first[view, "cold"], "script_kb") for view in VIEWS}
    aims = [
        *(
            Aimed(f"{view}, cold: ms to the first rows", _median(first[view, "cold"], "first_ms"), 1000, False)
            for view in VIEWS
        ),
        *(
            Aimed(f"{view}, cold: ms of the page's main thread", _median(first[view, "cold"], "thread_ms"), 1000, False)
            for view in VIEWS
        ),
        Aimed("script of the first view, compressed: kB", max(script.values()), 300, False),
        *(Aimed(f"{view}, reading: frames over 50 ms", scrolls[view, "reading"].over_50, 0, False) for view in VIEWS),
        *(
            Aimed(f"{view}, end to end: frames over 50 ms, %", _share(scrolls[view, "end to end"]), 1, False)
            for view in VIEWS
        ),
        *(
            Aimed(f"{view}, {pace}: ms of the main thread a frame", one.thread_ms / len(one.frames_ms), 16.7, False)
            for (view, pace), one in scrolls.items()
        ),
    ]
    after = os.getloadavg()[0]
    text = TEXT.format(
        date=datetime.now(UTC),
        machine=machine().replace(", shared with wrk", ""),
        load=load,
        after=after,
        chromium=version,
        models=options.models,
        devices=options.devices,
        busy=BUSY if max(load, after) > 0.5 * (os.cpu_count() or 1) else "",
        rounds=options.rounds,
        first=first_table(first),
        script=", ".join(f"{size:,.0f} kB with the list of {view}" for view, size in script.items()),
        answers=answers_table(answers),
        pace=PACE,
        reading=READING,
        scrolls=scroll_table(scrolls),
        aims=aim_table(aims),
        travels=max(script.values()) + max(_median(some, "answer_kb") for some in first.values()),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "page.md").write_text(text)
    print(text)
    return 0


def _quiet(platform: Installed) -> None:
    """Return once the platform has settled: zygotes and routes of so many models take a while after a start."""
    used = sum(platform.cpu_s().values())
    for _ in range(30):
        time.sleep(2)
        now = sum(platform.cpu_s().values())
        if now - used < 0.2:
            return
        used = now


def _share(one: Scrolled) -> float:
    return 100 * one.over_50 / max(1, len(one.frames_ms))


if __name__ == "__main__":
    sys.exit(main())
