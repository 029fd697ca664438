"""Models that sleep and wake, and jobs: every measurement of docs/benchmarks/elastic.md, in one run.

    python benchmarks/elastic.py [--quick] [--out docs/benchmarks]

On a quiet machine of two cores it takes some seven minutes. What does not run is said, and the others run all the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import drain
import idle
import shared
import wake_peers
from measure import Aimed, aim_table, machine

HERE = Path(__file__).parent
Part = Callable[[], tuple[str, list[Aimed]]]
TEXT = """# Asleep, awake, at work

<!-- Written by benchmarks/elastic.py: make bench-elastic -->

Made by `make bench-elastic` on {date:%Y-%m-%d}: {machine}; {memory:.0f} GiB of memory, load of the machine before
{load:.1f}. All on one machine, callers too.{busy}

{parts}
## Aims

{aims}

## What it does not show

- The 1,000 models are copies of one that is tiny, and nobody calls 999 of them. A large model that sleeps costs the
  same, but its zygote, where it is warm, and its replica, once awake, cost what its libraries and weights take.
- Everything is in the page cache. After a restart of the machine the first wake of each environment reads its libraries
  from disk.
- A cold wake is the time of the imports: onnxruntime and numpy take a second on two cores, PyTorch several.
- Peers start a server of their own, and Fairlead's platform is up already: what is compared is what a caller waits for,
  not what a start costs in all. Ray Serve's start includes Ray itself.
- The model of the jobs sleeps. With code that works, two cores are full with two replicas, whatever is wanted.
- Jobs are accepted by one process in Python (control), which shares the cores with the load generator.
- A disk whose fsync takes longer than this one's changes the times of single jobs, not the rate: commits are grouped.
"""

BUSY = """

**Preliminary: the machine was busy with other work, so that times are too long and say little.**"""


def report(parts: Sequence[str], aims: Sequence[Aimed], load: float) -> str:
    """Return the page in Markdown."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return TEXT.format(
        date=datetime.now(UTC),
        machine=machine(),
        memory=memory,
        load=load,
        busy=BUSY if load > 0.5 * (os.cpu_count() or 1) else "",
        parts="\n".join(parts),
        aims=aim_table(aims),
    )


def chart(bars: Sequence[tuple[str, float]]) -> str:
    """Return an SVG with a bar for each way to a first answer, in seconds."""
    wide, left, bar = 760, 190, 22
    most = max(seconds for _, seconds in bars)
    parts = ['<text x="0" y="16" font-weight="bold">Seconds to the first answer from nothing</text>']
    for number, (name, seconds) in enumerate(bars):
        y = 30 + number * bar
        length = max(1, round((wide - left - 90) * seconds / most))
        color = "#1f77b4" if name.startswith("Fairlead") else "#e0a458"
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{length}" height="{bar - 4}" fill="{color}"/>')
        parts.append(f'<text x="{left + length + 6}" y="{y + 15}">{seconds:.2f}</text>')
    y = 40 + len(bars) * bar
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y}" width="{wide}" height="{y}"'
    return f'{head} font-family="sans-serif" font-size="13">\n' + "\n".join(parts) + "\n</svg>\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer models, wakes and jobs: to see that all runs")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks")
    options = parser.parse_args()
    few = options.quick
    own = {
        idle: ["--models", "0", "30", "--wakes", "3", "--cold", "1", "--pushes", "2"] if few else [],
        wake_peers: ["--rounds", "1"] if few else [],
        drain: ["--jobs", "200", "--seconds", "2"] if few else [],
        shared: [],
    }
    load = os.getloadavg()[0]
    parts, aims, broken = [], [], []
    for module, arguments in own.items():
        began = time.monotonic()
        try:
            said, aimed = module.run(module.arguments().parse_args(arguments))
        except Exception:  # noqa: BLE001 - the others run all the same
            traceback.print_exc()
            broken.append(module.__name__)
            continue
        print(f"{module.__name__}: {time.monotonic() - began:.0f} s\n\n{said}", flush=True)
        parts.append(said)
        aims += aimed
    if wake_peers.found:
        (options.out / "elastic.svg").write_text(chart(wake_peers.found))
        parts.append("![seconds to the first answer](elastic.svg)\n")
    if broken:
        parts.append(f"Not measured in this run: {', '.join(broken)}.\n")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "elastic.md").write_text(report(parts, aims, load))
    print(f"{aim_table(aims)}\n\nwritten: {options.out}/elastic.md", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
