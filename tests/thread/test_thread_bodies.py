"""Bodies that are too long, in chunks, through the whole way: the caller learns why, and the replica goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.thread.kit import model
from tests.thread.rig import Platform, platform

pytestmark = pytest.mark.timeout(300)
ECHO = """
import fairlead


class M(fairlead.Model):
    def predict(self, n: int) -> dict:
        return {"n": n}
"""
LIMIT_MB = 4


def chunks(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes * 16):
        yield b" " * 65_536


def sent(house: Platform, path: str, megabytes: int) -> tuple[int, str]:
    """Return the status and the code of the answer to a body in chunks; whoever is answered early stops sending."""
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    try:
        headers = {"authorization": f"Bearer {house.token}", "content-type": "application/json"}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, body=chunks(megabytes), headers=headers, encode_chunked=True)
        answer = connection.getresponse()
        error = json.loads(answer.read())["error"]
        return answer.status, error["code"] if isinstance(error, dict) else "body_too_large"
    finally:
        connection.close()


def test_s43_a_body_in_chunks_that_is_too_long_is_413_however_long_it_is(tmp_path: Path) -> None:
    with platform(start=False) as house:
        house.home.mkdir()
        (house.home / "settings.toml").write_text(f"body_max_bytes = {LIMIT_MB * 1024**2}\n")
        house.up()
        house.ok("push", str(model(tmp_path / "echo", ECHO, examples="[scale]\nmin = 1\nmax = 1\n")))
        with house.client() as client:
            pid = house.pid_of("replica", "echo")
            most = {"/v1/models/echo/predict": 400, "/v2/models/echo/infer": 400, "/v1/models/echo/jobs": 96}
            for path, longest in most.items():
                found = {megabytes: sent(house, path, megabytes) for megabytes in (LIMIT_MB + 1, 80, longest)}
                assert set(found.values()) == {(413, "body_too_large")}, (path, found)
                assert client.post("/v1/models/echo/predict", json={"n": 1}).json() == {"n": 1}
            assert house.pid_of("replica", "echo") == pid
