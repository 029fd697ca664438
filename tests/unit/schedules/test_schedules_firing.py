"""What becomes of firings that came due."""

from datetime import UTC, datetime, timedelta

from fairlead.schedules.due import Firing
from fairlead.schedules.firing import OpenFiring, SkipFiring, decide

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(hour: float, length_h: float = 1) -> Firing:
    opens = NOON + timedelta(hours=hour)
    return Firing(opens, opens + timedelta(hours=length_h))


def verdicts(
    *due: Firing, overlap: str = "skip", catch_up: str = "while_open", live: tuple[str, datetime | None] | None = None
) -> list[tuple[type, str]]:
    found = decide(due, overlap=overlap, catch_up=catch_up, live=live, now=NOON)
    return [(type(one), one.reason) for one in found]


def test_on_time() -> None:
    assert verdicts(at(0)) == [(OpenFiring, "window opened")]


def test_late_but_open() -> None:
    assert verdicts(at(-0.5)) == [(OpenFiring, "window opened 30 min ago; caught up")]
    assert verdicts(at(-0.5), catch_up="none") == [
        (SkipFiring, "missed: the platform was off when the window opened (catch_up = none)")
    ]


def test_all_missed_are_skipped_and_the_open_one_opens() -> None:
    assert [kind for kind, _ in verdicts(at(-5), at(-3), at(-0.5))] == [SkipFiring, SkipFiring, OpenFiring]


def test_of_two_that_are_open_the_later_opens() -> None:
    assert [kind for kind, _ in verdicts(at(-1, 3), at(0, 3))] == [SkipFiring, OpenFiring]


def test_overlap() -> None:
    live = ("run-1", NOON + timedelta(hours=1))

    assert verdicts(at(0), live=live) == [(SkipFiring, "run-1 still runs (overlap = skip)")]
    (opened,) = decide([at(0)], overlap="restart", catch_up="while_open", live=live, now=NOON)
    assert isinstance(opened, OpenFiring)
    assert opened.stop == "run-1"


def test_a_run_that_ends_as_the_next_window_opens_is_no_overlap() -> None:
    (opened,) = decide([at(0)], overlap="skip", catch_up="while_open", live=("run-1", NOON), now=NOON)

    assert opened == OpenFiring(at(0), "window opened", None)


def test_daylight_savings_reason_is_kept() -> None:
    assert verdicts(Firing(NOON, NOON, skipped="clocks go forward")) == [(SkipFiring, "clocks go forward")]
