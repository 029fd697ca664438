"""Burn rates, budgets and alerts: the workbook's numbers, and properties with seeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.objectives.burn import (
    CALM_SLICES,
    PERIOD,
    RULES,
    SLICES,
    Alert,
    Burn,
    Counts,
    Objective,
    Rule,
    Sli,
    Told,
    attainment,
    budget_left,
    burn,
    holds,
    step,
    threshold,
)

NINES = Objective(Sli.AVAILABILITY, 0.999)
TARGETS = st.floats(0.01, 0.9999)
FAST, MEDIUM, SLOW = RULES
BUSY = 50.0
"""Requests a second."""


def busy(window: str, share: float) -> Counts:
    valid = round(SLICES[window] * 60 * BUSY)
    return Counts(valid, round(valid * share), 0)


def stood(shares: dict[str, float], objective: Objective = NINES) -> dict[str, Burn]:
    return {window: burn(window, busy(window, shares.get(window, 0.0)), objective) for window in SLICES}


@st.composite
def counts(draw: st.DrawFn, window: str) -> Counts:
    valid = draw(st.integers(0, 10**9))
    return Counts(valid, draw(st.integers(0, valid)), draw(st.integers(0, SLICES[window])))


@pytest.mark.parametrize(
    ("window", "share", "rate"), [("1h", 0.0144, 14.4), ("6h", 0.006, 6.0), ("3d", 0.001, 1.0), ("5m", 1.0, 1000.0)]
)
def test_the_rate_is_the_share_that_is_bad_in_budgets(window: str, share: float, rate: float) -> None:
    assert burn(window, busy(window, share), NINES).rate == pytest.approx(rate, rel=1e-3)


def test_an_hour_at_the_fast_rate_uses_two_percent_of_the_budget_and_six_hours_at_the_medium_one_five() -> None:
    hours = SLICES[PERIOD] / 60

    assert FAST.factor / hours == pytest.approx(0.02)
    assert MEDIUM.factor * 6 / hours == pytest.approx(0.05)
    assert SLOW.factor * 72 / hours == pytest.approx(0.1)


def test_an_alert_needs_both_of_its_windows() -> None:
    assert holds(FAST, stood({"1h": 0.02, "5m": 0.02}), NINES)
    assert not holds(FAST, stood({"1h": 0.02}), NINES), "it is over already"
    assert not holds(FAST, stood({"5m": 0.02}), NINES), "it has just begun"


def test_an_outage_of_a_busy_model_is_a_page_within_two_minutes() -> None:
    minutes = 1.5
    valid = round(3600 * BUSY)
    found = {window: busy(window, 0) for window in SLICES}
    found["1h"] = Counts(valid, round(minutes * 60 * BUSY), 2)
    found["5m"] = Counts(round(300 * BUSY), round(minutes * 60 * BUSY), 2)
    burns = {window: burn(window, one, NINES) for window, one in found.items()}

    assert holds(FAST, burns, NINES)


def test_a_single_failed_request_a_day_is_no_alert() -> None:
    burns = {window: burn(window, Counts(1, 1, 1), NINES) for window in SLICES}

    assert [rule.name for rule in RULES if holds(rule, burns, NINES)] == []


def test_with_little_traffic_slices_count() -> None:
    few = burn("1h", Counts(10, 5, 2), Objective(Sli.LATENCY, 0.99))

    assert (few.by, few.share, round(few.rate, 2)) == ("slices", 2 / 60, 3.33)
    assert burn("1h", Counts(3600, 5, 2), NINES).by == "requests"


def test_a_shorter_slice_asks_for_less_traffic() -> None:
    assert burn("1h", Counts(60, 5, 2), NINES, 1.0).by == "requests"


def test_an_objective_that_allows_much_alerts_at_half() -> None:
    lax = Objective(Sli.LATENCY, 0.9)

    assert threshold(FAST, lax) == pytest.approx(5.0)
    assert holds(FAST, stood({"1h": 0.51, "5m": 0.51}, lax), lax)
    assert threshold(FAST, NINES) == FAST.factor


def test_durations_that_come_late_count_as_requests() -> None:
    assert burn("5m", Counts(0, 400, 1), NINES).share == 1.0


def test_attainment_is_of_requests_and_the_budget_may_be_overdrawn() -> None:
    period = burn(PERIOD, busy(PERIOD, 0.218), Objective(Sli.LATENCY, 0.99))

    assert attainment(period) == pytest.approx(0.782, abs=1e-4)
    assert budget_left(period) == pytest.approx(1 - 21.8, abs=1e-2)
    assert attainment(burn(PERIOD, Counts(), NINES)) is None
    assert budget_left(burn(PERIOD, Counts(), NINES)) == 1.0


@given(st.sampled_from(sorted(SLICES)).flatmap(lambda w: st.tuples(st.just(w), counts(w))), TARGETS)
def test_a_share_is_a_share_and_nothing_bad_burns_nothing(found: tuple[str, Counts], target: float) -> None:
    window, one = found
    made = burn(window, one, Objective(Sli.JOBS, target))

    assert 0.0 <= made.share <= 1.0
    assert made.rate >= 0.0
    assert burn(window, Counts(one.valid), Objective(Sli.JOBS, target)).rate == 0.0
    assert budget_left(made) <= 1.0


@given(st.sampled_from(sorted(SLICES)).flatmap(lambda w: st.tuples(st.just(w), counts(w))), TARGETS)
def test_more_that_is_bad_never_burns_less(found: tuple[str, Counts], target: float) -> None:
    window, one = found
    objective = Objective(Sli.JOBS, target)
    if one.bad == one.valid or one.bad_slices == SLICES[window]:
        return
    worse = Counts(one.valid, one.bad + 1, one.bad_slices + 1)

    assert burn(window, worse, objective).rate >= burn(window, one, objective).rate


@given(st.sampled_from(RULES), TARGETS, st.floats(0, 1), st.floats(0, 1))
def test_an_alert_holds_if_and_only_if_both_windows_burn(rule: Rule, target: float, long: float, short: float) -> None:
    objective = Objective(Sli.AVAILABILITY, target)
    burns = stood({rule.long: long, rule.short: short}, objective)
    least = threshold(rule, objective)
    both = burns[rule.long].rate >= least and burns[rule.short].rate >= least

    assert holds(rule, burns, objective) == both


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=60))
def test_it_is_told_once_that_an_alert_fires_and_once_that_it_is_over(history: list[tuple[bool, int]]) -> None:
    alert, told, now = None, [], 0.0
    for is_bad, passed_s in history:
        now += passed_s
        alert, said = step(alert, is_bad, now)
        assert (alert is not None) or not is_bad, "what is bad fires"
        if said:
            told.append(said)

    assert told == [Told.FIRING, Told.RESOLVED] * (len(told) // 2) + [Told.FIRING] * (len(told) % 2)
    assert (alert is not None) == (len(told) % 2 == 1)


def test_an_alert_is_over_only_when_it_was_calm_for_a_while() -> None:
    alert, told = step(Alert(0.0), False, 60.0)
    assert (alert, told) == (Alert(0.0, 60.0), Told.NOTHING)
    assert step(alert, True, 120.0) == (Alert(0.0), Told.NOTHING), "it fires on"
    assert step(alert, False, 60.0 + CALM_SLICES * 60) == (None, Told.RESOLVED)


def test_a_clock_that_was_put_back_does_not_end_an_alert_early() -> None:
    assert step(Alert(1000.0, 2000.0), False, 500.0) == (Alert(1000.0, 500.0), Told.NOTHING)
