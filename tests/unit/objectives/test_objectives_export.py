"""What is exported can be read as what it is, and says the same as the platform; what is told of an alert."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.bundles.manifest import ModelManifest, ModelRun, Slo
from fairlead.objectives import letters, service
from fairlead.objectives.burn import PERIOD, RULES, SLICES, Counts, Objective, Sli, Told, burn
from fairlead.objectives.export import FORMS, export, openslo, prometheus, yaml
from fairlead.objectives.service import Change, Standing

reader = pytest.importorskip("yaml")
NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
LATENCY = Objective(Sli.LATENCY, 0.99, "99 % of answers take less than 100 ms")
STANDING = Standing("mood", LATENCY, {name: burn(name, Counts(10**8, 10**7, 0), LATENCY) for name in SLICES}, ())
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
KEYS = st.from_regex("k[a-z]+", fullmatch=True)


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_yaml_is_read_back_as_what_it_was(value: Any) -> None:
    assert reader.safe_load(yaml(value)) == value


def test_openslo_names_what_it_refers_to() -> None:
    found = openslo("mood", [LATENCY], {"latency": STANDING.period})

    assert [one["kind"] for one in found] == ["Service", *["AlertPolicy"] * 3, "SLO"]
    policies = {one["metadata"]["name"] for one in found if one["kind"] == "AlertPolicy"}
    slo = found[-1]["spec"]
    assert {one["alertPolicyRef"] for one in slo["alertPolicies"]} == policies
    assert (slo["service"], slo["budgetingMethod"], slo["objectives"][0]["target"]) == ("mood", "Occurrences", 0.99)
    assert slo["timeWindow"] == [{"duration": "30d", "isRolling": True}]


def test_little_traffic_is_exported_as_time_slices() -> None:
    slo = openslo("mood", [LATENCY], {"latency": burn(PERIOD, Counts(1, 0, 0), LATENCY)})[-1]["spec"]

    assert slo["budgetingMethod"] == "Timeslices"
    assert slo["objectives"][0] | {"displayName": ""} == {
        "displayName": "",
        "target": 0.99,
        "timeSliceTarget": 0.99,
        "timeSliceWindow": "1m",
    }


def test_rules_record_what_their_alerts_look_at() -> None:
    (group,) = prometheus("mood", [LATENCY])["groups"]

    recorded = {rule["record"] for rule in group["rules"] if "record" in rule}
    alerts = [rule for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == len(RULES)
    for alert in alerts:
        assert set(re.findall(r"fairlead:[a-z_:0-9]+", alert["expr"])) <= recorded
    assert ">= 0.144 and " in alerts[0]["expr"]


@pytest.mark.parametrize("form", FORMS)
def test_exports_are_yaml(form: str) -> None:
    text = export(form, "mood", [LATENCY], {"latency": STANDING.period})

    assert all(isinstance(one, dict) for one in reader.safe_load_all(text))


def test_a_letter_says_what_was_promised_and_how_fast_the_budget_burns() -> None:
    change = Change(STANDING, RULES[0], Told.FIRING, NOW)
    letter = letters.letter(change, ["ops@example.org"], "https://house.example")

    assert letter.subject == "mood: latency alert fast (page) fires"
    assert "99 % of answers take less than 100 ms" in letter.text
    assert "10 times too fast over 1h" in letter.text
    assert "https://house.example/api/v1/models/mood/slo" in letter.text


def test_the_body_of_a_webhook_is_in_the_shape_of_those_of_jobs() -> None:
    body = letters.body(Change(STANDING, RULES[0], Told.RESOLVED, NOW), NOW)
    data = body["data"]

    assert (body["type"], body["timestamp"]) == ("slo.resolved", "2026-11-20T14:03:00Z")
    assert isinstance(data, dict)
    assert (data["model"], data["objective"], data["alert"], data["severity"]) == ("mood", "latency", "fast", "page")


@pytest.mark.parametrize(
    ("slo", "promised"),
    [
        (None, []),
        (Slo(), ["jobs"]),
        (Slo(availability=99.9), ["availability", "jobs"]),
        (Slo(latency_ms=125, percentile=95), ["latency", "jobs"]),
    ],
)
def test_a_manifest_promises_what_it_says(slo: Slo | None, promised: list[str]) -> None:
    manifest = ModelManifest(kind="model", name="mood", run=ModelRun(entry="m:M"), slo=slo)

    assert [one.sli.value for one in service.objectives_of(manifest)] == promised


def test_a_threshold_of_three_digits_says_what_counts() -> None:
    run, slo = ModelRun(entry="m:M"), Slo(latency_ms=125, percentile=95)
    (latency, jobs) = service.objectives_of(ModelManifest(kind="model", name="mood", run=run, slo=slo))

    assert latency.said == "95 % of answers take less than 120 ms"
    assert jobs.said == "95 % of jobs succeed by their deadline, or within 15.125 s"


def test_a_promise_from_before_there_was_a_limit_ends_nobodys_objectives() -> None:
    run, slo = ModelRun(entry="m:M"), Slo(availability=99.99999999999999, percentile=99.99999999999999, latency_ms=5)
    for objective in service.objectives_of(ModelManifest(kind="model", name="mood", run=run, slo=slo)):
        assert burn("5m", Counts(10_000, 10_000, 5), objective).rate > 1
