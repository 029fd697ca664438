"""The autoscaler's function: limits, zero, panic, queues, lost signals; properties with seeds."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.autoscaler.decide import decide
from fairlead.autoscaler.signals import Decision, History, Limits, Signals

CALM = Limits(most=20)


def after(
    history: History, limits: Limits, seconds: int, *, rate: float = 0, at: float = 0, calls: int = 0, **seen: object
) -> tuple[list[Decision], History]:
    """Decide each second while ``rate`` calls are answered each second."""
    made = []
    for second in range(seconds):
        signals = Signals(at=at + second, calls=calls + round(rate * second), **seen)  # type: ignore[arg-type]
        decision, history = decide(signals, limits, history)
        made.append(decision)
    return made, history


def test_nothing_to_do_is_zero() -> None:
    decision, _ = decide(Signals(at=0), CALM, History())

    assert (decision.wanted, decision.rule) == (0, "idle")


def test_work_wakes_one_even_when_nobody_knows_what_a_call_takes() -> None:
    decision, _ = decide(Signals(at=0, in_flight=500), CALM, History())

    assert (decision.wanted, decision.rule, decision.why) == (1, "activation", "there is work")


def test_a_heap_of_jobs_is_guessed_at_while_nobody_knows_what_one_takes() -> None:
    decision, _ = decide(Signals(at=0, backlog=2000), Limits(most=8), History())
    few, _ = decide(Signals(at=0, backlog=50), CALM, History())

    assert (decision.wanted, decision.rule) == (8, "most")
    assert "at 0.1 s each, which nobody knows yet" in decision.why
    assert (few.wanted, few.rule) == (1, "activation")


def test_the_least_is_kept_without_work() -> None:
    decision, _ = decide(Signals(at=0), Limits(least=3), History())

    assert (decision.wanted, decision.rule) == (3, "least")


def test_a_backlog_is_drained_in_the_time_that_was_asked_for() -> None:
    decision, _ = decide(Signals(at=0, ready=2, backlog=360, service_s=0.18), CALM, History(wanted=2))

    assert (decision.was, decision.wanted, decision.rule) == (2, 5, "queue")
    assert decision.why == "360 jobs wait; at 0.18 s each, 5 replicas drain them in 15 s"
    assert decision.inputs["backlog"] == 360


def test_the_most_is_never_passed_and_said() -> None:
    decision, _ = decide(Signals(at=0, ready=1, backlog=2000, service_s=0.05), Limits(most=4), History(wanted=1))

    assert (decision.wanted, decision.rule) == (4, "most")
    assert decision.why.endswith("[scale] max is 4")


def test_one_long_job_is_one_replica() -> None:
    made, _ = after(History(), CALM, 300, ready=1, backlog=1, service_s=600.0)

    assert {decision.wanted for decision in made} == {1}


def test_requests_that_wait_are_pressing_at_once() -> None:
    decision, _ = decide(Signals(at=0, ready=1, in_flight=100, service_s=0.1), CALM, History(wanted=1))

    assert decision.rule == "panic"
    assert decision.wanted == 6


def test_a_step_in_the_rate_is_followed_within_seconds() -> None:
    limits = Limits(slo_s=1)
    made, history = after(History(wanted=2), limits, 120, rate=10, ready=2, in_flight=1, service_s=0.1)
    assert made[-1].wanted == 2

    more, _ = after(history, limits, 8, rate=40, at=120, calls=1200, ready=2, in_flight=4, service_s=0.1)

    assert more[5].wanted >= 4


def test_a_step_that_has_requests_wait_is_followed_in_one_go() -> None:
    """40 calls a second of 50 ms after 10: two replicas are just full, and 16 requests stay with them. Looks are never
    whole seconds apart."""
    limits, history, calls, wanted = Limits(slo_s=0.25), History(wanted=2, panic=60.0), 0, []
    for look in range(63):
        calls += 40 if look > 60 else 10
        seen = Signals(at=1.003 * look, calls=calls, ready=2, in_flight=16, service_s=0.05)
        decision, history = decide(seen, limits, history)
        wanted.append(decision.wanted)

    assert wanted[59:] == [2, 2, 2, 3]


@pytest.mark.parametrize("every", [0.2, 0.35, 1.0, 1.1])
def test_how_often_it_is_looked_at_changes_nothing(every: float) -> None:
    """Reports come when something happens: rates are those of the seconds all the same."""
    history, made, count = History(wanted=1), [], round(90 / every)
    for look in range(count):
        at = look * every
        decision, history = decide(
            Signals(at=at, calls=round(30 * at), ready=5, in_flight=3, service_s=0.1), CALM, history
        )
        made.append(decision)

    assert made[-1].wanted == 5
    assert made[-1].inputs["arrival_per_s"] == pytest.approx(30, rel=0.05)
    assert made[-1].inputs["arrival_per_s_6s"] == pytest.approx(30, rel=0.1)
    assert len(history.samples) <= 90


def test_a_load_that_is_gone_leaves_after_a_minute_and_sleeps_after_its_time() -> None:
    limits = Limits(idle_s=120)
    made, history = after(History(wanted=1), limits, 60, rate=30, ready=5, in_flight=3, service_s=0.1)
    assert made[-1].wanted == 5

    quiet, _ = after(history, limits, 200, at=60, calls=1770, ready=5, service_s=0.1)
    wanted = [decision.wanted for decision in quiet]

    assert wanted[30] == 5
    assert wanted[119] <= 2
    assert wanted[-1] == 0
    assert quiet[-1].rule == "idle"


def test_down_waits_for_five_cold_starts() -> None:
    _, history = after(History(wanted=1), CALM, 60, rate=30, ready=5, in_flight=3, service_s=0.1, start_s=60.0)

    quiet, _ = after(history, CALM, 250, at=60, calls=1770, ready=5, in_flight=1, service_s=0.1, start_s=60.0)

    assert [decision.wanted for decision in quiet[:240]].count(5) == 240


@pytest.mark.parametrize("lost", ["ready", "in_flight", "backlog", "calls"])
def test_what_is_not_told_holds_and_never_sleeps(lost: str) -> None:
    _, history = after(History(wanted=1), Limits(idle_s=10), 60, rate=30, ready=5, in_flight=3, service_s=0.1)

    made = []
    for second in range(600):
        signals = replace(Signals(at=60 + second, ready=5, calls=1770, service_s=0.1), **{lost: None})
        decision, history = decide(signals, Limits(idle_s=10), history)
        made.append(decision)

    assert [decision.wanted for decision in made] == [5] * 600
    assert made[-1].rule == "hold"
    assert made[-1].why.startswith("nobody tells how ")


def test_what_is_told_still_goes_up_where_the_rest_is_lost() -> None:
    signals = Signals(at=0, ready=2, in_flight=None, calls=None, backlog=2000, service_s=0.05)

    decision, _ = decide(signals, CALM, History(wanted=2))

    assert decision.wanted == 8


def test_a_start_that_takes_long_is_worth_it_only_for_what_is_left_then() -> None:
    quick, _ = decide(Signals(at=0, ready=1, in_flight=40, service_s=0.2, start_s=0.5), CALM, History(wanted=1))
    slow, _ = decide(Signals(at=0, ready=1, in_flight=40, service_s=0.2, start_s=30.0), CALM, History(wanted=1))

    assert quick.wanted >= 4
    assert slow.wanted == 1


def test_calls_that_were_never_timed_count_as_long_as_they_take_already() -> None:
    made, _ = after(History(wanted=1), CALM, 5, ready=1, in_flight=12)

    assert made[0].wanted == 1
    assert made[-1].wanted > 5


def test_counters_that_begin_anew_are_no_load() -> None:
    _, history = after(History(wanted=1), CALM, 60, rate=30, ready=5, in_flight=3, service_s=0.1, calls=9_000_000)

    decision, _ = decide(Signals(at=60, calls=0, ready=5, in_flight=3, service_s=0.1), CALM, history)

    assert decision.inputs["arrival_per_s"] == 0
    assert decision.wanted == 5


def test_a_lower_most_counts_at_once() -> None:
    decision, _ = decide(Signals(at=0, ready=9, in_flight=9, service_s=1.0), Limits(most=4), History(wanted=9))

    assert decision.wanted == 4


# --- properties ----------------------------------------------------------------------------------------------------------

known = st.one_of(st.none(), st.integers(0, 5_000))
moments = st.lists(
    st.tuples(st.floats(0.5, 30), known, known, known, st.one_of(st.none(), st.integers(0, 40))),
    min_size=1,
    max_size=60,
)
bounds = st.tuples(st.integers(0, 5), st.integers(1, 30), st.floats(1, 600), st.sampled_from([1, 4]))


@given(moments, bounds, st.one_of(st.none(), st.floats(0, 100)), st.one_of(st.none(), st.floats(0, 120)))
def test_never_outside_its_limits_and_never_zero_with_work(
    seen: list[tuple[float, int | None, int | None, int | None, int | None]],
    bound: tuple[int, int, float, int],
    service_s: float | None,
    start_s: float | None,
) -> None:
    least, most, idle_s, concurrency = bound
    limits = Limits(least=min(least, most), most=most, idle_s=idle_s, concurrency=concurrency)
    history, at, calls = History(wanted=limits.least), 0.0, 0
    for pause, in_flight, backlog, done, ready in seen:
        at, calls = at + pause, calls + (done or 0)
        signals = Signals(
            at=at,
            ready=ready,
            in_flight=in_flight,
            backlog=backlog,
            calls=None if done is None else calls,
            service_s=service_s,
            start_s=start_s,
        )
        before = history.wanted
        decision, history = decide(signals, limits, history)

        assert limits.least <= decision.wanted <= limits.most
        assert decision.was == before
        assert history.wanted == decision.wanted
        assert decision.why
        if in_flight or backlog:
            assert decision.wanted >= 1
        if None in (in_flight, backlog, done, ready):
            assert decision.wanted >= min(before, limits.most)


@given(moments, st.floats(0.001, 10), st.integers(0, 200), st.sampled_from(["in_flight", "backlog"]))
def test_more_work_never_asks_for_fewer(
    seen: list[tuple[float, int | None, int | None, int | None, int | None]], service_s: float, more: int, where: str
) -> None:
    history, at, calls = History(), 0.0, 0
    for pause, in_flight, backlog, done, ready in seen:
        at, calls = at + pause, calls + (done or 0)
        signals = Signals(
            at=at, ready=ready or 0, in_flight=in_flight or 0, backlog=backlog or 0, calls=calls, service_s=service_s
        )
        fuller = replace(signals, **{where: getattr(signals, where) + more})
        crowd, _ = decide(fuller, CALM, history)
        decision, history = decide(signals, CALM, history)

        assert crowd.wanted >= decision.wanted


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rate", "service_s"), [(0.5, 0.2), (5, 0.1), (20, 0.1), (1, 3.0)])
def test_constant_load_turns_at_most_once_in_five_minutes(rate: float, service_s: float, seed: int) -> None:
    from fairlead.measure import arrivals
    from fairlead.measure.fleet import Fleet
    from fairlead.measure.policies import Fairlead

    shape = arrivals.Shape(rate=rate, service_s=service_s, service_cv=0.5, length_s=1800, seed=seed)
    limits = Limits(most=20, slo_s=random.Random(seed).choice([1.0, 5 * service_s]))

    made = Fleet(arrivals.constant(shape), Fairlead(limits), start_s=1.0, most=20).run()

    assert made.turns_within(300) <= 1


def test_what_bursts_ask_for_is_said() -> None:
    """100,000 calls at once and then none: the mean alone explains nothing."""
    history, why = History(), ""
    for second in range(70):
        calls = 100_000 * (1 + second // 20)
        decision, history = decide(Signals(at=second, calls=calls, ready=1, service_s=1.2e-05), CALM, history)
        why = decision.why if decision.wanted > 1 else why
    assert "come in bursts that want room" in why
