"""Raw bytes at the front door: a whole platform under attack by what no client would send.

Ids in docstrings: the list of attacks (S-01 to S-74). A refusal is asserted by its exact code: an open door and a
broken one look alike to "not 200".
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from tests.thread.town import (
    Town,
    level,
    outcome,
    predict,
    raw,
    refused,
    request,
    town,
)

__all__ = ["level", "town"]
pytestmark = pytest.mark.timeout(300)

# --- raw bytes (S-20, S-40, S-41, S-42, S-43) -------------------------------------------------------------------------


API = "/api/v1/users"
PATHS = [
    ("//api/v1/users", 401, "token_required"),
    ("/api//v1///users", 401, "token_required"),
    ("/./api/v1/users", 401, "token_required"),
    ("/api/./v1/users", 401, "token_required"),
    ("/api/v1/./users", 401, "token_required"),
    ("/x/../api/v1/users", 401, "token_required"),
    ("/healthz/../api/v1/users", 401, "token_required"),
    ("/healthz/%2e%2e/api/v1/users", 401, "token_required"),
    ("/healthz/%2E%2E/api/v1/users", 401, "token_required"),
    ("/healthz/.%2e/api/v1/users", 401, "token_required"),
    ("/api/v1/login/../users", 401, "token_required"),
    ("/api/v1/login/%2e%2e/users", 401, "token_required"),
    ("/v1/models/open/predict/../../victim/predict", 401, "token_required"),
    ("/v1/models/open/%2e%2e/victim/predict", 401, "token_required"),
    ("/v1/models/open/../../../api/v1/users", 401, "token_required"),
    ("/%61pi/v1/users", 401, "token_required"),
    ("/api/v1/%75sers", 401, "token_required"),
    ("/v1/models/victi%6d/predict", 401, "token_required"),
    ("/api/v1/users/", 401, "token_required"),
    ("/api/v1/users?x=/healthz", 401, "token_required"),
    ("/api/v1/users?;/healthz", 401, "token_required"),
    ("/api/v1/login/users", 404, "not_found"),
    ("/api%2fv1/users", 400, "bad_path"),
    ("/api%2Fv1/users", 400, "bad_path"),
    ("/healthz%2f..%2fapi/v1/users", 400, "bad_path"),
    ("/api%5cv1/users", 400, "bad_path"),
    ("/api\\v1\\users", 401, "token_required"),
    ("\\api\\v1\\users", 400, "bad_request"),
    ("/api/v1/users;x=y", 400, "bad_path"),
    ("/api;x=y/v1/users", 400, "bad_path"),
    ("/api/v1/users%3bx=y", 400, "bad_path"),
    ("/api/v1/users%3Bx", 400, "bad_path"),
    ("/healthz;/../api/v1/users", 401, "token_required"),
    ("/healthz/..;/api/v1/users", 401, "token_required"),
    ("/api/v1/users%00", 400, "bad_path"),
    ("/api/v1/users#x", 400, "bad_path"),
    ("/../../api/v1/users", 401, "token_required"),
    ("/API/v1/users", 404, ""),
    ("/Api/V1/users", 404, ""),
    ("/api/v1/users%20", 401, "token_required"),
    ("/%252e%252e/api/v1/users", 404, ""),
    ("/api/v1/users\t", 401, "token_required"),
    ("*", 400, ""),
    ("http://x/api/v1/users", 401, "token_required"),
    ("http://evil.example/api/v1/users", 401, "token_required"),
    ("http://x@y/api/v1/users", 401, "token_required"),
    ("HTTP://x/api/v1/users", 401, "token_required"),
    ("http://x//api/v1/users", 401, "token_required"),
]


def test_s07_s20_s41_path_tricks_open_nothing(town: Town) -> None:
    """S-07, S-20, S-41: neither the API nor a model is reached by writing its path in another way."""
    wrong = []
    for path, status, code in PATHS:
        for method in ("GET", "POST", "DELETE"):
            answer = raw(town, request(f"{method} {path} HTTP/1.1"))
            said = outcome(answer)
            if said != (status, code or said[1]) or b"admin" in answer:
                wrong.append((method, path, said))
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    ["CONNECT x:80 HTTP/1.1", f"GET {API} HTTP/1.0", f"GET {API}", f"GET {API} HTTP/3.0", f"G\x01T {API} HTTP/1.1"],
)
def test_s41_odd_request_lines_open_nothing(town: Town, line: str) -> None:
    """S-41: CONNECT and other versions of HTTP are refused, and the front door lives."""
    before = town.platform.pids()["envoy"]
    answer = raw(town, request(line))
    assert outcome(answer)[0] in (0, 400, 401, 403, 404, 426, 505), answer[:300]
    assert town.platform.pids()["envoy"] == before
    assert outcome(raw(town, request("GET /healthz HTTP/1.1")))[0] == 200


def smuggle(town: Town, *headers: str, body: bytes, token: str) -> bytes:
    """Send a request of doubtful framing with another one in its body, and all that is answered."""
    lines = ["GET /v1/models/hostile/docs HTTP/1.1", "host: x", f"authorization: Bearer {token}", *headers, "", ""]
    return raw(town, "\r\n".join(lines).encode("latin-1") + body, until_closed=True)


MARKER = b"DELETE /api/v1/devices/t2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
FRAMING = [
    ["content-length: 4", "transfer-encoding: chunked"],
    ["transfer-encoding: chunked", "content-length: 4"],
    ["transfer-encoding: chunked", "transfer-encoding: identity"],
    ["transfer-encoding: identity", "transfer-encoding: chunked"],
    ["transfer-encoding: chunked, identity"],
    ["transfer-encoding: xchunked"],
    ["transfer-encoding: \x0bchunked"],
    ["transfer-encoding : chunked"],
    ["transfer-encoding:\tchunked\t, chunked"],
    ["transfer_encoding: chunked", "content-length: 4"],
    ["content-length: 4", "content-length: 5"],
    ["content-length: 4, 5"],
    ["content-length: +4"],
    ["content-length: -1"],
    ["content-length: 0x4"],
    ["content-length: 4 4"],
    ["content-length : 4"],
    ["content-length: 99999999999999999999999"],
    ["x: y\r\n content-length: 4", "content-length: 4x"],
    ["x: a\x00b"],
    [": empty"],
    ["bad header"],
]


HARMLESS = [
    ["x: a\rtransfer-encoding: chunked", "content-length: 5"],
    ["host: y", "content-length: 5"],
    ["content-length: 5", "content-length: 5"],
]
"""Taken by some: then both read the same, and what follows is a request of its own, without this one's token."""


def test_s40_doubtful_framing_is_refused(town: Town) -> None:
    """S-40: what two parsers might read in two ways is refused whole; the request inside never has this one's token."""

    def answers(headers: list[str]) -> list[int]:
        answer = smuggle(town, *headers, body=b"0\r\n\r\n" + MARKER, token=town.tokens["admin"])
        return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]

    with ThreadPoolExecutor(8) as pool:
        found = list(zip(FRAMING, pool.map(answers, FRAMING), strict=True))
        taken = list(zip(HARMLESS, pool.map(answers, HARMLESS), strict=True))
    assert [item for item in found if item[1] not in ([400], [501])] == []
    assert [item for item in taken if item[1] not in ([200, 401], [200, 400], [400])] == []
    assert town.api("GET", "/devices/t2")["status"] != "retired"


CHUNKS = [
    b"4;ext=\r\nabcd\r\n0\r\n\r\n",
    b"4;\nabcd\r\n0\r\n\r\n",
    b"4\nabcd\n0\n\n",
    b"4\r\nabcdX\r\n0\r\n\r\n",
    b"-4\r\nabcd\r\n0\r\n\r\n",
    b"0x4\r\nabcd\r\n0\r\n\r\n",
    b"+4\r\nabcd\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFFF\r\nabcd\r\n0\r\n\r\n",
    b"4\r\nabcd\r\n0\r\ncontent-length: 100\r\n\r\n",
]


def test_s40_odd_chunks_carry_no_second_request(town: Town) -> None:
    """S-40: front door and model server agree where a body ends: a request behind it is answered as one of its own,
    without the token of the first."""
    tail = b"GET /api/v1/users HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    line = ["POST /v1/models/hostile/predict HTTP/1.1", "host: x", f"authorization: Bearer {town.tokens['bob']}"]
    head = "\r\n".join([*line, "transfer-encoding: chunked", "", ""]).encode()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda chunks: raw(town, head + chunks + tail, until_closed=True), CHUNKS))
    for chunks, answer in zip(CHUNKS, answers, strict=True):
        statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
        assert statuses, (chunks, answer)
        assert all(status in (400, 401, 413, 415, 422) for status in statuses), (chunks, answer)
        assert statuses[1:] in ([], [401]), (chunks, answer)
        assert b'"items"' not in answer, chunks


def test_s41_bytes_above_ascii_and_many_cookies_harm_nothing(town: Town) -> None:
    """S-41: 8-bit header bytes and thousands of cookie crumbs: 4xx, the front door stays and does not swell."""
    pid = town.platform.pids()["envoy"]
    before = psutil.Process(pid).memory_info().rss
    crumbs = [f"cookie: c{number}=x" for number in range(2000)]
    assert outcome(raw(town, request(f"GET {API} HTTP/1.1", *crumbs)))[0] == 431
    assert outcome(raw(town, request(f"GET {API} HTTP/1.1", "cookie: " + "a=b; " * 5000)))[0] == 401
    assert outcome(raw(town, request(f"GET {API} HTTP/1.1", "x: " + "y" * 200_000)))[0] in (0, 431)
    assert outcome(raw(town, request(f"GET {API} HTTP/1.1", "x: \xff\xfe", "authorization: Bearer \xff")))[0] in (
        400,
        401,
    )
    assert town.platform.pids()["envoy"] == pid
    assert psutil.Process(pid).memory_info().rss - before < 50 * 1024**2


def test_s42_headers_that_clients_forge_reach_no_bundle(town: Town) -> None:
    """S-42: names of ours, of Envoy's and of proxies are removed; the token and the cookie never arrive."""
    token = town.tokens["bob"]
    forged = {f"x-fairlead-{name}": "forged" for name in ("user", "role", "token", "gate", "model", "audience", "else")}
    forged |= {"X-FAIRLEAD-USER": "forged", "x-forwarded-for": "6.6.6.6", "x-forwarded-host": "forged"}
    forged |= {"x-envoy-original-path": "/forged", "x-envoy-expected-rq-timeout-ms": "1", "x-real-ip": "6.6.6.6"}
    forged |= {"cookie": f"mine=1; fl_session={token.removeprefix('fl_')}", "x-api-key": token}
    answer = predict(town, "hostile", "bob", [["headers"]], headers=forged)
    assert answer.status_code == 200, answer.text
    said = answer.json() if isinstance(answer.json(), str) else json.dumps(answer.json())
    assert "forged" not in said
    assert "x-fairlead-user" in said, said
    assert "bob" in said
    for text in (token.removeprefix("fl_"), "fl_session", "authorization", "x-api-key", "6.6.6.6,"):
        assert text not in said, text


@pytest.mark.parametrize("page", ["page", "program"])
def test_s42_a_page_gets_neither_token_nor_cookie(town: Town, page: str) -> None:
    """S-42: the platform's cookie is taken out, the page's own stays."""
    token = town.tokens["bob"]
    host = f"{page}.apps.localhost:{town.platform.port}"
    for headers in (
        {"cookie": f"mine=1; fl_session={token.removeprefix('fl_')}; fl_session=again"},
        {"authorization": f"Bearer {token}", "cookie": "mine=1"},
        {"x-api-key": token, "cookie": "mine=1"},
    ):
        more = {"host": host, "x-fairlead-user": "admin", "x-fairlead-gate": "forged", "x-forwarded-host": "evil"}
        answer = town.call("GET", "/", "", headers=headers | more)
        assert answer.status_code == 200, answer.text
        seen = {name.lower(): value for name, value in answer.json().items()}
        assert seen["cookie"] == "mine=1"
        assert seen["x-fairlead-user"] == "bob"
        assert "x-fairlead-gate" not in seen
        assert token.removeprefix("fl_") not in answer.text
        assert "evil" not in answer.text


def test_s42_underscores_in_names_are_refused(town: Town) -> None:
    """S-42: some servers read ``X_Fairlead_User`` as ``X-Fairlead-User``."""
    for name in ("X_Fairlead_User", "x_fairlead_gate", "content_length"):
        assert outcome(raw(town, request("GET /healthz HTTP/1.1", f"{name}: admin")))[0] == 400


def test_s64_a_replica_answers_its_gate_alone(town: Town) -> None:
    """S-07, S-64: who gets to a replica's socket (root, here) without its own secret is refused, whatever is claimed."""
    sockets = sorted(town.home.run.glob("*/*/serve.sock"))
    assert len(sockets) >= 3
    gates = {value for name, value in town.canaries.items() if name == "gate of victim"}
    for path in sockets:
        name = "victim" if path.parts[-3].startswith("victim") else "hostile"
        claims = {"x-fairlead-user": "admin", "x-fairlead-role": "configurer", "x-fairlead-model": f"{name}@1"}
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://replica") as client:
            wrong = ["", "forged", *(gates if name != "victim" else ())]
            for gate in wrong:
                answer = client.post(f"/v1/models/{name}/predict", json={}, headers=claims | {"x-fairlead-gate": gate})
                refused(answer, 403, "gate_required")
