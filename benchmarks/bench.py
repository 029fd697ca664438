"""Every benchmark of models in turn, and at the end one table of what is aimed at, met or missed.

    python benchmarks/bench.py [--seconds 4] [--rounds 3] [--no-peers]

The model server stands beside its peers (``peers.py``, which installs them from PyPI the first time and writes its page
and chart), the front door beside a plain Envoy, then come the ledger of jobs and overload. What takes long has a
command of its own: the last lines name them. The exit code is 1 only where something did not run; an aim that is
missed is a result.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import front_door
import ledger
import model_server
import overload
import peers
from measure import Aimed, aim_table, has_wrk, machine

PAGES = Path(__file__).parent.parent / "docs" / "benchmarks" / "README.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="our own rows only: nothing is installed or written")
    options = parser.parse_args()
    if not has_wrk():
        return 1
    print(f"{machine()}; {options.rounds} rounds of {options.seconds} s, medians\n", flush=True)
    rounds = [f"--seconds={options.seconds}", f"--rounds={options.rounds}"]
    steps = {
        "model server": lambda: model_server.run(options),
        "model server beside others": lambda: peers.run(peers.arguments().parse_args(rounds)),
        "front door": lambda: front_door.run(front_door.arguments().parse_args(rounds)),
        "ledger of jobs": ledger.run,
        "overload": lambda: overload.run(overload.arguments().parse_args([])),
    }
    if options.no_peers:
        del steps["model server beside others"]
    code = carry_out(steps)
    print(f"\n## made by commands of their own\n\n{others(PAGES.read_text())}")
    return code


def carry_out(steps: Mapping[str, Callable[[], list[Aimed]]]) -> int:
    """Run all, whatever becomes of one; returns the exit code."""
    aims: list[Aimed] = []
    broken: list[str] = []
    for name, step in steps.items():
        print(f"## {name}\n", flush=True)
        try:
            aims += step()
        except Exception:  # noqa: BLE001 - the others run all the same
            traceback.print_exc()
            broken.append(name)
    print(f"\n## aims\n\n{aim_table(aims)}")
    if broken:
        print(f"did not run: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def others(page: str) -> str:
    """Return the table of ``page`` that says which page each command makes, but for what is made here."""
    lines = [line for line in page.split("\n\n## ")[0].splitlines() if line.startswith("|")]
    return "\n".join(line for line in lines if "`make bench`" not in line)


if __name__ == "__main__":
    sys.exit(main())
