"""Judges the autoscaler on made-up calls, and writes docs/benchmarks/simulate.md with its picture.

    python benchmarks/simulate.py [--seed 1]

Everything is simulated: the same seed gives the same figures on any machine. It takes a minute or two.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fairlead.autoscaler.signals import Limits
from fairlead.measure import arrivals, elasticity
from fairlead.measure.elasticity import Compared, Setting

TARGET = Path(__file__).parents[1] / "docs" / "benchmarks"
SLO_S = 1.0
MOST = 20
CVS = (1.0, 4.0, 13.0)
TEXT = """# The autoscaler, simulated

<!-- Written by benchmarks/simulate.py: make simulate -->

The function that decides how many replicas a version has (`fairlead.autoscaler.decide`, the one that control asks) on
made-up calls, beside others. `fairlead bench simulate` does the same for other figures, and with `--trace file.csv` for
calls that were recorded.

## Requests

{rate:g} calls a second on the average, {service:g} s each (Gamma, CV {cv:g}); a replica is ready {start:g} s after its
start; from 0 to {most} replicas; the objective is an answer within {slo:g} s. Seed {seed}.

{requests}
![replicas over time](simulate.svg)

## Jobs

The same in one heap: {backlog:,} jobs of 50 ms at once, from no replica, at most 8, `drain_s` 15. The optimum is
{optimum:.1f} s of work for 8 replicas, and one start.

{jobs}
## How to read it

- *of clairvoyant*: replica-hours by those of somebody who knows all calls beforehand and takes, for each stretch of
  5 s, the fewest replicas that answer all of its calls in time: no optimum over stretches, but near it.
- Jobs that nobody has timed count as 0.1 s each until the first replica tells, so that a heap pays for one start, not
  for two. Where they take much less, too many replicas are there for a minute; where they take much more, the rest
  comes a start later.
- *always*: a fixed pool, once for the mean load at 70 %, once as large as is allowed.
- *Knative KPA*: its rule with its defaults, written after its documentation; not its code, and without its activator's
  and its proxies' own times.
- *reversals*: how often the wish turned from up to down or back; in brackets the most within five minutes.

## What it does not show

- Replicas here never share cores: on a busy machine more of them make each slower. The arbiter of cores is not in it.
- All calls wait in one line. The front door's line is one for each replica, chosen by least requests: a little worse.
- A start always takes the same time, no replica fails, no call is refused, and nobody gives up waiting.
- What is seen is exact and fresh; control's figures are up to a second old, or two.
- The loads are made up, and each is one seed. Another seed moves the shares of bursts by a percent or more.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    shape = arrivals.Shape(rate=20, service_s=0.1, service_cv=0.5, length_s=3600, seed=options.seed)
    setting = Setting(limits=Limits(most=MOST, slo_s=SLO_S), start_s=2.0, slo_s=SLO_S)
    requests = [elasticity.compare(load, setting) for load in arrivals.made_up(shape, CVS)]
    backlog = 2000
    TARGET.mkdir(parents=True, exist_ok=True)
    text = TEXT.format(
        rate=shape.rate,
        service=shape.service_s,
        cv=shape.service_cv,
        start=setting.start_s,
        most=MOST,
        slo=SLO_S,
        seed=options.seed,
        requests=elasticity.table(requests, SLO_S),
        backlog=backlog,
        optimum=backlog * 0.05 / 8,
        jobs=_drained(heap(backlog, setting)),
    )
    (TARGET / "simulate.md").write_text(text, encoding="utf-8")
    (TARGET / "simulate.svg").write_text(elasticity.picture(requests), encoding="utf-8")
    print(text)
    return 0


def heap(count: int, setting: Setting) -> list[Compared]:
    """Return what becomes of ``count`` jobs at once, where a start takes 0.1, 2 and 10 s."""
    load = arrivals.Load("2,000 jobs", [arrivals.Call(1.0, 0.05)] * count, 1.0)
    limits = Limits(most=8, idle_s=60)
    return [
        elasticity.compare(load, replace(setting, limits=limits, start_s=start_s, jobs=True)) for start_s in STARTS_S
    ]


STARTS_S = (0.1, 2.0, 10.0)


def _drained(compared: Sequence[Compared]) -> str:
    rows = [
        "| a start takes | who decides | all done after | by the optimum and a start | starts |",
        "|--:|---|--:|--:|--:|",
    ]
    for start_s, one in zip(STARTS_S, compared, strict=True):
        best_s = one.work_s / 8 + start_s
        for made in one.outcomes[:2]:
            took_s = max(made.latencies_s)
            rows.append(f"| {start_s:g} s | {made.policy} | {took_s:.1f} s | {took_s / best_s:.2f} | {made.starts} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
