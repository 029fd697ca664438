"""What the command line says of devices and types, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fairlead.cli.commands import devices, types

from .conftest import Door

Said = tuple[int, str, str]


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
        "ada (tier human) holds on = false until 2026-11-20 13:00:00Z; speed = 2 until 2026-11-20 13:00:00Z",
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
        "on = true at 2026-11-20 12:00:00Z (boolean rw)",
        "speed never reported (integer rw, 1 to 3)",
    ]


def command(**fields: object) -> dict[str, object]:
    return {"id": "cmd-1", "status": "observed", "reason": None, "cause": None, "finished_at": "now", **fields}


def test_a_command_that_was_not_observed_ends_with_its_code(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("POST /api/v1/devices/fan-1/commands", command())
    assert cli("devices", "send", "fan-1", "speed=2") == (0, "cmd-1 observed\n", "")
    assert cli("devices", "send", "fan-1", "speed=2", "--key", "k1")[0] == 0
    assert signed_in.keys[-2:] == ["", "k1"]
    failed = command(status="failed", cause="not_observed", reason="not_observed: fan-1 did not report speed")
    signed_in.says("POST /api/v1/devices/fan-1/commands", failed)
    code, out, err = cli("devices", "send", "fan-1", "speed=2")
    assert (code, out) == (7, "")
    assert err.splitlines() == [
        "error: cmd-1 failed: not_observed: fan-1 did not report speed",
        "  hint: fairlead why cmd-1 (not_observed)",
    ]
    waits = command(status="accepted", reason="waits: run-1 (safety) holds speed", finished_at=None)
    signed_in.says("POST /api/v1/devices/fan-1/commands", waits)
    code, out, err = cli("devices", "send", "fan-1", "speed=2")
    assert (code, out) == (6, "cmd-1 accepted: waits: run-1 (safety) holds speed\n")


def test_a_history_has_a_line_for_each_reading_or_step(signed_in: Door, cli: Callable[..., Said]) -> None:
    path, at = "GET /api/v1/devices/t1/history/", "2026-11-20T12:00:00Z"
    none = {"count": 1, "first": None, "low": None, "mean": None, "high": None, "shares": None}
    signed_in.says(f"{path}temperature", {"items": [none | {"at": at, "value": 21.5}], "next": None})
    step = {"at": at, "value": 24, "count": 3, "first": 22, "low": 20, "mean": 22.00001, "high": 24, "shares": None}
    signed_in.says(f"{path}temperature?since=7d&step=3600", {"items": [step], "next": None})
    shares = none | {"at": at, "value": True, "count": 4, "first": False, "shares": {"false": 0.25, "true": 0.75}}
    signed_in.says(f"{path}open?step=86400", {"items": [shares], "next": None})

    def lines(*words: str) -> list[list[str]]:
        code, out, _ = cli("devices", "history", "t1", *words)
        assert code == 0
        return [line.split() for line in out.splitlines()]

    assert lines("temperature")[1][-1] == "21.5"
    assert lines("temperature", "--step", "1h", "--since", "7d")[1][-6:] == ["3", "22", "20", "22", "24", "24"]
    assert lines("open", "--step", "1d")[1][-4:] == ["false", "25.0%,", "true", "75.0%"]
    assert cli("devices", "history", "t1", "open", "--step", "0.5s")[0] == 2


def test_simulated_devices_are_pressed(signed_in: Door, cli: Callable[..., Said]) -> None:
    for device, event, value in (("button-1", "pressed", True), ("knob-1", "turned", "left")):
        view = {"device": device, "event": event, "value": value}
        signed_in.says(f"POST /api/v1/devices/{device}/events", view, 202)

    assert cli("simulate", "--press", "button-1", "--press", "knob-1.turned=left") == (
        0,
        'button-1 sent pressed = true\nknob-1 sent turned = "left"\n',
        "",
    )
    asked = [json.loads(body) for _, body in signed_in.asked]
    assert asked == [{"event": None, "value": None}, {"event": "turned", "value": "left"}]
    assert cli("simulate", "lab", "--press", "button-1")[0] == 2


def test_a_new_password_is_asked_for_and_shown(signed_in: Door, cli: Callable[..., Said]) -> None:
    view = {"id": "fan-1", "mqtt": "mqtt://127.0.0.1:1883", "password": "secret"}
    signed_in.says("PATCH /api/v1/devices/fan-1", view)

    assert cli("devices", "password", "fan-1") == (
        0,
        "fan-1  mqtt://127.0.0.1:1883  user fan-1  password secret\n",
        "",
    )
    assert json.loads(signed_in.asked[-1][1]) == {"new_password": True}


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("types", "rm", "fan@1.0.0"), "DELETE /api/v1/types/fan@1.0.0"),
        (("locations", "rm", "campus/lab"), "DELETE /api/v1/locations/campus/lab"),
    ],
)
def test_what_is_removed_is_asked_about_first(
    signed_in: Door, cli: Callable[..., Said], words: tuple[str, ...], call: str
) -> None:
    signed_in.answers[call] = (204, b"", "")

    assert cli(*words)[0] == 1
    assert signed_in.calls == []
    assert cli(*words, "--yes") == (0, f"removed {words[2]}\n", "")
    assert signed_in.calls == [call]


def test_times_of_why_are_printed_as_they_can_be_given_back(signed_in: Door, cli: Callable[..., Said]) -> None:
    link = {"at": "2026-11-21T13:36:56.640123Z", "kind": "because", "id": "", "said": "nobody holds it"}
    view = {"of": "fan-1.on", "at": None, "answer": "It is so.", "chain": [link]}
    signed_in.says("GET /api/v1/why?of=fan-1.on", view)
    signed_in.says("GET /api/v1/why?of=fan-1.on&at=2026-11-21+13%3A36%3A56Z", view)

    code, out, err = cli("why", "fan-1.on")

    assert (code, out.splitlines()) == (0, ["It is so.", "  2026-11-21 13:36:56Z  because: nobody holds it"])
    assert "UTC" in err
    assert cli("why", "fan-1.on", "--at", " ".join(out.split()[3:5]))[0] == 0


def test_release_says_what_was_let_go_of(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("GET /api/v1/me", {"user": "ada", "roles": ["user"]})
    signed_in.says("POST /api/v1/devices/fan-1/release", {"id": "fan-1"})
    mine = hold("on", True, "ada", "human")
    signed_in.says("GET /api/v1/devices/fan-1", {"holds": [mine, hold("speed", 2, "bob", "human")]})

    assert cli("devices", "release", "fan-1")[:2] == (0, "released fan-1: on\n")
    assert cli("devices", "release", "fan-1", "speed")[:2] == (0, "nothing to release: you hold nothing of it\n")


def test_a_device_bound_by_hand_that_stands_elsewhere_is_told(signed_in: Door, cli: Callable[..., Said]) -> None:
    view = {"windows": [], "conflicts": [], "problems": [], "bindings": {"fan": ["fan-1"]}, "zone": "UTC"}
    signed_in.says("POST /api/v1/schedules", view)
    places = [{"id": "fan-1", "at": "demo/room"}, {"id": "fan-2", "at": "campus/lab/desk"}]
    signed_in.says("GET /api/v1/devices", {"items": places, "next": None})

    code, _, err = cli("schedules", "add", "cool", "--at", "campus/lab", "--bind", "fan=fan-1,fan-2", "--dry-run")

    assert (code, err) == (0, "fan-1 stands at demo/room, which is not within campus/lab\n")


def test_a_device_is_moved_and_called_otherwise(signed_in: Door, cli: Callable[..., Said]) -> None:
    told = {"id": "fan-1", "type": "fan", "at": "campus/hall", "title": "Big fan"}
    signed_in.says("PATCH /api/v1/devices/fan-1", told)
    assert cli("devices", "set", "fan-1", "--at", "campus/hall")[1] == "fan-1 fan campus/hall Big fan\n"
    assert cli("devices", "set", "fan-1", "--title", "")[0] == 0
    assert [json.loads(body) for _, body in signed_in.asked] == [
        {"at": "campus/hall", "title": None},
        {"at": None, "title": ""},
    ]
    assert cli("devices", "set", "fan-1")[0] == 2
