"""What the command line says of schedules, runs and apps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fairlead.cli.commands.runs import short
from fairlead.cli.times import duration, seconds

from .conftest import Door, Said

ALL = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
SPAN = {"from": "2026-11-23T17:00:00Z", "to": "2026-11-24T06:00:00Z"}
CLASH = {"schedule": "night", "devices": ["fan-1"], **SPAN}


def schedule(**more: Any) -> dict[str, Any]:
    base = {"id": "sch-1", "name": "x", "app": "cool", "at": "lab", "zone": "Europe/Berlin", "state": "waiting"}
    return base | {"windows": [], "once": None, "start": None, "end": None, "conflicts": []} | more


def run(**more: Any) -> dict[str, Any]:
    base = {"id": "run-1", "app": "cool", "version": "2", "at": "lab", "status": "ready", "schedule": "night"}
    told = {"reason": "it is ready", "window": {"from": SPAN["from"], "to": None}, "url": None, "finished_at": None}
    return base | told | {"user": "ada", "bindings": {"fan": ["fan-1"]}, "params": {"at": "hot"}, "history": []} | more


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (schedule(windows=[{"days": ALL, "from": "00:00", "to": "24:00"}]), "daily 00:00-24:00"),
        (schedule(windows=[{"days": ["mon", "fri"], "from": "18:00", "to": "07:00"}]), "mon,fri 18:00-07:00"),
        (
            schedule(windows=[{"days": ALL, "from": "08:00", "to": "09:00"}], start="2026-12-24", end="2026-12-24"),
            "on 2026-12-24 08:00-09:00",
        ),
        (schedule(once=SPAN), "once 2026-11-23 18:00 - 2026-11-24 07:00"),
        (schedule(once=SPAN | {"to": None}), "once 2026-11-23 18:00 - stopped"),
        (
            schedule(windows=[{"days": ["sat", "sun", "mon"], "from": "18:00", "to": "07:00"}]),
            "sat-mon 18:00-07:00",
        ),
        (schedule(every_s=120.0, start="2026-11-21"), "every 2m from 2026-11-21"),
        (schedule(cron="0 8 * * *", start="2026-12-24"), "cron 0 8 * * * from 2026-12-24"),
    ],
)
def test_when_a_schedule_opens_is_said_in_its_zone(
    signed_in: Door, cli: Callable[..., Said], told: dict[str, Any], words: str
) -> None:
    signed_in.says("GET /api/v1/schedules", {"items": [told], "next": None})

    code, out, _ = cli("schedules")

    assert code == 0
    assert f"  {words}  Europe/Berlin  waiting" in out


def test_what_is_done_is_shown_only_when_asked_for(signed_in: Door, cli: Callable[..., Said]) -> None:
    items = [schedule(name="old", once=SPAN, state="done"), schedule(name="new", cron="0 8 * * *")]
    signed_in.says("GET /api/v1/schedules", {"items": items, "next": None})

    _, out, err = cli("schedules")
    assert "old" not in out
    assert "1 more done: fairlead schedules --all" in err
    _, out, _ = cli("schedules", "--all")
    assert "done" in next(line for line in out.splitlines() if line.startswith("old"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "20m"), {"cron": "0 8 * * *", "for_s": 1200.0, "params": {"a": 1}}),
        (
            ("--days", "sat", "--from", "09:00", "--to", "10:00"),
            {"windows": [{"days": ["sat"], "from": "09:00", "to": "10:00"}]},
        ),
        (("--every", "2h", "--set", "b=2"), {"every_s": 7200.0, "for_s": 600, "params": {"a": 1, "b": 2}}),
    ],
)
def test_what_is_not_named_of_a_schedule_stays(
    signed_in: Door, cli: Callable[..., Said], words: tuple[str, ...], said: dict[str, Any]
) -> None:
    kept = {"except": ["2026-12-24"], "dst": {"gap": "skip"}, "overlap": "restart", "catch_up": "none", "bind": {}}
    old = schedule(cron="0 8 * * *", every_s=None, for_s=600, params={"a": 1}, notify=[], **kept)
    signed_in.says("GET /api/v1/schedules/x", old)
    signed_in.says("PUT /api/v1/schedules/x", old | said | {"warnings": []})

    code, out, _ = cli("schedules", "change", "x", *words)

    assert (code, out.split()[:2]) == (0, ["sch-1", "x"])
    sent = json.loads(signed_in.asked[-1][1])
    assert sent | kept | said == sent
    assert [one for one in ("cron", "every_s", "windows") if sent.get(one)] == [
        one for one in said if one in ("cron", "every_s", "windows")
    ]


def test_a_preview_says_its_zone_and_fails_with_problems(signed_in: Door, cli: Callable[..., Said]) -> None:
    problem = {"path": "bind.fan", "rule": "x", "message": "there is no device fan-9", "hint": "fairlead devices"}
    view = {
        "zone": "Europe/Berlin",
        "bindings": {"fan": ["fan-1"]},
        "windows": [SPAN | {"skipped": None, "note": None}],
        "conflicts": [CLASH],
        "problems": [],
    }
    words = ("schedules", "add", "cool", "--at", "lab", "--from", "18:00", "--to", "07:00", "--dry-run")

    signed_in.says("POST /api/v1/schedules", view)
    code, out, _ = cli(*words)
    assert code == 0
    assert out.splitlines() == [
        "fan: fan-1",
        "windows (Europe/Berlin):",
        "  2026-11-23 18:00 - 2026-11-24 07:00",
        "conflict: night wants fan-1 too, 2026-11-23 18:00 - 2026-11-24 07:00 (Europe/Berlin)",
    ]
    signed_in.says("POST /api/v1/schedules", view | {"problems": [problem]})
    for more in ((), ("--json",)):
        code, out, _ = cli(*more, *words)
        assert code == 5
        assert "there is no device fan-9" in out
        assert "fairlead devices" in out


def test_a_preview_marks_the_windows_that_clash_and_those_when_clocks_change(
    signed_in: Door, cli: Callable[..., Said]
) -> None:
    spring = {"from": "2027-03-28T01:00:00Z", "to": "2027-03-28T02:00:00Z"}
    view = {
        "zone": "Europe/Berlin",
        "bindings": {},
        "windows": [SPAN | {"skipped": None, "note": None, "conflicts": ["night"]}],
        "odd": [spring | {"skipped": None, "note": "clocks go forward: 03:00 instead of 02:30", "conflicts": []}],
        "conflicts": [],
        "problems": [],
    }
    signed_in.says("POST /api/v1/schedules", view)

    _, out, _ = cli("schedules", "add", "cool", "--at", "lab", "--from", "02:30", "--to", "04:00", "--dry-run")

    assert out.splitlines() == [
        "windows (Europe/Berlin):",
        "  2026-11-23 18:00 - 2026-11-24 07:00  conflict: night",
        "later, when clocks change:",
        "  2027-03-28 03:00 - 2027-03-28 04:00  clocks go forward: 03:00 instead of 02:30",
    ]


def test_all_that_says_when_can_be_given(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("POST /api/v1/schedules", schedule(cron="0 8 * * *"), 201)
    words = "--days mon-tue --from 08:00 --to 12:00 --from 13:00 --to 17:00 --start 2026-12-01 --end 2026-12-31"
    more = "--except 2026-12-24,2026-12-25 --overlap restart --catch-up none --dst gap=skip,length=elapsed"

    code, _, _ = cli("schedules", "add", "cool", "--at", "lab", *words.split(), *more.split())

    body = json.loads(signed_in.asked[-1][1])
    assert code == 0
    assert body["windows"] == [
        {"days": ["mon", "tue"], "from": "08:00", "to": "12:00"},
        {"days": ["mon", "tue"], "from": "13:00", "to": "17:00"},
    ]
    assert (body["start"], body["end"], body["except"]) == ("2026-12-01", "2026-12-31", ["2026-12-24", "2026-12-25"])
    assert (body["overlap"], body["catch_up"]) == ("restart", "none")
    assert body["dst"] == {"gap": "skip", "length": "elapsed"}


@pytest.mark.parametrize("wrong", ["--from 08:00 --from 13:00 --to 12:00", "--dst gap", "--dst middle=skip"])
def test_times_that_do_not_fit_together_are_refused_before_anything_is_sent(
    signed_in: Door, cli: Callable[..., Said], wrong: str
) -> None:
    code, _, _ = cli("schedules", "add", "cool", "--at", "lab", *wrong.split())

    assert code == 2


def test_a_schedule_that_is_made_warns_of_clashes(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("POST /api/v1/schedules", schedule(cron="0 8 * * *", conflicts=[CLASH]), 201)

    code, out, err = cli("schedules", "add", "cool", "--at", "lab", "--cron", "0 8 * * *", "--for", "1h")

    assert code == 0
    assert out.startswith("sch-1 x cool lab cron")
    assert "conflict: night wants fan-1 too" in err


def test_a_paused_schedule_goes_on_by_either_verb(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("PATCH /api/v1/schedules/night", schedule(name="night"))

    assert cli("schedules", "resume", "night")[1] == "night goes on\n"
    assert cli("schedules", "pause", "night", "--off")[1] == "night goes on\n"
    signed_in.says(
        "GET /api/v1/runs?live=true&schedule=sch-1", {"items": [run(), run(id="run-2", status="planned")], "next": None}
    )
    code, out, err = cli("schedules", "pause", "night")
    assert (code, out) == (0, "night paused\n")
    assert "fairlead runs stop run-1 ends it" in err
    assert "run-2" not in err  # it waited, and is canceled
    assert [json.loads(body)["paused"] for _, body in signed_in.asked if body] == [False, False, True]


def test_an_app_that_runs_without_an_end_says_so(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("POST /api/v1/schedules", schedule(once=SPAN | {"to": None}), 201)
    signed_in.says("GET /api/v1/runs?schedule=sch-1&limit=1", {"items": [run()], "next": None})

    code, out, err = cli("apps", "run", "cool", "--at", "lab")
    assert (code, out) == (0, "run-1 x\n")
    assert "next: fairlead runs show run-1; it runs until it is stopped: fairlead runs stop run-1" in err
    assert "runs until it is stopped" in cli("apps", "run", "cool", "--at", "lab")[2]
    words = ("--for", "1h", "--notify", "ada@example.org", "--notify", "bo@example.org")
    assert "runs until it is stopped" not in cli("apps", "run", "cool", "--at", "lab", *words)[2]
    asked = [json.loads(body)["notify"] for call, body in signed_in.asked if call.startswith("POST")]
    assert asked == [[], [], ["ada@example.org", "bo@example.org"]]


def test_runs_are_listed_with_their_schedule_and_reason(signed_in: Door, cli: Callable[..., Said]) -> None:
    waits = run(reason="waits: fan needs 1 fan")
    signed_in.says("GET /api/v1/runs", {"items": [waits], "next": None})
    signed_in.says("GET /api/v1/runs/run-1", run())

    head, line = cli("runs")[1].splitlines()
    assert head.split() == ["ID", "APP", "AT", "STATUS", "SCHEDULE", "UNTIL", "REASON"]
    assert line.split("  ")[0:4] == ["run-1", "cool@2", "lab", "ready"]
    assert "night" in line
    assert line.endswith("waits: fan needs 1 fan")
    told = cli("runs", "show", "run-1")[1]
    assert '  schedule night, by ada\n  device fan: fan-1\n  param at: "hot"\n' in told


def test_a_schedule_is_shown_with_all_that_it_says_and_what_comes_next(
    signed_in: Door, cli: Callable[..., Said]
) -> None:
    more = {"every_s": 7200.0, "for_s": 600.0, "params": {"comfort_c": 24}, "bind": {"fan": ["fan-1"]}}
    told = schedule(paused="cleaning", notify=["ada@example.org"], **more, **{"except": ["2026-12-24"]})
    signed_in.says("GET /api/v1/schedules/x", told)
    windows = [{"schedule": name, **SPAN, "skipped": None} for name in ("x", "other")]
    signed_in.says("GET /api/v1/windows?*", {"items": windows, "cut": []})
    assert cli("schedules", "show", "x")[1].splitlines() == [
        "sch-1 x cool lab every 2h for 10m Europe/Berlin waiting",
        "  paused: cleaning",
        "  except: 2026-12-24",
        "  mails: ada@example.org",
        "  param comfort_c: 24",
        "  binds fan: fan-1",
        "  next windows (Europe/Berlin): 2026-11-23 18:00 - 2026-11-24 07:00",
    ]


def test_what_is_wrong_with_a_date_is_called_by_its_own_option(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("POST /api/v1/schedules", refused_for("start", "end"), 422)
    assert cli("schedules", "add", "cool", "--at", "lab", "--on", "24.12.2026")[2].startswith("error: --on: wrong 0")
    assert cli("schedules", "add", "cool", "--at", "lab", "--start", "x")[2].startswith("error: --start: wrong 0")


def test_an_app_goes_back_to_the_version_before(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("POST /api/v1/apps/cool/rollback", {"alias": "production", "from": "2", "to": "1"})
    code, out, err = cli("apps", "rollback", "cool")
    assert (code, out) == (0, "production: 2 → 1\n")
    assert "runs that go on stay what they are" in err
    named = {"name": "cool", "summary": "", "url": None, "versions": []}
    signed_in.says("GET /api/v1/apps/cool", named | {"aliases": {"production": [{"version": "1", "weight": 100}]}})
    assert "  production: 1\n" in cli("apps", "show", "cool")[1]


def test_an_app_is_shown_with_its_page_and_removed(signed_in: Door, cli: Callable[..., Said]) -> None:
    app = {"name": "cool", "summary": "", "url": "http://night.apps.localhost:8080", "versions": []}
    signed_in.says("GET /api/v1/apps/cool", app)
    signed_in.answers["DELETE /api/v1/apps/cool"] = (204, b"", "application/json")

    assert "  page http://night.apps.localhost:8080\n" in cli("apps", "show", "cool")[1]
    assert cli("apps", "rm", "cool")[0] == 1
    assert cli("apps", "rm", "cool", "--yes")[:2] == (0, "removed cool\n")


def test_the_table_of_runs_shows_short_ids_times_in_seconds_and_only_what_says_something(
    signed_in: Door, cli: Callable[..., Said]
) -> None:
    ids = ["run-01k9abcdefghjkmnpqrstvwxyz", "run-01k9abcdefghzkmnpqrstvwxyz"]
    ended = {"finished_at": "2026-11-21T15:36:14.672677Z"}
    signed_in.says("GET /api/v1/runs", {"items": [run(id=one, **ended) for one in ids], "next": None})

    code, out, _ = cli("runs")

    assert (code, out.splitlines()) == (
        0,
        [
            "ID                 APP     AT   STATUS  SCHEDULE  UNTIL",
            "run-01k9abcdefghj  cool@2  lab  ready   night     2026-11-21 15:36:14Z",
            "run-01k9abcdefghz  cool@2  lab  ready   night     2026-11-21 15:36:14Z",
        ],
    )
    assert json.loads(cli("--json", "runs")[1])["items"][0]["finished_at"] == ended["finished_at"]


def test_the_last_lines_of_a_run_are_told_without_their_structure(signed_in: Door, cli: Callable[..., Said]) -> None:
    record = json.dumps({"level": "error", "said": "the app ended", "traceback": "Traceback:\n  File"})
    signed_in.says("GET /api/v1/runs/run-1", run(last_lines=["plain", record, "{cut"]))

    out = cli("runs", "show", "run-1")[1]

    assert out.endswith("  | plain\n  | the app ended\n  | Traceback:\n  |   File\n  | {cut\n")


@pytest.mark.parametrize("text", ["90.5s", "10m", "2h", "1d", "1h30m", "1d1h1m1s", "0s"])
def test_a_length_is_shown_as_it_can_be_given_back(text: str) -> None:
    assert seconds(duration(seconds(text))) == seconds(text)
    assert duration(120.0) == "2m"


def test_short_ids_are_long_enough_to_tell_them_apart() -> None:
    ids = ["run-01k9abcdefghjjmn", "run-01k9abcdefghjkmn", "run-1"]

    assert list(short(ids).values()) == ["run-01k9abcdefghjj", "run-01k9abcdefghjk", "run-1"]


def refused_for(*paths: str) -> dict[str, Any]:
    problems = [{"path": path, "rule": "x", "message": f"wrong {at}", "hint": ""} for at, path in enumerate(paths)]
    message = f"{paths[0]}: wrong 0 (and {len(paths) - 1} more)"
    return {"error": {"code": "schedule_invalid", "message": message, "hint": "", "id": "", "problems": problems}}


def test_what_is_refused_is_called_as_on_the_command_line(signed_in: Door, cli: Callable[..., Said]) -> None:
    told = refused_for("for_s", "windows.0.from", "windows", "params.comfort_c", "bind.fan", "at", "unheard")
    signed_in.says("POST /api/v1/schedules", told, 422)

    code, _, err = cli("schedules", "add", "cool", "--at", "lab", "--cron", "0 8 * * *")

    assert code == 5
    assert [line.partition(":")[0].strip() for line in err.splitlines()[1:8]] == [
        "--for",
        "--from",
        "--days, --from, --to",
        "--set comfort_c",
        "--bind fan",
        "--at",
        "unheard",
    ]
    assert err.startswith("error: --for: wrong 0 (and 6 more)\n")
    assert cli("apps", "run", "cool", "--at", "lab")[2].startswith("error: --for: wrong 0")


def test_a_schedule_that_is_made_warns_of_models_that_are_not_there(signed_in: Door, cli: Callable[..., Said]) -> None:
    warnings = ["there is no model comfortt@production; runs of cool wait until that is otherwise"]
    signed_in.says("POST /api/v1/schedules", schedule(warnings=warnings), 201)
    signed_in.says("GET /api/v1/runs?schedule=sch-1&limit=1", {"items": [run()], "next": None})

    for words in (("schedules", "add", "cool", "--at", "lab", "--every", "2h"), ("apps", "run", "cool", "--at", "lab")):
        code, _, err = cli(*words)
        assert code == 0
        assert f"warning: {warnings[0]}\n" in err
