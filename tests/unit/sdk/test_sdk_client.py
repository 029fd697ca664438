"""The client against a front door of canned answers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

import fairlead


def client_of(answers: dict[tuple[str, str], httpx.Response | list[httpx.Response]]) -> fairlead.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        found = answers[request.method, request.url.path]
        return found.pop(0) if isinstance(found, list) else found

    return fairlead.Client("http://door", "secret", transport=httpx.MockTransport(answer))


def test_predict_returns_the_answer() -> None:
    with client_of({("POST", "/v1/models/m@2/predict"): httpx.Response(200, json={"y": 6})}) as client:
        assert client.model("m@2").predict(x=3) == {"y": 6}


def test_a_refusal_is_an_error_with_everything_it_said() -> None:
    body = {"error": {"code": "queue_full", "message": "1000 wait", "hint": "later", "id": "req-1"}}
    refused = httpx.Response(429, json=body, headers={"retry-after": "3"})
    with client_of({("POST", "/v1/models/m/predict"): refused}) as client, pytest.raises(fairlead.Error) as caught:
        client.model("m").predict(x=3)
    error = caught.value
    assert (error.code, error.hint, error.status, error.retry_after_s) == ("queue_full", "later", 429, 3)


def test_a_proxy_that_speaks_no_json_is_an_error_too() -> None:
    answers = {("POST", "/v1/models/m/predict"): httpx.Response(502, text="<html>bad gateway")}
    with client_of(answers) as client, pytest.raises(fairlead.Error) as caught:
        client.model("m").predict(x=3)
    assert caught.value.status == 502


def test_a_job_is_waited_for_and_its_result_returned() -> None:
    answers = {
        ("POST", "/v1/models/m/jobs"): httpx.Response(202, json={"id": "job-1", "status": "queued"}),
        ("GET", "/api/v1/jobs/job-1"): [
            httpx.Response(200, json={"id": "job-1", "status": "running"}),
            httpx.Response(200, json={"id": "job-1", "status": "succeeded"}),
        ],
        ("GET", "/api/v1/jobs/job-1/result"): httpx.Response(
            200, content=b"\x89PNG", headers={"content-type": "image/png"}
        ),
    }
    with client_of(answers) as client:
        picture = client.model("m").submit(x=1).result(timeout_s=30)
    assert isinstance(picture, fairlead.Image)


def test_a_failed_job_raises_its_error() -> None:
    failed = {"id": "job-1", "status": "failed", "error": {"code": "model_failed", "message": "boom"}}
    answers = {
        ("POST", "/v1/models/m/jobs"): httpx.Response(202, json={"id": "job-1"}),
        ("GET", "/api/v1/jobs/job-1"): httpx.Response(200, json=failed),
    }
    with client_of(answers) as client, pytest.raises(fairlead.Error, match="boom"):
        client.model("m").submit(x=1).result()


def test_an_error_says_every_wrong_field_and_what_to_do() -> None:
    wrong = [
        {"path": name, "rule": "type", "message": f'"x" is not a number ({name})', "hint": ""} for name in ("a", "b")
    ]
    error = {"code": "invalid_input", "message": f"a: {wrong[0]['message']}", "hint": "see the page", "problems": wrong}
    answers = {("POST", "/v1/models/m/predict"): httpx.Response(422, json={"error": error})}

    with client_of(answers) as client, pytest.raises(fairlead.Error) as caught:
        client.model("m").predict(a="x", b="x")

    assert str(caught.value) == 'a: "x" is not a number (a); b: "x" is not a number (b) (hint: see the page)'


def test_nothing_there_is_said_plainly() -> None:
    with (
        fairlead.Client("http://127.0.0.1:1", timeout_s=5, patience_s=0) as client,
        pytest.raises(fairlead.Error) as caught,
    ):
        client.model("m").predict(x=1)
    assert caught.value.code == "unreachable"


def test_a_stream_is_iterated_and_its_error_raised_in_the_middle() -> None:
    said = 'data: "o\u2028ne"\r\n\r\n: still here\n\nevent: error\ndata: {"error": {"code": "model_failed", "message": "out"}}\n\n'
    events = {"content-type": "text/event-stream"}
    answers: dict[tuple[str, str], httpx.Response | list[httpx.Response]] = {
        ("POST", "/v1/models/words/predict"): httpx.Response(200, text=said, headers=events),
        ("POST", "/v1/models/plain/predict"): httpx.Response(200, json=[1, 2]),
        ("POST", "/v1/models/cut/predict"): httpx.Response(200, text="data: 1\n\n", headers=events),
    }
    with client_of(answers) as client:
        pieces = client.model("words").stream(n=2)
        assert next(pieces) == "o\u2028ne"
        with pytest.raises(fairlead.Error, match="out") as caught:
            next(pieces)
        assert caught.value.code == "model_failed"
        assert list(client.model("plain").stream(n=2)) == [[1, 2]]
        with pytest.raises(fairlead.Error, match="middle"):
            list(client.model("cut").stream())


class Front:
    """A front door that answers one after the other; an exception is raised, a function is called."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer

    def client(self, patience_s: float = 30) -> fairlead.Client:
        return fairlead.Client("http://door", "secret", patience_s=patience_s, transport=httpx.MockTransport(self))


REFUSED = httpx.ConnectError("connection refused")
CUT = httpx.ReadError("reset by peer")
AWAY = {"error": {"code": "control_unavailable", "message": "control is away", "hint": ""}}


def test_a_call_that_never_left_is_sent_again() -> None:
    front = Front(REFUSED, REFUSED, httpx.Response(200, json=6))
    assert front.client().model("m").predict(x=3) == 6


@pytest.mark.parametrize("answer", [CUT, httpx.Response(503, json=AWAY), httpx.Response(429, json=AWAY)])
def test_a_call_that_left_is_never_repeated(answer: Any) -> None:
    front = Front(answer, httpx.Response(200, json=6))
    with pytest.raises(fairlead.Error):
        front.client().model("m").predict(x=3)
    assert len(front.seen) == 1


def test_patience_ends() -> None:
    front = Front(*[REFUSED] * 100)
    with pytest.raises(fairlead.Error, match="connection refused") as caught:
        front.client(patience_s=0.25).model("m").predict(x=3)
    assert caught.value.code == "unreachable"
    assert 1 < len(front.seen) < 10
    with pytest.raises(fairlead.Error):
        (never := Front(REFUSED)).client(patience_s=0).model("m").predict(x=3)
    assert len(never.seen) == 1


def test_a_job_is_submitted_again_under_the_same_key() -> None:
    accepted = httpx.Response(202, json={"id": "job-1"})
    front = Front(CUT, httpx.Response(503, json=AWAY), accepted, httpx.Response(202, json={"id": "job-2"}))
    model = front.client().model("m")
    assert [model.submit(x=1).id, model.submit(x=1).id] == ["job-1", "job-2"]
    keys = [one.headers["idempotency-key"] for one in front.seen]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_a_job_has_the_deadline_priority_callback_and_key_that_were_asked_for() -> None:
    front = Front(*[httpx.Response(202, json={"id": "job-1"}) for _ in range(3)])
    model = front.client().model("m")
    moment = datetime(2026, 11, 20, 15, 3, tzinfo=timezone(timedelta(hours=1)))
    asked = model.with_options(deadline=60, priority="batch", callback="https://example.org/done", key="order-1")
    asked.submit(x=1)
    asked.with_options(deadline=moment).submit(x=1)
    model.submit(x=1)

    first, second, third = (one.headers for one in front.seen)
    names = ("x-deadline", "x-priority", "x-callback-url", "idempotency-key")
    assert [first.get(name) for name in names] == ["60", "batch", "https://example.org/done", "order-1"]
    assert [second.get(name) for name in names[:2]] == ["2026-11-20T14:03:00Z", "batch"]
    assert [third.get(name) for name in names[:3]] == [None, None, None]
    with pytest.raises(fairlead.Error, match="without a zone"):
        model.with_options(deadline=datetime(2026, 11, 20))


def test_waiting_outlives_a_control_that_is_away() -> None:
    final = httpx.Response(200, json={"id": "job-1", "status": "succeeded"})
    running = httpx.Response(200, json={"id": "job-1", "status": "running"})
    front = Front(httpx.Response(202, json={"id": "job-1"}), running, CUT, httpx.Response(503, json=AWAY), running)
    front.answers += [final, httpx.Response(200, json=7)]
    assert front.client().model("m").submit(x=1).result(timeout_s=60) == 7
    assert "wait" in front.seen[2].url.params


def test_events_go_on_after_a_cut() -> None:
    kind = {"content-type": "text/event-stream"}
    front = Front(
        httpx.Response(200, json={"id": "job-1"}),
        httpx.Response(200, text='event: progress\ndata: {"step": 1}\n\n', headers=kind),
        REFUSED,
        httpx.Response(200, text='event: done\ndata: {"step": 2}\n\n', headers=kind),
    )
    events = front.client().job("job-1").events()
    assert list(events) == [("progress", {"step": 1}), ("done", {"step": 2})]


def test_fields_beside_a_file_are_the_query(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    front = Front(*(httpx.Response(200, json=1) for _ in range(3)))
    model = front.client().model("m")
    model.predict(fairlead.File(b"abc", media_type="text/x"), n=2, on=True, tags=["a", "é"], note=None, word="3")
    model.predict(tmp_path / "cat.png")
    model.predict(b"GIF8")
    first, second, third = front.seen
    assert (first.content, first.headers["content-type"]) == (b"abc", "text/x")
    assert first.url.params.multi_items() == [("n", "2"), ("on", "true"), ("tags", "a"), ("tags", "é"), ("word", "3")]
    assert (second.headers["content-type"], third.headers["content-type"]) == ("image/png", "image/gif")


def test_a_row_and_fields_beside_it_are_refused() -> None:
    with pytest.raises(fairlead.Error, match="either one argument or named fields"):
        Front().client().model("m").predict({"x": 1}, y=2)
