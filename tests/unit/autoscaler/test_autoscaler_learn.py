"""What a call takes and how long a start takes, from counters."""

from __future__ import annotations

import pytest

from fairlead.autoscaler.decide import decide
from fairlead.autoscaler.learn import Learnt, learn, service_s
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
