"""F-20, the limit of open files: raised as far as it may be, refused where it is too low."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fairlead.keeper import descriptors

_RAISE = """
import resource, sys
from fairlead.errors import Error
from fairlead.keeper import descriptors
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    print(descriptors.raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except Error as error:
    print(error.code, error.message, error.hint)
"""


def raised(soft: int, hard: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _RAISE, str(soft), str(hard)], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_f20_the_limit_of_open_files_is_raised_as_far_as_it_may_be() -> None:
    """F-20: a process has 1,024 by habit, and is allowed many more."""
    assert raised(1024, 6000) == "6000 6000"


def test_f20_too_low_a_limit_is_refused_with_what_to_do() -> None:
    """F-20."""
    said = raised(1024, 1024)
    assert said.startswith("too_few_files this user may have 1024 files open")
    assert "ulimit -Hn 65536" in said


@pytest.mark.parametrize(
    ("limit", "connections"), [(4096, 3072), (20_000, 15_000), (65_536, 20_000), (1_000_000, 20_000)]
)
def test_the_front_door_takes_no_more_connections_than_leave_files_for_calls(limit: int, connections: int) -> None:
    assert descriptors.connections_max(limit) == connections
