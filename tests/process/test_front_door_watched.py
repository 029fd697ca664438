"""What a real Envoy lets one see: ids, the access log, figures, spans. And what none of them ever holds."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from tests.process.test_front_door import House, build, eventually, model

from fairlead.clock import SystemClock
from fairlead.gateway import DoorState, DoorStats
from fairlead.keeper.doors.accesslog import AccessLog
from fairlead.messages import Target

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Collector:
    """Takes spans by OTLP over HTTP, as bytes."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.spans = b""
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.paths.add(self.path)
                collector.spans += self._body()
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("transfer-encoding", ""):
                    return self.rfile.read(int(self.headers["content-length"]))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *said: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture(scope="module")
def house(collector: Collector) -> Iterator[House]:
    with ExitStack() as stack:
        made = build(stack)
        one = made.echo("one")
        made.door = msgspec.structs.replace(
            made.door,
            access_log=str(made.folder / "access.log"),
            metrics_socket=made.echo("metrics"),
            otlp=collector.url,
        )
        dotted = model("flowers", versions=("1.3.0",), targets={"production": (Target("1.3.0"),)})
        made.state = DoorState(jwks=made.keys.jwks(), routes=(dotted,), endpoints={"flowers@1.3.0": (one,)})
        made.start()
        yield made


def lines(house: House) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (house.folder / "access.log").read_text().splitlines()]


def line_of(house: House, request: str) -> dict[str, Any]:
    eventually(lambda: any(line["id"] == request for line in lines(house)), f"a line of {request}")
    return next(line for line in lines(house) if line["id"] == request)


def stats(house: House) -> DoorStats:
    async def ask() -> DoorStats:
        gateway = house.gateway()
        try:
            return await gateway.stats()
        finally:
            await gateway.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("given", ["abc-1", "6f1c:42/a=b+c_d.e", "x" * 128])
def test_an_id_that_a_caller_gives_is_kept(house: House, given: str) -> None:
    answer = house.predict("flowers", house.token(), x_request_id=given)

    assert answer.headers["x-request-id"] == given
    assert answer.json["headers"]["x-request-id"] == given


@pytest.mark.parametrize("given", ["a b", "<script>", "x" * 129, "\xff\xfe", "-x", "a\tb"])
def test_an_id_that_none_would_write_to_a_log_is_replaced(house: House, given: str) -> None:
    answer = house.predict("flowers", house.token(), x_request_id=given)

    assert answer.status == 200
    assert answer.headers["x-request-id"] == answer.json["headers"]["x-request-id"]
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 36


def test_a_trace_goes_on_behind_the_front_door(house: House) -> None:
    kept = house.predict("flowers", house.token(), traceparent=PARENT).json["headers"]["traceparent"]
    made = house.predict("flowers", house.token()).json["headers"]["traceparent"]
    wrong = house.predict("flowers", house.token(), traceparent="00-nonsense").json["headers"]

    assert kept.split("-")[1] == TRACE
    assert len(made.split("-")[1]) == 32
    assert kept != made
    assert "nonsense" not in wrong.get("traceparent", "")


def test_each_request_has_a_line_without_secrets(house: House) -> None:
    token = house.token("ada")
    path = "/v1/models/flowers/predict?key=hunter2"
    house.call(
        "POST",
        path,
        token=token,
        body=b'"hunter2"',
        x_request_id="log-1",
        cookie="a=hunter2",
        referer="http://a/?hunter2",
        traceparent=PARENT,
    )
    house.call("POST", path, body=b"{}", x_request_id="log-2", x_fairlead_user="eve")

    taken, refused = line_of(house, "log-1"), line_of(house, "log-2")

    assert taken["said"] == "POST /v1/models/flowers/predict 200"
    assert (taken["user"], taken["model"], taken["trace"]) == ("ada", "flowers@1.3.0", TRACE)
    assert refused["said"] == "POST /v1/models/flowers/predict 401"
    assert "user" not in refused
    text = (house.folder / "access.log").read_text()
    assert "hunter2" not in text
    assert token not in text
    assert token.split(".")[-1] not in text


def test_a_log_that_was_moved_aside_loses_no_line(house: House) -> None:
    path = house.folder / "access.log"

    async def look() -> None:
        gateway = house.gateway()
        try:
            await AccessLog(path, gateway, SystemClock(), limit_bytes=1).look()
        finally:
            await gateway.close()

    house.predict("flowers", house.token(), x_request_id="before-1")
    line_of(house, "before-1")
    asyncio.run(look())
    house.predict("flowers", house.token(), x_request_id="after-1")

    assert line_of(house, "after-1")
    assert "before-1" in path.with_name("access.log.1").read_text()
    assert "before-1" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_requests_are_counted_by_version_and_class(house: House) -> None:
    before = stats(house).versions["flowers@1.3.0"]
    for _ in range(3):
        house.predict("flowers", house.token())
    after = stats(house)

    found = after.versions["flowers@1.3.0"]
    assert found.answered["2xx"] - before.answered["2xx"] == 3
    assert list(after.versions) == ["flowers@1.3.0"]
    assert after.answered["2xx"] >= 3
    eventually(lambda: stats(house).versions["flowers@1.3.0"].duration.count >= found.answered["2xx"], "durations")
    assert 0 <= stats(house).versions["flowers@1.3.0"].duration.total < 60


def test_only_configurers_see_the_figures(house: House) -> None:
    for roles in ((), ("user", "ai_developer", "app_developer")):
        answer = house.call("GET", "/metrics", token=house.token("ada", *roles))
        assert (answer.status, answer.code) == (403, "not_allowed")
    assert house.call("GET", "/metrics", token=house.token("eve", "configurer")).json["who"] == "metrics"
    assert house.call("GET", "/metrics").status == 401


def test_spans_are_exported_without_secrets(house: House, collector: Collector) -> None:
    path = "/v1/models/flowers/predict?key=hunter2"
    house.call("POST", path, token=house.token(), body=b"hunter2", x_request_id="span-1", traceparent=PARENT)

    eventually(lambda: b"span-1" in collector.spans, "the span of the request")

    assert collector.paths == {"/v1/traces"}
    assert bytes.fromhex(TRACE) in collector.spans
    assert b"flowers@1.3.0" in collector.spans
    assert b"/v1/models/flowers/predict" in collector.spans
    assert b"hunter2" not in collector.spans
    assert b"fl_ey" not in collector.spans


@pytest.fixture(scope="module")
def terse() -> Iterator[House]:
    """A front door that keeps only errors, and whose collector is away."""
    with ExitStack() as stack:
        made = build(stack)
        one = made.echo("one")
        made.door = msgspec.structs.replace(
            made.door,
            access_log=str(made.folder / "access.log"),
            access_log_errors_only=True,
            otlp="https://localhost:1/collect/",
        )
        made.state = DoorState(
            jwks=made.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)}, gates={}
        )
        made.start()
        yield made


def test_a_collector_that_is_away_holds_nothing_up(terse: House) -> None:
    answers = [terse.predict("flowers", terse.token()) for _ in range(20)]

    assert {answer.status for answer in answers} == {200}
    assert all("traceparent" in answer.json["headers"] for answer in answers)


def test_a_log_of_errors_has_only_those(terse: House) -> None:
    terse.predict("flowers", terse.token(), x_request_id="good-1")
    terse.predict("flowers", x_request_id="bad-1")

    assert line_of(terse, "bad-1")["status"] == 401
    assert {line["status"] for line in lines(terse)} == {401}
