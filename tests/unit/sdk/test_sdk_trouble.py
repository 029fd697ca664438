"""A handler that fails again and again is told, one that failed once is not."""

from __future__ import annotations

from fairlead.keeper.running import policy as run_policy
from fairlead.messages import HANDLERS_FAIL
from fairlead.sdk.trouble import IN_A_ROW, QUIET_S, SAID_MAX, Trouble


def failing(times: int, *, message: str = "x") -> Trouble:
    trouble = Trouble()
    for second in range(times):
        trouble.failed("cool", "cool", KeyError(message), second)
    return trouble


def test_a_few_failures_are_no_trouble_many_in_a_row_are() -> None:
    assert failing(IN_A_ROW - 1).said(10) == ""
    assert failing(IN_A_ROW).said(10) == "cool: KeyError: 'x'"


def test_another_handler_that_works_hides_nothing() -> None:
    trouble = failing(IN_A_ROW)
    trouble.went_well("tick")

    assert trouble.said(10 * QUIET_S) == "cool: KeyError: 'x'"


def test_trouble_ends_a_while_after_the_handler_works_again() -> None:
    trouble = failing(IN_A_ROW)
    trouble.went_well("cool")

    assert trouble.said(IN_A_ROW) == "cool: KeyError: 'x'"
    assert trouble.said(IN_A_ROW + QUIET_S) == ""


def test_the_text_is_bounded_and_one_line_whoever_wrote_it() -> None:
    assert len(failing(IN_A_ROW, message="y" * 10_000).said(10)) == SAID_MAX
    said = run_policy.trouble("a\n\x1b[31m" + "z" * 10_000, "run-1")
    assert said.startswith(f"{HANDLERS_FAIL}: a  [31mz")
    assert said.endswith("; fairlead logs run-1")
    assert len(said) < 400
    assert run_policy.trouble("", "run-1") == ""
