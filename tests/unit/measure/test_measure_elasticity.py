"""Made-up and recorded calls, the simulated fleet, the rules it compares."""

from __future__ import annotations

import statistics
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fairlead.autoscaler.signals import Limits
from fairlead.errors import Invalid, NotFound
from fairlead.measure import arrivals, elasticity
from fairlead.measure.arrivals import Call, Load, Shape
from fairlead.measure.elasticity import Compared
from fairlead.measure.fleet import Fleet, Outcome, Seen
from fairlead.measure.policies import Fairlead, Fixed, Knative, clairvoyant

SHAPE = Shape(rate=20, service_s=0.1, length_s=600)


def run(load: Load, count: int, *, start_s: float = 0.0, initial: int | None = None) -> list[float]:
    return (
        Fleet(load, Fixed(count), start_s=start_s, most=count, initial=count if initial is None else initial)
        .run()
        .latencies_s
    )


def test_calls_wait_for_each_other_in_order() -> None:
    load = Load("three", [Call(0.0, 1.0), Call(0.1, 1.0), Call(0.2, 1.0)], 0.2)

    assert run(load, 1) == pytest.approx([1.0, 1.9, 2.8])
    assert run(load, 2) == pytest.approx([1.0, 1.0, 1.8])


def test_a_sleeping_version_is_woken_once_and_what_it_costs_is_counted() -> None:
    load = Load("two", [Call(10.0, 1.0), Call(10.5, 1.0)], 20.0)
    made = Fleet(load, Fairlead(Limits(idle_s=5)), start_s=2.0, most=20).run()

    assert made.latencies_s == pytest.approx([3.0, 3.5])
    assert made.starts == 1
    assert 4.0 < made.replica_s < 12.0


def test_every_call_is_answered_once_whoever_decides() -> None:
    load = arrivals.bursts(SHAPE, 4)
    limits = Limits(most=5, idle_s=60)

    for policy in (Fairlead(limits), Knative(limits), Fixed(2)):
        made = Fleet(load, policy, start_s=1.0, most=5, initial=0).run()
        assert len(made.latencies_s) == len(load.calls)
        assert made.peak <= 6  # five, and one that ends what it has in hand


def test_replicas_at_work_end_what_they_have_in_hand() -> None:
    class Drop:
        name, every_s = "drop", 1.0

        def wanted(self, seen: Seen) -> int:
            return 2 if seen.at < 1 else 1

        def woken(self) -> None:
            return

    load = Load("long", [Call(0.1, 5.0), Call(0.2, 5.0), Call(1.5, 1.0)], 2.0)
    made = Fleet(load, Drop(), start_s=0.0, most=2, initial=2).run()

    assert sorted(made.latencies_s) == pytest.approx([4.8 + 0.2 + 1.0 - 0.4, 5.0, 5.0], abs=1.1)
    assert max(made.latencies_s) < 6


@pytest.mark.parametrize("cv", [1, 4, 13])
def test_gaps_vary_as_asked(cv: float) -> None:
    load = arrivals.bursts(Shape(rate=20, length_s=5_000), cv)
    gaps = [following.at - one.at for one, following in zip(load.calls, load.calls[1:], strict=False)]

    assert statistics.fmean(gaps) == pytest.approx(0.05, rel=0.2)
    assert statistics.stdev(gaps) / statistics.fmean(gaps) == pytest.approx(cv, rel=0.2)


def test_the_same_seed_is_the_same_load_and_another_is_another() -> None:
    assert arrivals.ramp(SHAPE) == arrivals.ramp(SHAPE)
    assert arrivals.ramp(SHAPE) != arrivals.ramp(Shape(rate=20, service_s=0.1, length_s=600, seed=2))


def test_made_up_loads_have_the_rate_that_was_asked_for() -> None:
    whole = Shape(rate=0.5, service_s=0.1, length_s=86_400, service_cv=1)

    for load, rate in ((arrivals.constant(whole), 0.5), (arrivals.ramp(whole), 0.5), (arrivals.diurnal(whole), 0.5)):
        assert len(load.calls) / load.until_s == pytest.approx(rate, rel=0.03)
    assert len(arrivals.steps(whole).calls) / 86_400 == pytest.approx(0.5, rel=0.03)


def test_a_trace_is_read_with_dates_or_seconds(tmp_path: Path) -> None:
    dates = tmp_path / "dates.csv"
    dates.write_text("TIMESTAMP,Tokens\n2023-11-16 18:17:03.9799600,10\n2023-11-16 18:17:04.4799600,20\n")
    plain = tmp_path / "plain.csv"
    plain.write_text("5.5\n5.0\n")

    found = arrivals.trace(dates, Shape(service_s=0.1), column="Tokens", per=0.01)
    assert [(round(call.at, 3), call.service_s) for call in found.calls] == [(0.0, 0.2), (0.5, pytest.approx(0.3))]
    assert [call.at for call in arrivals.trace(plain, Shape()).calls] == [0.0, 0.5]


@pytest.mark.parametrize(
    ("text", "column"),
    [("", None), ("at\n", None), ("at\nsoon\n", None), ("at,n\n1,x\n", "n"), ("at,n\n1,2\n", "m"), ("at,n\n1\n", "n")],
)
def test_what_is_wrong_with_a_trace_is_said(tmp_path: Path, text: str, column: str | None) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)

    with pytest.raises(Invalid) as caught:
        arrivals.trace(path, Shape(), column=column)
    assert caught.value.code == "trace_invalid"


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        arrivals.trace(tmp_path / "no.csv", Shape())


def test_who_knows_what_comes_needs_least() -> None:
    load = arrivals.steps(Shape(rate=20, service_s=0.1, length_s=900))
    limits = Limits(most=20)
    best = clairvoyant(load, start_s=2.0, most=20, slo_s=1.0)

    for policy in (Fairlead(limits), Knative(limits)):
        made = Fleet(load, policy, start_s=2.0, most=20).run()
        assert best.replica_s < made.replica_s
        assert elasticity.attained(best, 1.0) >= elasticity.attained(made, 1.0)


def test_the_clairvoyant_takes_as_few_as_answer_in_time() -> None:
    load = Load("six", [Call(10.0, 1.0)] * 6, 40.0)

    two = clairvoyant(load, start_s=2.0, most=5, slo_s=3.0)
    assert (two.starts, two.peak, max(two.latencies_s)) == (2, 2, 3.0)
    assert two.replica_s == pytest.approx(2 * 5.0 + 2 * 2.0)

    late = clairvoyant(load, start_s=2.0, most=5, slo_s=1.0)
    assert (late.peak, max(late.latencies_s)) == (5, 2.0)


def test_steps_are_followed_better_than_by_a_pool_for_the_mean() -> None:
    load = arrivals.steps(Shape(rate=20, service_s=0.1, length_s=1200))
    compared = elasticity.compare(load, elasticity.Setting(limits=Limits(most=20, slo_s=1.0)))
    ours = compared.outcomes[0]

    assert ours.policy == "Fairlead"
    assert elasticity.attained(ours, 1.0) > 0.98
    assert ours.turns_within(300) <= 2  # the load itself turns after five and after ten minutes


def test_the_table_and_the_picture_have_all_of_them() -> None:
    load = arrivals.constant(Shape(rate=5, length_s=120))
    compared = [elasticity.compare(load, elasticity.Setting(limits=Limits(most=5)))]

    lines = elasticity.table(compared, 1.0).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == [
        "Fairlead",
        "Knative KPA",
        "1 always",
        "5 always",
        "clairvoyant",
    ]
    assert len({line.count("|") for line in lines}) == 1
    root = ElementTree.fromstring(elasticity.picture(compared))
    assert sum(child.tag.endswith("polyline") for child in root) == 3
    assert elasticity.view(compared, 1.0)["loads"][0]["policies"][0]["policy"] == "Fairlead"


@pytest.mark.parametrize("length_s", [60.0, 219.0, 360.0, 3600.0, 86_400.0])
def test_the_picture_has_replicas_for_as_long_as_there_were_any(length_s: float) -> None:
    made = Outcome("Fairlead", course=[(0.0, 2), (length_s / 2, 1)])

    root = ElementTree.fromstring(elasticity.picture([Compared(Load("one", [], length_s), (made,), 0.0)]))

    (line,) = (child for child in root if child.tag.endswith("polyline"))
    heights = [point.split(",")[1] for point in line.attrib["points"].split()]
    assert len(set(heights[:150])) == len(set(heights[150:])) == 1
    assert heights[0] != heights[-1]
