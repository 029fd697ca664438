"""Files of devices, and what the command line does with types, places and simulations."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli import devicefile
from fairlead.errors import Invalid

from .conftest import Door

Said = tuple[int, str, str]
BATCH = "POST /api/v1/devices/batch"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    file = tmp_path / "lab.csv"
    file.write_text("\ufeffid,type,at\nt1,temperature,lab\n\n fan-1 ,fan,lab\n", encoding="utf-8")
    return file


def view(device: str) -> dict[str, str]:
    return {"id": device, "mqtt": "mqtt://h:1883", "password": f"secret-{device}"}


def test_lines_keep_their_numbers(lab: Path) -> None:
    rows = devicefile.read(lab)
    assert [(row.line, row.item["id"], row.item["type"]) for row in rows] == [
        (2, "t1", "temperature"),
        (4, "fan-1", "fan"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks id, type, at"),
        ("id,type\nx,fan\n", "lacks at"),
        ("id,type,at,color\nx,fan,lab,red\n", "has color"),
        ("id,type,at\n", "names no device"),
        ("id,type,at\nx,fan\n", "1 line cannot be read"),
        ('id,type,at,title\nx,fan,lab,"open\ny,fan,lab,b\n', "line 3: unexpected end of data"),
        ("id,type,at\nx,fan," + "l" * 200_000 + "\n", "line 2: field larger than field limit"),
        ("id,type,at\nx,,lab\ny,fan,lab,z\n", "2 lines cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_told_by_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(Invalid) as refused:
        devicefile.read(file)
    assert said in refused.value.message
    assert all(problem.line for problem in refused.value.problems)


def test_passwords_go_to_a_file_of_the_owner_alone(signed_in: Door, cli: Callable[..., Said], lab: Path) -> None:
    signed_in.says(BATCH, {"items": [view("t1"), view("fan-1")], "next": None}, 201)
    target = lab.with_name("passwords.csv")
    code, out, _ = cli("devices", "add", "--file", str(lab), "--passwords", str(target))
    assert (code, "secret" in out) == (0, False)
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.read_text().splitlines()[2] == "fan-1,mqtt://h:1883,fan-1,secret-fan-1"
    sent = json.loads(next(body for call, body in signed_in.asked if call == BATCH))
    assert [one["id"] for one in sent["items"]] == ["t1", "fan-1"]
    asked = len(signed_in.asked)
    code, _, err = cli("devices", "add", "--file", str(lab), "--passwords", str(target))
    assert (code, "is there already" in err, len(signed_in.asked)) == (4, True, asked)


def test_a_refusal_names_lines_and_leaves_no_file(signed_in: Door, cli: Callable[..., Said], lab: Path) -> None:
    problems = [{"path": "1.type", "rule": "x", "message": "no type fan", "hint": ""}]
    problems.append({"path": "0.at", "rule": "x", "message": "no place lab", "hint": ""})
    error = {"code": "devices_invalid", "message": "2 of 2 devices cannot be registered", "problems": problems}
    signed_in.says(BATCH, {"error": error}, 422)
    target = lab.with_name("passwords.csv")
    code, out, err = cli("devices", "add", "--file", str(lab), "--passwords", str(target))
    assert (code, out, target.exists()) == (5, "", False)
    assert "type (line 4): no type fan" in err
    assert "at (line 2): no place lab" in err


@pytest.mark.parametrize(
    "words",
    [
        ("devices", "add", "t1"),
        ("devices", "add", "t1", "--file", "x.csv"),
        ("devices", "add", "t1", "--type", "fan", "--at", "lab", "--passwords", "x"),
        ("simulate", "lab", "--fault", "stuck"),
        ("locations", "set", "lab"),
    ],
)
def test_words_that_do_not_go_together_are_wrong_usage(
    signed_in: Door, cli: Callable[..., Said], words: tuple[str, ...]
) -> None:
    assert cli(*words)[0] == 2


@pytest.mark.parametrize("fault", ["t1=stuck", "t1:stuck"])
def test_simulate_says_what_is_simulated_and_what_is_left_alone(
    signed_in: Door, cli: Callable[..., Said], fault: str
) -> None:
    shown = {"at": "lab", "speed": 60.0, "faults": {"t1": "stuck"}, "devices": ["t1"], "left": ["fan-1"]}
    signed_in.says("PUT /api/v1/simulations/lab", shown)
    code, out, err = cli("simulate", "lab", "--speed", "60", "--fault", fault)
    assert (code, out) == (0, "lab: 1 device simulated at speed 60, t1=stuck\n")
    assert "fan-1" in err
    assert json.loads(signed_in.asked[-1][1]) == {"speed": 60.0, "faults": {"t1": "stuck"}, "media": None}


def test_recordings_are_sent_along(signed_in: Door, cli: Callable[..., Said], tmp_path: Path) -> None:
    shown = {"at": "lab", "speed": 1, "faults": {}, "devices": ["c1"], "left": []}
    signed_in.says("PUT /api/v1/simulations/lab", shown)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    words = [f"c1={tmp_path / name}" for name in ("a.jpg", "b.jpg")]
    assert cli("simulate", "lab", "--play", words[0], "--play", words[1])[0] == 0
    sent = json.loads(signed_in.asked[-1][1])["media"]["c1"]
    assert [base64.b64decode(each)[3:] for each in sent] == [b"a.jpg", b"b.jpg"]
    assert cli("simulate", "lab", "--play", "c1=nowhere.jpg")[0] == 2


def test_places_are_listed_as_a_tree(signed_in: Door, cli: Callable[..., Said]) -> None:
    places = [{"path": path, "zone": "UTC", "title": ""} for path in ("campus", "campus/lab", "campus/lab/desk")]
    signed_in.says("GET /api/v1/locations", {"items": places, "next": None})
    code, out, _ = cli("locations")
    assert (code, out) == (0, "PATH      ZONE\ncampus    UTC\n  lab     UTC\n    desk  UTC\n")


def test_a_type_is_shown_as_a_thing_model(signed_in: Door, cli: Callable[..., Said]) -> None:
    signed_in.says("GET /api/v1/types/fan/td", {"@type": "tm:ThingModel", "title": "Fan"})
    code, out, _ = cli("types", "show", "fan", "--td")
    assert (code, json.loads(out)["title"]) == (0, "Fan")
