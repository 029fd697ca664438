"""Checks that tests bear the same names in every process; exits 1 and shows the others where they do not.

Workers of pytest-xdist refuse to run where they collected different names, and what makes names differ is the time, the
order of a set or a folder's name in a parameter. Collects twice, a second and a hash seed apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def collecting(seed: int) -> subprocess.Popen[str]:
    """Begin to collect all tests with this hash seed."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", "", "tests"]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def names(process: subprocess.Popen[str]) -> set[str]:
    """The names that were collected.

    Raises:
        SystemExit: a test cannot be collected; pytest's own words were printed.
    """
    output, _ = process.communicate()
    if process.returncode:
        print(output)
        raise SystemExit("the tests cannot be collected")
    return {line for line in output.splitlines() if "::" in line}


def main() -> int:
    """Collect twice and compare."""
    first = collecting(1)
    time.sleep(1.1)
    second = collecting(2)
    one, other = names(first), names(second)
    for name in sorted(one ^ other):
        print(f"this test has another name in each process: {name!a}")
    print(f"{len(one)} tests")
    return 1 if one != other or not one else 0


if __name__ == "__main__":
    raise SystemExit(main())
