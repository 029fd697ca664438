"""How long things may take in tests of faults.

What is promised holds on a quiet machine. A machine that does other things too gets ``SLACK`` times as long, so that a
test fails where something hangs, loops or waits for the wrong thing, and not where others work. Each test prints what
it took; ``FAIRLEAD_SLACK=1`` on a quiet machine holds the product to its word.
"""

from __future__ import annotations

import os

SLACK = float(os.environ.get("FAIRLEAD_SLACK", "10"))


def in_time(what: str, took_s: float, limit_s: float) -> None:
    """Print what was taken; fail where it is beyond all patience."""
    print(f"{what}: {took_s:.2f} s (promised: {limit_s:g} s)")
    assert took_s <= limit_s * SLACK, f"{what} took {took_s:.2f} s; {limit_s:g} s is promised"
