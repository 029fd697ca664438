"""What the command line says of what was typed: its words, its options, what was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from fairlead.apps import params
from fairlead.backup import archive
from fairlead.bundles.manifest import AppManifest
from fairlead.cli import appserving, demo, devicefile, times
from fairlead.errors import Invalid
from fairlead.settings import Settings

from .conftest import Door

Said = tuple[int, str, str]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init", "app", "My App"], "'My App' is no name"),
        (["init", "ap", "foo"], "'ap' is neither model nor app"),
        (["mail", "show", "abc"], "abc: letters have numbers"),
        (["schedules", "add", "a", "--at", "lab", "--from", "09:00"], "--to is missing"),
        (["schedules", "add", "a", "--at", "lab", "--to", "09:00"], "--from is missing"),
        (
            ["schedules", "add", "a", "--at", "lab", "--every", "2h", "--for", "10m", "--from", "8", "--to", "20"],
            "--every and --from and --to exclude each other",
        ),
        (["schedules", "add", "a", "--at", "lab", "--on", "2026-11-29,2026-11-30"], "2026-11-29,2026-11-30: one date"),
    ],
)
def test_what_was_typed_is_named(
    cli: Callable[..., Said],
    signed_in: Door,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    code, _, err = cli(*words)

    assert code != 0
    assert said in " ".join(err.split())
    assert signed_in.calls == []


def test_a_time_of_day_may_be_short() -> None:
    assert times.windows("mon", ["9"], ["17:30"]) == [{"days": ["mon"], "from": "09:00", "to": "17:30"}]
    assert [times.clock(text) for text in ("9:00", "24", "x", "9:5")] == ["09:00", "24:00", "x", "9:5"]
    with pytest.raises(typer.BadParameter):
        times.windows("mon", ["9"], [])


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        (None, "No such file", "name a CSV file"),
        ("id;type;at\na;fan;lab\n", "columns are separated by ;", "save it with commas: id,type,at"),
        ("id,type,at\na,fan\n", "1 line cannot be read", "correct them and send all again"),
    ],
)
def test_a_file_of_devices_that_cannot_be_read_says_why(tmp_path: Path, text: str | None, said: str, hint: str) -> None:
    file = tmp_path / "d.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Invalid) as caught:
        devicefile.read(file)
    assert said in caught.value.message
    assert caught.value.hint == hint


def test_a_file_that_is_no_backup_is_called_so(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# House\n" * 100)
    with pytest.raises(Invalid) as caught:
        archive.verify(file)
    assert caught.value.message.endswith("README.md is no backup")


def test_a_parameter_that_does_not_fit_says_what_would() -> None:
    schema = {"comfort_c": {"type": "number", "minimum": 10, "maximum": 40, "title": "Comfortable up to (°C)"}}
    told = params.check(schema, {"comfort_c": 99})
    assert [one.hint for one in told] == ["number from 10 to 40: Comfortable up to (°C)"]


def test_a_parameter_that_is_none_is_named_with_those_that_are() -> None:
    manifest = AppManifest(kind="app", name="a", params={"comfort_c": {"type": "number", "default": 24}})
    wanted = appserving.Wanted(0, False, False, "lab", settings={"comfort": 24})
    with pytest.raises(Invalid) as caught:
        appserving.run_wanted(manifest, wanted, {}, "")
    assert (caught.value.message, caught.value.hint) == (
        "--set comfort: the app has no such parameter",
        "did you mean comfort_c?",
    )


def test_runs_are_listed_newest_first_with_when_they_started(cli: Callable[..., Said], signed_in: Door) -> None:
    runs = [
        {"id": f"run-{number:026}", "app": "a", "version": "1", "at": "lab", "status": "ready", "schedule": "s"}
        | {"started_at": f"2026-11-22T0{number}:00:00Z", "window": {"to": None}, "reason": None, "url": None}
        for number in (1, 3, 2)
    ]
    signed_in.says("GET /api/v1/runs?app=a&limit=9", {"items": runs})

    _, out, _ = cli("runs", "--app", "a", "--limit", "9")

    head, *lines = out.splitlines()
    assert "STARTED" in head
    assert [line.index("2026-11-22 0") > 0 and line.split("2026-11-22 0")[1][0] for line in lines] == ["3", "2", "1"]


def test_a_run_tells_which_parameters_were_set(cli: Callable[..., Said], signed_in: Door) -> None:
    run = {"id": "run-1", "app": "a", "version": "1", "at": "lab", "status": "ready", "schedule": "s", "user": "ada"}
    run |= {"window": {"to": None}, "bindings": {}, "params": {"warm": 1, "cold": 2}, "url": None}
    signed_in.says("GET /api/v1/runs/run-1", run)
    signed_in.says("GET /api/v1/schedules/s", {"params": {"cold": 2}})

    _, out, _ = cli("runs", "show", "run-1")

    assert "  param warm: 1 (default)\n  param cold: 2\n" in out


def test_a_schedule_that_was_removed_is_called_so(cli: Callable[..., Said], signed_in: Door) -> None:
    view = {"id": "sch-1", "name": "sch-1", "app": "a", "at": "lab", "zone": "UTC", "state": "done"}
    view |= {"removed_at": "2026-11-22T08:00:00Z", "cron": "0 8 * * *", "for_s": 60}
    signed_in.says("GET /api/v1/schedules/two", view)

    assert cli("schedules", "show", "two")[1] == (
        "sch-1 a lab cron 0 8 * * * for 1m UTC removed 2026-11-22 08:00:00Z\n"
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["devices", "retire", "excel-1"], " devices rm?"),
        (["schedules", "edit", "night"], " schedules change?"),
        (["devices", "frobnicate"], " devices --help"),
    ],
)
def test_another_word_for_a_verb_leads_to_it(cli: Callable[..., Said], words: list[str], hint: str) -> None:
    code, _, err = cli(*words)
    assert code == 2
    assert hint in err


def test_a_backup_of_nothing_names_the_home_that_one_is_signed_in_to(
    cli: Callable[..., Said], signed_in: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path / "none"))
    signed_in.says("GET /api/v1/status", {"home": str(tmp_path)})

    code, _, err = cli("backup", str(tmp_path / "house.tar.zst"))

    assert code == 6
    assert f"--home {tmp_path}" in err


def test_only_the_demos_own_page_is_told_as_the_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answers:
        def __enter__(self) -> Answers:
            return self

        def __exit__(self, *gone: object) -> None: ...

        def get(self, path: str, **query: str) -> dict[str, object]:
            runs = [("mood", demo.PLACE, "u1"), (demo.APP, demo.PLACE, "u2"), (demo.APP, "lab", "u3")]
            return {"items": [{"app": app, "at": at, "url": url} for app, at, url in runs]}

    monkeypatch.setattr(demo, "_api", lambda settings: Answers())
    assert demo.story(Settings(home=Path("none")))[:-1] == ["smart-home at demo/room: u2"]


def test_who_holds_a_device_is_told_and_a_configurer_may_end_it(cli: Callable[..., Said], signed_in: Door) -> None:
    held = {"property": "on", "value": True, "by": "uwe", "tier": "human", "holds": True, "until": None}
    signed_in.says("GET /api/v1/me", {"user": "ada"})
    signed_in.says("GET /api/v1/devices/fan-1", {"holds": [held]})
    signed_in.says("POST /api/v1/devices/fan-1/release", {"id": "fan-1"})

    _, out, err = cli("devices", "release", "fan-1")
    assert out == "nothing to release: you hold nothing of it\n"
    assert err.splitlines() == [
        "uwe (tier human) holds on = true until released",
        "a configurer ends that: fairlead devices release fan-1 --of uwe",
    ]
    assert cli("devices", "release", "fan-1", "--of", "uwe")[1] == "released fan-1: on\n"
    assert signed_in.asked[-1][1] == b'{"properties":[],"of":"uwe"}'
