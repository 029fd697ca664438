"""What a call takes and how long a start takes, from counters."""

from __future__ import annotations

import pytest

from fairlead.autoscaler.decide import decide
from fairlead.autoscaler.learn import GAP_S, Learnt, cores, cpu, learn, service_s
from fairlead.autoscaler.signals import History, Limits, Signals
from fairlead.figures import COLD, Figures, Histogram, observed


def figures(served: int, each_s: float, *, rows: int = 1, batch_s: float | None = None) -> Figures:
    """Return counters after ``served`` calls in batches of ``rows``."""
    batches = served // rows
    compute = served * (batch_s if batch_s is not None else each_s)
    return Figures(
        served=served,
        duration=Histogram((served,), served * each_s),
        compute=Histogram((served,), compute),
        batches=Histogram((batches,), float(served)),
    )


def _took(seconds: float) -> Figures:
    return Figures(duration=Histogram((), seconds), compute=Histogram((), seconds))


def test_nothing_is_known_before_the_first_call() -> None:
    assert service_s(learn(Learnt(), None, None), 5) is None
    assert service_s(learn(Learnt(), Figures(), None), 5) is None


def test_a_call_alone_takes_its_time() -> None:
    learnt = learn(Learnt(), figures(100, 0.05), None)

    assert service_s(learnt, 1) == pytest.approx(0.05)
    assert service_s(learnt, 500) == pytest.approx(0.05)


def test_a_batch_is_shared_by_its_calls_and_counts_only_for_a_crowd() -> None:
    alone = learn(Learnt(), figures(100, 0.05), None)
    both = learn(alone, figures(100, 0.05) + figures(640, 0.08, rows=64, batch_s=0.08), None)

    assert service_s(both, 1) == pytest.approx(0.05)
    assert service_s(both, 100) == pytest.approx(0.08 / 64)


@pytest.mark.parametrize("before_s", [0.0, 100.0])
def test_counters_that_say_that_calls_take_nothing_or_less_are_no_reason_to_divide_by(before_s: float) -> None:
    """Read in the middle of a call, or said by a bundle that lies: one model's figures must not end the loop of all."""
    learnt = learn(learn(Learnt(), figures(1, before_s), None), Figures(served=5, batches=Histogram((5,), 5.0)), None)
    took = service_s(learnt, 1)

    assert took is not None
    assert took > 0
    signals = [Signals(at=at, ready=1, in_flight=2, backlog=1, calls=9 * at, service_s=took) for at in range(9)]
    history = History(wanted=1)
    for one in signals:
        decision, history = decide(one, Limits(most=4), history)
        assert 1 <= decision.wanted <= 4


def test_calls_at_once_share_a_replica() -> None:
    assert service_s(learn(Learnt(), figures(100, 1.0), None, concurrency=10), 1) == pytest.approx(0.1)


def test_at_first_all_calls_count_alike_and_later_the_newer_ones_more() -> None:
    learnt = learn(Learnt(), figures(10, 0.1), None)
    learnt = learn(learnt, figures(20, 0.2), None)
    assert service_s(learnt, 1) == pytest.approx(0.2, rel=0.05)

    for looks in range(1, 201):
        learnt = learn(learnt, figures(20 + 100 * looks, 0.0) + _took(4.0 + 100 * looks * 0.4), None)
    assert service_s(learnt, 1) == pytest.approx(0.4, rel=0.01)


def test_endpoints_without_batches_are_timed_whole() -> None:
    learnt = learn(Learnt(), Figures(served=4, duration=Histogram((4,), 8.0), queue=Histogram((4,), 4.0)), None)

    assert service_s(learnt, 1) == pytest.approx(1.0)


def test_calls_that_failed_count_with_the_time_they_took() -> None:
    one_slow = Figures(served=1, duration=Histogram((1,), 20.0), broken=12, broken_s=6.0)
    assert service_s(learn(Learnt(), one_slow, None), 1) == pytest.approx(2.0)
    assert service_s(learn(Learnt(), Figures(broken=12, broken_s=6.0), None), 1) == pytest.approx(0.5)
    known = learn(Learnt(), figures(10, 1.0), None)
    liar = learn(known, figures(10, 1.0) + Figures(broken=3, broken_s=float("inf")), None)
    assert service_s(liar, 1) == service_s(known, 1)


def test_counters_that_begin_anew_keep_what_is_known() -> None:
    learnt = learn(Learnt(), figures(1000, 0.1), None)
    learnt = learn(learnt, figures(1, 0.1), None)

    assert service_s(learnt, 1) == pytest.approx(0.1)


def test_starts_are_learnt_from_what_is_new() -> None:
    first = observed(Histogram(), COLD, 4.0)
    learnt = learn(Learnt(), None, first)
    assert learnt.start_s == pytest.approx(4.0)

    assert learn(learnt, None, observed(first, COLD, 2.0)).start_s == pytest.approx(3.0)
    assert learn(learnt, None, first).start_s == pytest.approx(4.0)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, 1e300])
def test_counters_that_say_nothing_sensible_teach_nothing(wrong: float) -> None:
    known = learn(Learnt(), figures(100, 0.05), None)
    lie = Figures(served=200, compute=Histogram((200,), wrong), batches=Histogram((200,), 200.0))
    odd = Figures(served=200, compute=Histogram((200,), 10.0), batches=Histogram((200,), wrong))

    assert service_s(learn(known, lie, None), 1) == pytest.approx(0.05)
    assert service_s(learn(known, odd, None), 1) == pytest.approx(0.05)


def looked(each_s: float, cpu_s: float, *, per_s: int, ready: int = 1, seconds: int = 60) -> Learnt:
    """Return what is known after so many seconds with ``per_s`` calls each, of ``cpu_s`` processor time a call."""
    known = Learnt()
    for at in range(seconds + 1):
        count = per_s * at
        known = cpu(known, 5.0 + count * cpu_s, figures(count, each_s), float(at), ready)
    return known


def test_a_replica_at_work_takes_what_was_measured_and_what_was_asked_for_at_least() -> None:
    busy = looked(0.1, 0.1, per_s=8)
    assert cores(busy, 0.1, wanted=3, ready=1) == pytest.approx(1.0)
    assert cores(busy, 2.0, wanted=3, ready=1) == 2.0
    waits = looked(0.1, 0.005, per_s=8)
    assert cores(waits, 0.01, wanted=3, ready=1) == pytest.approx(0.05)
    assert cores(waits, 0.1, wanted=3, ready=1) == 0.1
    assert cores(waits, 0.01, wanted=3, ready=1, concurrency=10) == pytest.approx(0.5)


def test_a_replica_never_counts_as_more_than_a_core_unless_that_was_asked_for() -> None:
    assert cores(looked(0.01, 0.05, per_s=15), 0.1, wanted=3, ready=1) == 1.0


def test_many_that_are_hardly_called_keep_no_other_from_growing() -> None:
    rare = looked(0.1, 0.1, per_s=1)
    assert cores(rare, 0.01, wanted=1, ready=1) == pytest.approx(0.1 / 0.7)
    assert cores(rare, 0.01, wanted=2, ready=1) == pytest.approx(1.0)
    spread = looked(0.1, 0.1, per_s=10, ready=5)
    assert cores(spread, 0.01, wanted=5, ready=5) == pytest.approx(0.2 / 0.7)


def test_before_anything_was_measured_what_was_asked_for_counts() -> None:
    assert cores(Learnt(), 0.3, wanted=9, ready=1) == 0.3
    assert cores(cpu(Learnt(), None, None, 1.0, 1), 0.3, wanted=9, ready=1) == 0.3


def test_counters_that_begin_anew_and_long_gaps_are_passed_over() -> None:
    busy = looked(0.1, 0.1, per_s=8)
    anew = cpu(busy, 0.0, Figures(), 61.0, 1)
    assert (anew.cpu.used_s, anew.cpu.busy_s) == (busy.cpu.used_s, busy.cpu.busy_s)
    slept = cpu(busy, 9000.0, figures(481, 0.1), 61.0 + GAP_S, 1)
    assert (slept.cpu.used_s, slept.cpu.there_s) == (busy.cpu.used_s, busy.cpu.there_s)
