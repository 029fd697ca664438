"""What the command line says of devices and types, and with which exit code."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.cli.commands import devices, types


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"type": "integer", "access": "rw", "minimum": 1, "maximum": 3}, "integer rw, 1 to 3"),
        ({"type": "number", "minimum": -20.5, "maximum": 60, "unit": "°C"}, "number r, -20.5 to 60 °C"),
        ({"type": "number", "exclusiveMinimum": 0, "unit": "lx"}, "number r, above 0 lx"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number r, at least 0 and below 1"),
        ({"type": "number", "unit": "%"}, "number r, %"),
        ({"type": "string", "enum": ["low", "high"]}, 'string r, one of "low", "high"'),
        ({"type": "boolean", "access": "rw", "safe": False}, "boolean rw, safe false"),
        ({"type": "number", "fresh_s": 120}, "number r, stale after 120 s"),
        ({"type": "string", "contentMediaType": "image/jpeg"}, "image/jpeg r"),
    ],
)
def test_a_property_says_what_it_may_be(spec: dict[str, Any], said: str) -> None:
    assert types.described(spec) == said


@pytest.mark.parametrize(
    ("status", "cause", "finished_at", "code"),
    [
        ("observed", None, "2026-11-20T12:00:00Z", 0),
        ("applied", None, "2026-11-20T12:00:00Z", 0),
        ("applied", None, None, 6),
        ("accepted", None, None, 6),
        ("failed", "not_observed", "2026-11-20T12:00:00Z", 7),
        ("failed", "no_ack", "2026-11-20T12:00:00Z", 7),
        ("failed", "offline", "2026-11-20T12:00:00Z", 6),
        ("failed", "refused", "2026-11-20T12:00:00Z", 4),
        ("failed", None, "2026-11-20T12:00:00Z", 1),
    ],
)
def test_only_what_was_done_ends_well(status: str, cause: str | None, finished_at: str | None, code: int) -> None:
    assert devices.exit_of({"status": status, "cause": cause, "finished_at": finished_at}) == code


def hold(name: str, value: object, by: str, tier: str, *, holds: bool = True, until: str | None = None) -> Any:
    return {"property": name, "value": value, "by": by, "tier": tier, "holds": holds, "until": until}


def test_who_holds_has_one_line_with_values_and_ends() -> None:
    claims = [
        hold("on", False, "ada", "human", until="2026-11-20T13:00:00Z"),
        hold("on", True, "ada", "human", holds=False, until="2026-11-20T14:00:00Z"),
        hold("on", True, "run-1", "app", holds=False),
        hold("speed", 2, "ada", "human", until="2026-11-20T13:00:00Z"),
    ]

    assert list(devices._holds(claims)) == [
        "ada (tier human) holds on = false until 2026-11-20T13:00:00Z; speed = 2 until 2026-11-20T13:00:00Z",
        "run-1 (tier app) waits to hold on = true until released",
    ]


def test_every_property_is_shown_also_those_never_reported() -> None:
    view = {"values": {"on": {"value": True, "at": "2026-11-20T12:00:00Z", "stale": False, "url": None}}}
    kind = {
        "properties": {
            "on": {"type": "boolean", "access": "rw"},
            "speed": {"type": "integer", "access": "rw", "minimum": 1, "maximum": 3},
        }
    }

    assert list(devices._values(view, kind)) == [
        "on = true at 2026-11-20T12:00:00Z (boolean rw)",
        "speed never reported (integer rw, 1 to 3)",
    ]
