"""What is said of a load, and its chart."""

from __future__ import annotations

import random
from xml.etree import ElementTree

from fairlead.measure import loadreport
from fairlead.measure.load import Look, Measured, Plan, Sent, poisson
from fairlead.measure.workload import Item


def plan(**options: object) -> Plan:
    given = {"url": "", "token": "", "model": "faces", "items": [Item("a.jpg", "", expected="ada")]}
    return Plan(**(given | {"requests": 4, "workers": 2} | options))  # type: ignore[arg-type]


def calls() -> list[Sent]:
    return [
        Sent("a.jpg", 0.0, 0.0, 0.5, "correct"),
        Sent("a.jpg", 0.0, 1.5, 2.0, "correct"),
        Sent("a.jpg", 1.0, 1.0, 3.0, "wrong", "expected ada, got bo"),
        Sent("a.jpg", 1.0, 3.5, 4.0, "failed", "model_failed"),
    ]


def test_figures_are_of_answers_and_latency_counts_from_when_a_call_was_due() -> None:
    looks = [Look(0, 0, 1), Look(1, 3, 3), Look(5, 0, 0)]
    measured = Measured(calls(), looks, took_s=4.0)
    made = loadreport.view(plan(), measured)
    assert (made["correct"], made["wrong"], made["failed"], made["per_s"]) == (2, 1, 1, 0.75)
    assert made["latency_s"] == {"p50": 2.0, "p90": 2.0, "p95": 2.0, "p99": 2.0, "max": 2.0}
    assert made["late_s"] == 2.5
    said = loadreport.summary(plan(), measured)
    assert said.startswith("4 jobs of faces in 4.0 s: 2 correct, 1 wrong, 1 failed\n")
    assert "0 → 3 → 0, at most 3 at once" in said
    assert "1 failed: model_failed" in said
    assert "a.jpg: expected ada, got bo" in said
    assert "all 2 workers waited" in said


def test_a_load_is_good_only_when_all_of_it_was_answered_rightly() -> None:
    right = Sent("a.jpg", 0, 0, 1, "correct")
    assert loadreport.is_good(Measured([right] * 4), plan())
    assert not loadreport.is_good(Measured([right] * 3), plan())
    for outcome in ("wrong", "failed", "unanswered"):
        assert not loadreport.is_good(Measured([right] * 3 + [Sent("a", 0, 0, 1, outcome)]), plan())


def test_a_load_that_ended_before_anything_was_answered_is_still_told_and_drawn() -> None:
    measured = Measured([Sent("a.jpg", 0, 0)], took_s=0.3, cut=True)
    assert loadreport.summary(plan(), measured).endswith("0 correct, 0 wrong, 0 failed, 1 unanswered, 3 not sent")
    ElementTree.fromstring(loadreport.picture(plan(), measured))
    ElementTree.fromstring(loadreport.picture(plan(), Measured()))


def test_the_chart_is_well_formed_and_bounded_however_large_the_load() -> None:
    chance = random.Random(1)
    many = [Sent("<&>", at, at, at + chance.random(), "correct") for at in poisson(100, 20_000, 1)]
    looks = [Look(float(at), at % 7, 7) for at in range(300)]
    drawn = loadreport.picture(plan(model="<&>", requests=20_000), Measured(many, looks, took_s=300.0))
    tree = ElementTree.fromstring(drawn)
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}circle"))) <= 3000
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert len(drawn) < 1_000_000


def test_the_border_of_the_bars_is_a_whole_number_and_none_is_higher() -> None:
    calls = [Sent("a.jpg", 0, 0, done, "correct") for done in (0.5, 0.6, 1.2, 1.3, 1.4, 2.9)]
    drawn = loadreport.picture(plan(requests=6), Measured(calls, took_s=2.9))
    assert ">4</text>" in drawn, "three within 2.9 / 3 s are 3.1 a second"
    bars = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}rect")
    heights = [float(bar.attrib["height"]) for bar in bars if bar.attrib["fill"] == "#2a7f62"]
    assert len(heights) == 3
    assert max(heights) < 120


def test_moments_at_a_rate_are_the_same_for_a_seed() -> None:
    moments = poisson(50, 5000, 7)
    assert moments == poisson(50, 5000, 7) != poisson(50, 5000, 8)
    assert moments == sorted(moments)
    assert 90 < moments[-1] < 110
