"""``fairlead jobs``: what is said of attempts and ends."""

from __future__ import annotations

import json
import socket
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import session

from .conftest import Door, token

Said = tuple[int, str, str]
VIEW = {"id": "job-1", "model": "m", "version": "1", "status": "queued", "reason": None, "attempts": 0, "error": None}


def says_in_turn(door: Door, call: str, *views: dict[str, Any]) -> None:
    """Answer one view after the other, the last one ever after."""
    left = [(200, json.dumps(VIEW | view).encode(), "application/json") for view in views]

    class Turns(dict[str, tuple[int, bytes, str]]):
        def get(self, asked: str, default: Any = None) -> Any:
            if asked.partition("?")[0] != call:
                return super().get(asked, default)
            return left.pop(0) if len(left) > 1 else left[0]

    door.answers = Turns(door.answers)


def test_wait_tells_each_attempt_that_failed_and_the_end_once(cli: Callable[..., Said], signed_in: Door) -> None:
    said = "attempt {} of 5 failed: boom (model_failed); tried again in {} s"
    end = {
        "status": "failed",
        "reason": "5 attempts failed; the last: boom (model_failed)",
        "error": {"code": "attempts_exhausted", "message": "5 attempts failed; the last: boom (model_failed)"},
    }
    says_in_turn(
        signed_in,
        "GET /api/v1/jobs/job-1",
        {},
        {"attempts": 1, "reason": said.format(1, 1)},
        {"attempts": 1, "reason": said.format(1, 1)},
        {"attempts": 2, "reason": said.format(2, 5)},
        {"attempts": 5, **end},
    )
    code, out, err = cli("jobs", "wait", "job-1")
    assert code == 1
    assert err == f"  {said.format(1, 1)}\n  {said.format(2, 5)}\n"
    assert out == "job-1 m@1 failed: 5 attempts failed; the last: boom (model_failed) (attempts_exhausted)\n"
    asked = [call.partition("?")[2] for call in signed_in.calls]
    assert ["told=0" in one for one in asked] == [False, True, False, False, False]
    assert "told=2" in asked[-1]


def test_show_tells_how_far_it_is_and_when(cli: Callable[..., Said], signed_in: Door) -> None:
    at = "2026-11-20T14:03:0{}.5Z"
    view = {
        "status": "running",
        "reason": "attempt 2 began on m-1",
        "created_at": at.format(0),
        "started_at": at.format(1),
    }
    view |= {"progress": {"step": 3, "total": 60, "note": "half"}, "priority": "batch", "finished_at": None}
    signed_in.says("GET /api/v1/jobs/job-1", VIEW | view)
    assert cli("jobs", "show", "job-1")[1].splitlines() == [
        "job-1 m@1 running: attempt 2 began on m-1",
        "  step 3 of 60: half",
        "  created 2026-11-20 14:03:00Z, began 2026-11-20 14:03:01Z, priority batch",
    ]


def test_wait_tells_how_far_it_is(cli: Callable[..., Said], signed_in: Door) -> None:
    far = [{"status": "running", "progress": {"step": step, "total": 3, "note": ""}} for step in (1, 1, 2)]
    says_in_turn(
        signed_in, "GET /api/v1/jobs/job-1", {}, *far, {"status": "succeeded", "reason": "attempt 1 succeeded"}
    )
    code, out, err = cli("jobs", "wait", "job-1")
    assert (code, err) == (0, "  step 1 of 3\n  step 2 of 3\n")
    assert out == "job-1 m@1 succeeded: attempt 1 succeeded\n"


def test_a_model_that_is_not_there_has_no_jobs(cli: Callable[..., Said], signed_in: Door) -> None:
    error = {"code": "no_such_model", "message": "there is no model slowi", "hint": "did you mean slowy?"}
    signed_in.says("GET /api/v1/models/slowi", {"error": error}, 404)
    for query in ("limit=50&model=slowi", "model=slowi&status=failed&limit=100"):
        signed_in.says(f"GET /api/v1/jobs?{query}", {"items": [], "next": None})
    for words in (("--model", "slowi"), ("replay", "--failed", "slowi")):
        code, _, err = cli("jobs", *words)
        assert code == 3
        assert "did you mean slowy?" in err


def test_a_job_of_a_model_that_is_not_there_names_the_one_that_is(cli: Callable[..., Said], signed_in: Door) -> None:
    error = {"code": "no_such_model", "message": "there is no such model", "hint": "fairlead models"}
    signed_in.says("POST /v1/models/slowly/jobs", {"error": error}, 404)
    signed_in.says("GET /api/v1/models", {"items": [{"name": "slowy"}]})
    code, _, err = cli("jobs", "submit", "slowly", "--set", "n=3")
    assert code == 3
    assert "did you mean slowy? fairlead models" in err


def test_a_cancel_of_what_has_ended_is_a_conflict(cli: Callable[..., Said], signed_in: Door) -> None:
    error = {"code": "job_ended", "message": "job-1 has succeeded already", "hint": "fairlead jobs result job-1"}
    signed_in.says("DELETE /api/v1/jobs/job-1", {"error": error}, 409)
    code, _, err = cli("jobs", "cancel", "job-1")
    assert code == 4
    assert "job-1 has succeeded already" in err


def test_files_are_submitted_as_they_are_with_fields_beside(
    cli: Callable[..., Said], signed_in: Door, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    signed_in.says("POST /v1/models/m/jobs?size=3", {"id": "job-1"}, 202)
    signed_in.says("POST /v1/models/m/jobs", {"id": "job-2"}, 202)

    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert cli("jobs", "submit", "m", *files, "--set", "size=3") == (0, "job-1\njob-1\n", "")
    assert cli("jobs", "submit", "m", "--set", "n=3") == (0, "job-2\n", "")
    assert cli("jobs", "submit", "m", "--body", "[1]", "--idempotency-key", "k") == (0, "job-2\n", "")
    assert [body for _, body in signed_in.asked] == [b"a.png", b"b.png", b'{"n":3}', b"[1]"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("m", "--body", "{}", "--set", "n=3"), "--body is the whole body"),
        (("m", "--set", "n=3", "--set", "n=4"), "--set n is given twice"),
        (("m", "FILE", "FILE", "--idempotency-key", "k"), "submit the files one by one"),
        (("m", "FILE", "--body", "{}"), "--body is the whole body"),
        (("m", "nowhere.png"), "nowhere.png: no such file"),
        (("m", "--json", '{"n": 3}'), "a JSON body as --body"),
        (("../m",), "'../m' is not the name of a model"),
    ],
)
def test_what_would_be_ignored_is_not_submitted(
    cli: Callable[..., Said], signed_in: Door, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "a.png").write_bytes(b"a")

    code, _, err = cli("jobs", "submit", *(str(tmp_path / "a.png") if word == "FILE" else word for word in words))

    assert code in (2, 5)
    assert said in err
    assert signed_in.asked == []


def test_all_failed_jobs_are_replayed_page_by_page(cli: Callable[..., Said], signed_in: Door) -> None:
    pages = {
        "GET /api/v1/jobs": {"items": [{"id": "job-2"}], "next": "job-2"},
        "before": {"items": [{"id": "job-1"}], "next": None},
    }

    class Pages(dict[str, tuple[int, bytes, str]]):
        def get(self, asked: str, default: Any = None) -> Any:
            path, _, query = asked.partition("?")
            if path.startswith("POST"):
                return 200, json.dumps(VIEW | {"id": path.split("/")[-2]}).encode(), "application/json"
            return 200, json.dumps(pages["before" if "before=job-2" in query else path]).encode(), "application/json"

    signed_in.answers = Pages(signed_in.answers)
    code, out, _ = cli("jobs", "replay", "--failed", "m")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["job-2", "job-1"])


RESULT = "GET /api/v1/jobs/job-1/result"


def test_a_result_is_printed_as_it_is(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.answers[RESULT] = (200, b'{"n": 1}', "application/json")
    assert cli("jobs", "result", "job-1")[:2] == (0, '{"n": 1}\n')
    signed_in.answers[RESULT] = (200, b"plain", "text/plain")
    assert cli("jobs", "result", "job-1")[:2] == (0, "plain")


def test_a_long_result_is_written_as_it_comes(cli: Callable[..., Said], signed_in: Door, tmp_path: Path) -> None:
    """Its size is many times what is held of it at once."""
    data = bytes(range(256)) * (64 * 1024)
    signed_in.answers[RESULT] = (200, data, "image/png")
    file = tmp_path / "result.png"
    file.write_bytes(b"before")
    tracemalloc.start()
    try:
        code, out, _ = cli("jobs", "result", "job-1", "-o", str(file))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (code, out) == (0, f"{file}: {len(data)} bytes\n")
    assert file.read_bytes() == data
    assert most < len(data) / 2
    assert list(tmp_path.glob(".*")) == [], "no part is left"


def test_a_result_that_is_cut_off_leaves_what_was_there(cli: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "result.png"
    file.write_bytes(b"before")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def half() -> None:
            taken, _ = server.accept()
            with taken:
                taken.recv(65536)
                taken.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 1000\r\n\r\n" + bytes(500)
                )

        session.keep(session.Session(f"http://127.0.0.1:{server.getsockname()[1]}", token("ada"), "ada"))
        answering = threading.Thread(target=half)
        answering.start()
        code, _, err = cli("jobs", "result", "job-1", "-o", str(file))
        answering.join()
    assert code == 1
    assert "ended in the middle" in err
    assert file.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["result.png"]


def test_a_place_that_cannot_be_written_is_said_before_anything_is_asked(
    cli: Callable[..., Said], signed_in: Door, tmp_path: Path
) -> None:
    code, _, err = cli("jobs", "result", "job-1", "-o", str(tmp_path / "nowhere" / "result.png"))
    assert code == 5
    assert "there is no folder" in err
    assert signed_in.calls == []


def test_a_result_that_is_not_there_is_refused(cli: Callable[..., Said], signed_in: Door, tmp_path: Path) -> None:
    signed_in.says(RESULT, {"error": {"code": "not_ready", "message": "job-1 runs", "hint": "wait"}}, 503)
    code, _, err = cli("jobs", "result", "job-1", "-o", str(tmp_path / "result.png"))
    assert code == 6
    assert "job-1 runs" in err
    assert not (tmp_path / "result.png").exists()
