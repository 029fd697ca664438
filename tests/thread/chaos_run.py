"""Chaos of so many minutes by a seed, and its report:

    python -m tests.thread.chaos_run --seed 1 --minutes 10 --out docs/benchmarks

``make chaos SEED=1 MINUTES=10`` is that. The exit code is 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.thread import chaos_report
from tests.thread import load as loads
from tests.thread.chaos import Chaos
from tests.thread.chaos_count import count
from tests.thread.chaos_jobs import Onlooker, Submitters, done, rows
from tests.thread.chaos_report import Report
from tests.thread.load import Load, Rates
from tests.thread.load_deploy import METER, run_status, seen
from tests.thread.rig import Platform, platform, until

JOBS_PER_S = 20.0
RATES = Rates(calls_per_s=50, callers=40, jobs_per_s=0, readings_per_s=10)
PAUSE_S = (0.1, 3.0)
"""Between two strikes."""
SETTLED_S = 180.0
"""Longest wait for the last job once nothing happens any more: a job that was lost four times waits two minutes."""


@dataclass
class Storm:
    """Chaos, and the jobs that were submitted meanwhile."""

    platform: Platform
    load: Load
    chaos: Chaos
    submitters: Submitters
    began: float
    wall: float


def run(seed: int, seconds: float, say: Callable[[str], None] = print, *, strikes: int = 0) -> Report:
    """Have everything happen for so long, and until there were so many strikes; wait until all is well, and return
    what was found."""
    with (
        platform() as made,
        tempfile.TemporaryDirectory(prefix="fl-chaos-") as folder,
        loads.under_load(made, Path(folder), RATES) as load,
    ):
        with Onlooker(made.home) as onlooker:
            storm = _rage(made, load, seed, seconds, strikes, say)
            load.steady(3)
            load.stop()
            took_s = time.monotonic() - storm.began
            _settle(made, storm)
        for asked in storm.submitters.asked.values():
            asked.seen += [onlooker.seen[job] for job in asked.jobs if job in onlooker.seen]
        handled = seen(made)
        made.down()
        left = made.leftovers()
        return chaos_report.report(
            seed=seed,
            seconds=seconds,
            took_s=took_s,
            origin=(storm.began, storm.wall),
            strikes=storm.chaos.done,
            calls=load.calls,
            is_excused=storm.chaos.excuses,
            asked=storm.submitters.asked,
            statuses=storm.submitters.statuses,
            rows=(found := rows(made.home)),
            counted=count(storm.submitters.asked, found, *done(made.home)),
            readings=(len(load.readings), len(handled & load.readings.keys())),
            left=left,
        )


def _rage(made: Platform, load: Load, seed: int, seconds: float, strikes: int, say: Callable[[str], None]) -> Storm:
    chaos = Chaos(load, random.Random(seed))
    storm = Storm(made, load, chaos, Submitters(made, load.token, JOBS_PER_S, seed), time.monotonic(), time.time())
    with storm.submitters:
        time.sleep(1)
        while (now := time.monotonic() - storm.began) < seconds or len(chaos.done) < strikes:
            strike = chaos.strike()
            say(f"{now:6.1f} s  {strike.kind}")
            time.sleep(chaos.random.uniform(*PAUSE_S))
        chaos.finish()
        load.steady(3)
    return storm


def _settle(made: Platform, storm: Storm) -> None:
    """Wait until no job is under way, and the app is there and has heard all that was said last."""
    for status in ("queued", "running"):
        until(
            lambda status=status: not made.get("/jobs", status=status, limit=1)["items"], f"none is {status}", SETTLED_S
        )
    until(lambda: run_status(made) == "ready", "the run is ready", 90)
    last = max(storm.load.readings)
    until(lambda: last in seen(made), f"the last reading of {METER} reaches the app", 60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, help="folder for chaos.md, chaos.json and chaos.svg")
    asked = parser.parse_args()
    made = run(asked.seed, 60 * asked.minutes)
    print(chaos_report.markdown(made))
    if asked.out is not None:
        chaos_report.write(made, asked.out)
    return 0 if made.verdict == "held" else 1


if __name__ == "__main__":
    sys.exit(main())
