"""Every benchmark in turn, and at the end one table of what is aimed at: met or missed.

    python benchmarks/bench.py [--seconds 4] [--rounds 3]

The exit code is 1 only where something did not run; an aim that is missed is a result.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping

import front_door
import ledger
import model_server
import overload
from measure import Aimed, aim_table, machine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed: the load generator of these benchmarks", file=sys.stderr)
        return 1
    print(f"{machine()}; {options.rounds} rounds of {options.seconds} s, medians\n", flush=True)
    door = front_door.arguments().parse_args([f"--seconds={options.seconds}", f"--rounds={options.rounds}"])
    steps = {
        "model server": lambda: model_server.run(options),
        "front door": lambda: front_door.run(door),
        "ledger of jobs": ledger.run,
        "overload": lambda: overload.run(overload.arguments().parse_args([])),
    }
    return carry_out(steps)


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


if __name__ == "__main__":
    sys.exit(main())
