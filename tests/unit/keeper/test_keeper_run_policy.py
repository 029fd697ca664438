"""What the end of a process means, and when a run is ready or frozen."""

from typing import Any

import pytest

from fairlead.keeper.running import policy as run_policy
from fairlead.keeper.running.policy import Again, Done, Failed, Signs

LINES = ("Traceback", "ModuleNotFoundError: No module named 'PIL'", "")


@pytest.mark.parametrize(
    ("code", "was_ready", "failed_starts", "expected"),
    [
        (0, True, 0, Done()),
        (0, False, 1, Done()),
        (1, False, 1, Again("exit at start: ModuleNotFoundError: No module named 'PIL'")),
        (1, False, 4, Failed("exit at start: ModuleNotFoundError: No module named 'PIL'")),
        (1, True, 40, Again("exit: ModuleNotFoundError: No module named 'PIL'")),
        (75, False, 40, Again("exit at start: ModuleNotFoundError: No module named 'PIL'")),
        (78, True, 0, Failed("exit: ModuleNotFoundError: No module named 'PIL'")),
        (-9, True, 0, Again("exit")),
        (None, True, 0, Again("exit; last line: ModuleNotFoundError: No module named 'PIL'")),
    ],
)
def test_end_of_a_process(code: int | None, was_ready: bool, failed_starts: int, expected: object) -> None:
    found = run_policy.after_exit(code, "exit", LINES, was_ready=was_ready, failed_starts=failed_starts)

    assert found == expected


@pytest.mark.parametrize(
    ("said", "bound"),
    [
        ("BlockingIOError: [Errno 11] Resource temporarily unavailable", "at most 512 processes and threads"),
        ("OSError: [Errno 24] Too many open files", "at most 8192 files open"),
        ("Error: listen EACCES: permission denied 0.0.0.0:3000", "a page listens on its PORT"),
    ],
)
def test_an_end_at_a_bound_of_the_sandbox_names_it(said: str, bound: str) -> None:
    found = run_policy.after_exit(1, "exit 1", (said,), was_ready=True, failed_starts=0)

    assert isinstance(found, Again)
    assert said in found.reason
    assert bound in found.reason


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "it never said that it is; a function of @app.start takes longer, or the app hangs"),
        ({"port": 8123}, "none of its programs listens on its PORT, 8123 at 127.0.0.1"),
        ({"page": "/up", "fails": "answered 503"}, "GET /up answered 503, not 200"),
        ({"page": "/up"}, "it never said that it is; a function of @app.start takes longer, or the app hangs"),
    ],
)
def test_one_that_is_not_ready_in_time_says_what_was_missing(more: dict[str, Any], said: str) -> None:
    late = run_policy.late(2, **more)

    assert late == f"not ready after 2 s: {said}"
    found = run_policy.after_exit(-9, late, LINES, was_ready=False, failed_starts=1)
    assert found == Again(late)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), ""),
        (("a", " b ", "  "), "b"),
        (('{"level": "error", "said": "no room"}',), "no room"),
        (('{"other": 1}',), '{"other": 1}'),
        (("{broken",), "{broken"),
    ],
)
def test_last_said(lines: tuple[str, ...], said: str) -> None:
    assert run_policy.last_said(lines) == said


@pytest.mark.parametrize(
    ("signs", "has_probe", "ready"),
    [
        (Signs(None, 9), True, False),
        (Signs(5, None), True, False),
        (Signs(5, 4), True, False),
        (Signs(5, 6), True, True),
        (Signs(9.5, None), False, False),
        (Signs(9, None), False, True),
    ],
)
def test_ready(signs: Signs, has_probe: bool, ready: bool) -> None:
    assert run_policy.is_ready(signs, 10, has_probe=has_probe) is ready


@pytest.mark.parametrize(
    ("signs", "has_probe", "frozen"),
    [
        (Signs(0, 69), True, True),
        (Signs(0, 71), True, False),
        (Signs(80, 60), True, False),
        (Signs(0, None), True, False),
        (Signs(None, 10), True, False),
        (Signs(0, 10), False, False),
    ],
)
def test_frozen(signs: Signs, has_probe: bool, frozen: bool) -> None:
    assert run_policy.is_frozen(signs, 100, has_probe=has_probe) is frozen


@pytest.mark.parametrize(
    ("began", "was_ready", "down", "expected"),
    [
        (False, False, "", "over before it could start"),
        (True, False, "", "over before it was ready"),
        (True, False, "not ready after 60 s", "over before it was ready: not ready after 60 s"),
        (True, True, "exit 1: TypeError", "over while it was started again: exit 1: TypeError"),
        (True, True, "", ""),
        (False, True, "", ""),  # its window closed while the platform was away
    ],
)
def test_a_run_that_was_not_well_when_its_window_closed_has_failed(
    began: bool, was_ready: bool, down: str, expected: str
) -> None:
    assert run_policy.unwell("over", began=began, was_ready=was_ready, down=down) == expected
