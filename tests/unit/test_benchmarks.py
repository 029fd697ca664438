"""Benchmarks: all of them run, a missed aim is a result, and the page of peers says what was measured."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from xml.dom import minidom

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("push", "bench", "measure", "peers", "model_server", "front_door", "ledger", "overload"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_missed_aim_is_a_result_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    import bench
    from measure import Aimed

    code = bench.carry_out({"one": lambda: [Aimed("speed", 0.5, 0.85)], "two": lambda: [Aimed("wait", 2, 3, False)]})

    said = capsys.readouterr().out
    assert code == 0
    assert "| speed | 0.50 | ≥ 0.85 | missed |" in said
    assert "| wait | 2.00 | ≤ 3 | met |" in said


def test_what_breaks_keeps_no_other_from_running(capsys: pytest.CaptureFixture[str]) -> None:
    import bench
    from measure import Aimed

    def broken() -> list[Aimed]:
        raise ConnectionError("no server")

    code = bench.carry_out({"broken": broken, "whole": lambda: [Aimed("speed", 1, 0.85)]})

    said = capsys.readouterr()
    assert code == 1
    assert "| speed | 1.00 |" in said.out
    assert "did not run: broken" in said.err


def test_what_other_commands_make_is_named_at_the_end() -> None:
    import bench

    said = bench.others(bench.PAGES.read_text())
    assert "| [elastic](elastic.md) | `make bench-elastic` |" in said
    assert "| [simulate](simulate.md) | `make simulate` |" in said
    assert "peers.md" not in said, "that is made here"
    assert "echo" not in said, "the first table only"


def test_the_page_of_peers_has_a_row_and_a_bar_for_each() -> None:
    import peers
    from measure import Sample

    rounds = {
        "fairlead": [Sample(3000, 1, 2, 0, 50)],
        "echo": [Sample(4000, 1, 2, 0, 40)],
        "mosec": [Sample(2000, 2, 4, 0, 60)],
    }
    results = {"37 floats as JSON, 400 connections": rounds}
    page = peers.report(results, argparse.Namespace(peers=["mosec"], rounds=1, seconds=1))
    picture = minidom.parseString(peers.chart(results))

    assert "| fairlead | 3,000 | ±0% | 1.00 | 2.0 | 50 | 0 |" in page
    assert "over mosec's | 1.50 | ≥ 1.1 | met |" in page
    assert "over echo's | 0.75 | ≥ 0.85 | missed |" in page
    assert "mosec==" in page
    assert len(picture.getElementsByTagName("rect")) == 3


def test_a_push_is_told_by_the_second_at_which_each_step_begins(tmp_path: Path) -> None:
    import push

    kind = push.Kind("onnx", tmp_path, b"{}", totals_s=[1.5, 3.5, 2.5], cpu_s=[1, 2, 3])
    kind.steps_s["sent"] += [0.5, 0.7, 0.6]
    kind.steps_s["answered"] += kind.totals_s
    *_, row = push.table([kind]).splitlines()
    assert row == "| onnx | - | 0.60 | - | - | - | - | 2.50 | 3.50 | 2.00 |"


def test_a_new_model_among_sleeping_ones_is_to_answer_within_a_second_of_being_ready() -> None:
    import idle

    found = idle.Found([idle.Point(30, 1.0, {"keeper": 60}, 0.0, 1)], reached_s=[0.1, 0.3, 1.2])
    said, aim = idle.reached(found), next(one for one in idle.aims(found) if "pushed beside 30" in one.what)
    assert "0.30 s after it is ready (the median of\n3; the slowest 1.20 s)" in said
    assert (aim.result, aim.aim, aim.met) == (1.2, 1, False)
    assert idle.reached(idle.Found()) == ""
