"""Sending a load: what is tried again, what is not, and how a call ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fairlead.measure.load import Measured, Plan, run
from fairlead.measure.workload import Item

Answer = tuple[int, Any]
JOB = "/v1/models/m/jobs"


class House:
    """Answers each call with the next of what it was told, the last one again and again."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    def next(self, name: str) -> Answer:
        left = self.answers.get(name) or [(404, {"error": {"code": "not_found"}})]
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def open_house(house: House) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.partition("?")[0]
            house.asked.append((f"{self.command} {path}", self.headers.get("idempotency-key", "")))
            status, value = house.next(path.rsplit("/", 1)[1].replace("-", "_"))
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def sent(house: House, **options: Any) -> Measured:
    with open_house(house) as url:
        given = {"url": url, "token": "", "model": "m", "requests": 1, "workers": 1}
        given["items"] = [Item("1", "application/json", body=b"{}", expected="ada")]
        return asyncio.run(run(Plan(**(given | options)), asyncio.Event(), lambda _: None))


BUSY: Answer = (503, {"error": {"code": "store_busy"}})
KEPT: Answer = (202, {"id": "job-1", "status": "queued"})
DONE: Answer = (200, {"id": "job-1", "status": "succeeded"})


def test_a_job_is_sent_and_asked_for_until_its_answer_is_there_under_one_key() -> None:
    house = House(
        jobs=[BUSY, BUSY, KEPT], job_1=[BUSY, (200, {"status": "running"}), DONE], result=[BUSY, (200, "ada")]
    )
    (call,) = sent(house).calls
    assert call.outcome == "correct"
    keys = [key for asked, key in house.asked if asked == f"POST {JOB}"]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


def test_each_job_has_a_key_of_its_own() -> None:
    house = House(jobs=[KEPT], job_1=[DONE], result=[(200, "ada")])
    assert [call.outcome for call in sent(house, requests=5, workers=3).calls] == ["correct"] * 5
    assert len({key for asked, key in house.asked if asked == f"POST {JOB}"}) == 5


def test_a_job_that_failed_is_told_by_its_code_and_not_tried_again() -> None:
    house = House(jobs=[KEPT], job_1=[(200, {"status": "failed", "error": {"code": "attempts_exhausted"}})])
    (call,) = sent(house).calls
    assert (call.outcome, call.said) == ("failed", "attempts_exhausted")
    (call,) = sent(House(jobs=[KEPT], job_1=[(200, {"status": "canceled", "error": None})])).calls
    assert (call.outcome, call.said) == ("failed", "job_canceled")


def test_a_prediction_is_sent_once_whatever_comes() -> None:
    house = House(predict=[BUSY, (200, {"name": "ada"})])
    (call,) = sent(house, jobs=False).calls
    assert (call.outcome, call.said) == ("failed", "store_busy")
    assert [asked for asked, _ in house.asked].count("POST /v1/models/m/predict") == 1


def test_a_call_that_takes_too_long_has_failed() -> None:
    (call,) = sent(House(jobs=[BUSY]), timeout_s=0.3).calls
    assert (call.outcome, call.said) == ("failed", "timed_out")


def test_nobody_who_answers_is_a_failure_of_each_call() -> None:
    items = [Item("1", "application/json", body=b"{}")]
    plan = Plan(url="http://127.0.0.1:9", token="", model="m", items=items, requests=3, workers=2, jobs=False)
    measured = asyncio.run(run(plan, asyncio.Event(), lambda _: None))
    assert [call.said for call in measured.calls] == ["unreachable: ConnectError"] * 3
    assert not measured.cut


def test_replicas_are_watched_until_there_are_none() -> None:
    looks: list[Answer] = [(200, {"ready": count, "wanted": count, "starting": 0}) for count in (2, 1, 0)]
    house = House(jobs=[KEPT], job_1=[DONE], result=[(200, "ada")], scaling=looks)
    measured = sent(house, settle_s=30)
    assert [look.ready for look in measured.looks] == [2, 1, 0]
