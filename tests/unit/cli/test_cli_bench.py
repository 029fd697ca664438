"""``fairlead bench simulate``, and what ``models show`` tells of replicas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli import loading
from fairlead.measure.load import Look, Measured, Plan, Sent

from .conftest import Door

Said = tuple[int, str, str]
WHY = "360 jobs wait; at 0.18 s each, 5 replicas drain them in 15 s"


def test_recorded_calls_are_tried_and_drawn(cli: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("at\n" + "\n".join(str(n / 2) for n in range(200)))
    picture = tmp_path / "calls.svg"

    code, out, said = cli("bench", "simulate", "--trace", str(tmp_path / "calls.csv"), "--picture", str(picture))

    assert code == 0, said
    assert out.splitlines()[2].startswith("| calls: 200 calls in 1.66 min, 0.21 replicas' work | Fairlead |")
    assert picture.read_text().startswith("<svg ")


def test_figures_come_as_json(cli: Callable[..., Said]) -> None:
    words = ("--json", "bench", "simulate", "--load", "steps", "--hours", "0.05", "--max", "3", "--jobs")
    code, out, said = cli(*words)

    assert code == 0, said
    (load,) = json.loads(out)["loads"]
    assert [one["policy"] for one in load["policies"]][:2] == ["Fairlead", "Knative KPA"]


def test_a_file_that_is_no_trace_is_refused(cli: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "no.csv").write_text("when\nsoon\n")

    code, _, said = cli("bench", "simulate", "--trace", str(tmp_path / "no.csv"))

    assert code == 5
    assert "line 2: 'soon' is neither seconds nor a date and time" in said
    assert cli("bench", "simulate", "--trace", str(tmp_path / "none.csv"))[0] == 3


def test_what_cannot_be_simulated_or_drawn_is_told_before_anything_is(cli: Callable[..., Said], tmp_path: Path) -> None:
    code, out, said = cli("bench", "simulate", "--load", "steps", "--picture", str(tmp_path / "none" / "a.svg"))
    assert (code, out) == (5, "")
    assert f"there is no folder {tmp_path / 'none'}" in said

    code, out, said = cli("bench", "simulate", "--load", "steps", "--min", "5", "--max", "2")
    assert (code, out) == (2, "")
    assert "--min 5 is more than --max 2" in said


def test_show_says_how_many_replicas_and_why(cli: Callable[..., Said], signed_in: Door) -> None:
    model = {"name": "m", "url": "u", "summary": "", "aliases": {}, "versions": []}
    now = {"version": "1", "ready": 2, "starting": 3, "wanted": 5, "min": 0, "max": 20, "rule": "queue", "why": WHY}
    decision = {"at": "2026-11-21T15:36:14Z", "version": "1", "from": 2, "to": 5, "rule": "queue", "why": WHY}
    signed_in.says("GET /api/v1/models/m", model)
    signed_in.says("GET /api/v1/models/m/scaling", {"versions": [now], "decisions": [decision] * 9})

    code, out, said = cli("models", "show", "m")

    assert code == 0, said
    lines = out.splitlines()
    assert f"  scaling 1: 2 ready, 3 starting, 5 wanted of 0 to 20: {WHY}" in lines
    assert sum("2 → 5" in line for line in lines) == 5


def test_who_waits_for_replicas_to_leave_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_TOLD_EVERY_S", 0)
    one = Sent("a.jpg", 0, 0, 1, "correct")
    show = loading._progress(Plan(url="", token="", model="m", items=[], requests=2, workers=1, settle_s=75))

    show(Measured([one], [Look(0, 1, 1)]))
    show(Measured([one] * 2, [Look(0, 2, 0)]))

    assert capsys.readouterr().err.splitlines() == [
        "  1 of 2 ended, 0 wrong, 0 failed, 1 replica",
        "  2 of 2 ended, 0 wrong, 0 failed, 2 replicas; waits 75 s at most for all to leave",
    ]
