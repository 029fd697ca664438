"""Objectives as people meet them: missed on purpose, alerts that arrive, figures that outlive every restart."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.thread.kit import model
from tests.thread.rig import Platform, platform, until

from fairlead.jobs import signing

pytestmark = pytest.mark.timeout(300)
CODE = """
import time

import fairlead


class M(fairlead.Model):
    def predict(self, wait_s: float = 0.2) -> dict:
        time.sleep(wait_s)
        return {"waited_s": wait_s}
"""
SLO = "[scale]\nmin = 1\nmax = 1\n[slo]\nlatency_ms = 100\npercentile = 90\navailability = 99.9\n"
TO = "ops@example.org"


class _Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a letter needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            match line[:4].upper():
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (part := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(part)
                    self.server.letters.append(b"".join(lines).decode())  # type: ignore[attr-defined]
                    self.wfile.write(b"250 ok\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case b"EHLO" | b"HELO" | b"MAIL" | b"RCPT" | b"RSET":
                    self.wfile.write(b"250 ok\r\n")
                case _:
                    self.wfile.write(b"502 no\r\n")


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.calls.append((dict(self.headers.items()), body))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Post(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def receivers() -> Iterator[tuple[Any, Any]]:
    """Yield a mail server with its ``letters``, and a web server with its ``calls``."""
    post, web = _Post(("127.0.0.1", 0), _Smtp), ThreadingHTTPServer(("127.0.0.1", 0), _Hook)
    post.letters, web.calls = [], []  # type: ignore[attr-defined]
    for server in (post, web):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield post, web
    finally:
        for server in (post, web):
            server.shutdown()
            server.server_close()


def objective(house: Platform, name: str, which: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = house.view("slo", name)["objectives"]
    return next(one for one in found if one["objective"] == which)


def counted(house: Platform, name: str, which: str = "latency") -> tuple[int, int]:
    """Return what counts of the last 30 days, and what of it was bad."""
    window = objective(house, name, which)["windows"][-1]
    return window["valid"], window["bad"]


def comes_to(house: Platform, name: str, wanted: tuple[int, int], what: str) -> None:
    """Wait until so much is counted of the latency, and of it bad; fails with what is counted."""
    seen: list[tuple[int, int]] = []

    def look() -> bool:
        seen[:] = [counted(house, name)]
        return seen == [wanted]

    try:
        until(look, what)
    except AssertionError as error:
        raise AssertionError(f"{what}: {seen} instead of {wanted}") from error


def firing(house: Platform, name: str) -> list[str]:
    return [one["name"] for one in objective(house, name, "latency")["alerts"] if one["firing"]]


def call(house: Platform, name: str, times: int, wait_s: float = 0.2) -> None:
    with house.client() as client:
        for _ in range(times):
            answer = client.post(f"/v1/models/{name}/predict", json={"wait_s": wait_s})
            assert answer.status_code == 200, answer.text


def test_an_objective_that_is_missed_is_told_once_and_once_that_it_is_over(tmp_path: Path) -> None:
    folder = model(tmp_path / "slow", CODE, examples=SLO)
    with receivers() as (post, web), platform(start=False) as house:
        house.more_env = {
            "FAIRLEAD_SLO_HOUR_S": "60",
            "FAIRLEAD_MAIL": f"smtp://127.0.0.1:{post.server_address[1]}",
            "FAIRLEAD_CALLBACK_HOSTS": "127.0.0.1",
        }
        house.up()
        house.ok("push", str(folder))
        assert house.cli("slo", "nothing").returncode == 3
        hook = f"http://127.0.0.1:{web.server_address[1]}/alerts"
        assert "callback_secret_missing" in house.cli("slo", "slow", "--webhook", hook).stderr
        secret = house.view("jobs", "secret")["secret"]
        assert "callback_private" in house.cli("slo", "slow", "--webhook", "http://10.1.2.3/").stderr
        assert "mail_invalid" in house.cli("slo", "slow", "--mail", "nobody").stderr
        assert TO in house.ok("slo", "slow", "--mail", TO, "--webhook", hook)

        calls = 0

        def fires() -> bool:
            nonlocal calls
            call(house, "slow", 3)
            calls += 3
            return bool(firing(house, "slow"))

        until(fires, "the alert fires", 60)
        until(lambda: post.letters, "the letter arrives")
        until(lambda: web.calls, "the webhook is called")
        assert "Subject: slow: latency alert" in post.letters[0]
        assert "90 % of answers take less than 100 ms" in post.letters[0]
        headers, body = web.calls[0]
        said = json.loads(body)
        assert (said["type"], said["data"]["model"], said["data"]["objective"]) == ("slo.firing", "slow", "latency")
        stamp = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signing.sign(secret, headers["webhook-id"], stamp, body)
        with house.client() as client:
            figures = client.get("/metrics").text
        name = said["data"]["alert"]
        severity = said["data"]["severity"]
        labels = f'model="slow",objective="latency",alert="{name}",severity="{severity}"'
        until(lambda: f"fairlead_slo_alert{{{labels}}} 1" in _metrics(house), "it is in the figures")
        assert 'fairlead_slo_target{model="slow",objective="availability"} 0.999' in figures

        comes_to(house, "slow", (calls, calls), "each call is counted, as slow")
        assert objective(house, "slow", "availability")["attainment"] == 1.0
        until(lambda: name not in firing(house, "slow"), "the alert is over", 90)
        told = lambda: {json.loads(body)["type"] for _, body in web.calls if json.loads(body)["data"]["alert"] == name}  # noqa: E731
        until(lambda: told() == {"slo.firing", "slo.resolved"}, "it is told that it is over")
        until(lambda: len([one for one in post.letters if f"alert {name} " in one]) == 2, "by mail too")
        letters = [line for one in post.letters for line in one.splitlines() if line.startswith("Subject:")]
        assert len(letters) == len(set(letters)), "nothing is told twice"
        assert "fired from" in house.ok("slo", "slow")


def _metrics(house: Platform) -> str:
    with house.client() as client:
        return client.get("/metrics").text


def test_what_was_counted_outlives_every_restart_and_counts_once(tmp_path: Path) -> None:
    folder = model(tmp_path / "mixed", CODE, examples=SLO)
    with platform(start=False) as house:
        house.more_env = {"FAIRLEAD_SLO_HOUR_S": "60"}
        house.up()
        house.ok("push", str(folder))
        call(house, "mixed", 4)
        call(house, "mixed", 6, 0.0)
        with house.client() as client:
            wrong = client.post("/v1/models/mixed/predict", json={"wait_s": "soon"})
            assert wrong.status_code == 422
        comes_to(house, "mixed", (10, 4), "calls are counted, those of wrong input not")
        assert counted(house, "mixed", "availability") == (10, 0)

        os.kill(house.pids()["envoy"], signal.SIGKILL)
        until(lambda: _answers(house), "the front door is back")
        seen = counted(house, "mixed")[0]
        call(house, "mixed", 3)
        comes_to(house, "mixed", (seen + 3, 7), "another front door counts on")

        assert house.process is not None
        os.kill(house.process.pid, signal.SIGKILL)  # the keeper: all others live on
        house.process.wait(30)
        call(house, "mixed", 2)
        house.up()
        call(house, "mixed", 1)
        comes_to(house, "mixed", (seen + 6, 10), "what was called while the keeper was away counts too")

        house.down()
        house.up()
        assert counted(house, "mixed") == (seen + 6, 10)
        call(house, "mixed", 1)
        comes_to(house, "mixed", (seen + 7, 11), "and it goes on")

        with house.client() as client:
            job = client.post("/v1/models/mixed/jobs", json={"wait_s": 0.0})
            assert job.status_code == 202
        until(lambda: "jobs: " in house.ok("slo", "mixed"), "jobs are counted when they have ended")
        assert counted(house, "mixed", "jobs") == (1, 0)
        _check_exports(house)


def _answers(house: Platform) -> bool:
    try:
        with house.client() as client:
            return client.get("/api/v1/models/mixed/slo").status_code == 200
    except httpx.TransportError:
        return False


def _check_exports(house: Platform) -> None:
    """What is exported can be read, and speaks of figures that there are."""
    slos = house.ok("slo", "mixed", "--export", "openslo")
    assert [name for name in ("availability", "latency", "jobs") if f'name: "mixed-{name}"' in slos] == [
        "availability",
        "latency",
        "jobs",
    ]
    rules = house.ok("slo", "mixed", "--export", "prometheus")
    assert rules.count("- name: ") == 3
    assert "fairlead_slo_events_total{" in rules
    assert 'fairlead_slo_events_total{model="mixed",objective="latency",outcome="bad"}' in _metrics(house)
    assert house.cli("slo", "mixed", "--export", "nagios").returncode == 3
