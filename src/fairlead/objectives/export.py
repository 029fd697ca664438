"""Objectives as other programs read them: OpenSLO v1, and rules of Prometheus over our own ``/metrics``. Pure.

https://github.com/OpenSLO/OpenSLO (``openslo/v1``) and
https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fairlead.objectives.burn import PERIOD, RULES, SLICES, Burn, Objective, Rule, threshold

FORMS = ("openslo", "prometheus")
EVENTS = "fairlead_slo_events_total"
RATIO = "fairlead:slo_bad:ratio_rate"
"""Recording rules are called level:metric:operations."""


def export(form: str, model: str, objectives: Sequence[Objective], periods: Mapping[str, Burn]) -> str:
    """Return the text of ``form``, one of :data:`FORMS`; ``periods``: by indicator how the period stands."""
    if form == "prometheus":
        return yaml(prometheus(model, objectives))
    return "---\n".join(yaml(document) for document in openslo(model, objectives, periods))


# --- OpenSLO ----------------------------------------------------------------------------------------------------------


def openslo(model: str, objectives: Sequence[Objective], periods: Mapping[str, Burn]) -> list[dict[str, Any]]:
    """Return the documents: the service, and for each objective its policies and itself."""
    found = [_document("Service", model, {"description": f"The model {model}."})]
    for objective in objectives:
        policies = [_policy(model, objective, rule) for rule in RULES]
        by = periods[objective.sli].by if objective.sli in periods else "requests"
        found += [*policies, _slo(model, objective, [policy["metadata"]["name"] for policy in policies], by)]
    return found


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _slo(model: str, objective: Objective, policies: list[str], by: str) -> dict[str, Any]:
    name = f"{model}-{objective.sli}"
    promised: dict[str, Any] = {"displayName": objective.said, "target": objective.target}
    if by == "slices":
        promised |= {"timeSliceTarget": objective.target, "timeSliceWindow": "1m"}
    return _document(
        "SLO",
        name,
        {
            "description": objective.said,
            "service": model,
            "indicator": {
                "metadata": {"name": name},
                "spec": {
                    "ratioMetric": {
                        "counter": True,
                        "good": _source(_sum(model, objective, PERIOD, 'outcome="good"')),
                        "total": _source(_sum(model, objective, PERIOD)),
                    }
                },
            },
            "timeWindow": [{"duration": PERIOD, "isRolling": True}],
            "budgetingMethod": "Timeslices" if by == "slices" else "Occurrences",
            "objectives": [promised],
            "alertPolicies": [{"alertPolicyRef": policy} for policy in policies],
        },
    )


def _source(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _policy(model: str, objective: Objective, rule: Rule) -> dict[str, Any]:
    name = f"{model}-{objective.sli}-{rule.name}"
    least = round(threshold(rule, objective), 3)
    said = f"The error budget burns {least:g} times too fast over {rule.long} and {rule.short}."
    condition = {"kind": "burnrate", "op": "gte", "threshold": least}
    conditions = [
        {
            "kind": "AlertCondition",
            "metadata": {"name": f"{name}-{window}"},
            "spec": {
                "description": said,
                "severity": rule.severity,
                "condition": condition | {"lookbackWindow": window, "alertAfter": "1m"},
            },
        }
        for window in (rule.long, rule.short)
    ]
    spec = {
        "description": said,
        "alertWhenNoData": False,
        "alertWhenBreaching": True,
        "alertWhenResolved": True,
        "conditions": conditions,
        "notificationTargets": [],
    }
    return _document("AlertPolicy", name, spec)


# --- Prometheus -------------------------------------------------------------------------------------------------------


def prometheus(model: str, objectives: Iterable[Objective]) -> dict[str, Any]:
    """Return the rules: ratios of what was bad over each window, and alerts over two of them."""
    groups = []
    for objective in objectives:
        rules = [
            {
                "record": f"{RATIO}{window}",
                "expr": f"{_sum(model, objective, window, _BAD)} / {_sum(model, objective, window)}",
            }
            for window in SLICES
        ]
        alerts = [_alert(model, objective, rule) for rule in RULES]
        groups.append({"name": f"fairlead-slo-{model}-{objective.sli}", "rules": [*rules, *alerts]})
    return {"groups": groups}


_BAD = 'outcome="bad"'


def _sum(model: str, objective: Objective, window: str, more: str = "") -> str:
    labels = ",".join(filter(None, (f'model="{model}"', f'objective="{objective.sli}"', more)))
    return f"sum by (model, objective) (increase({EVENTS}{{{labels}}}[{window}]))"


def _alert(model: str, objective: Objective, rule: Rule) -> dict[str, Any]:
    of = f'{{model="{model}",objective="{objective.sli}"}}'
    least = f"{threshold(rule, objective) * objective.budget:.9g}"
    return {
        "alert": f"FairleadSlo{objective.sli.capitalize()}{rule.name.capitalize()}",
        "expr": f"{RATIO}{rule.long}{of} >= {least} and {RATIO}{rule.short}{of} >= {least}",
        "labels": {"severity": rule.severity},
        "annotations": {
            "summary": f"{model}: the error budget of {objective.sli} burns too fast",
            "description": f"{objective.said}. Look: fairlead slo {model}",
        },
    }


# --- YAML -------------------------------------------------------------------------------------------------------------


def yaml(value: Any) -> str:
    """Return maps, lists and scalars as YAML; texts as JSON writes them, which YAML 1.2 reads alike."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, dict) and value:
        found = []
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                found += [f"{indent}{key}:", *_lines(inner, f"{indent}  ")]
            else:
                found.append(f"{indent}{key}: {_scalar(inner)}")
        return found
    if isinstance(value, list) and value:
        found = []
        for inner in value:
            first, *rest = _lines(inner, f"{indent}  ")
            found += [f"{indent}- {first.strip()}", *rest]
        return found
    return [f"{indent}{_scalar(value)}"]


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
