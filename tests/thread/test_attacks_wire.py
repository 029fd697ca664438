"""What attackers write on the wire, and what hostile bundles write back: HTTP/2, bodies, answers, logs.

Ids in names: the list of attacks. The town is the one of ``town.py``; its model ``kinds`` takes every kind of body.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests import http2
from tests.thread.rig import LATE_S, until
from tests.thread.town import MODEL, Town, ask, outcome, predict, raw, request, town

__all__ = ["town"]
pytestmark = pytest.mark.timeout(300)
ENVOY_MORE_BYTES = 50 * 1024**2
KINDS = """
import fairlead


class Kinds(fairlead.Model):
    def predict(self, text: str = "", n: int = 0) -> dict:
        return {"text": text, "n": n}

    def echo(self, file: fairlead.File) -> fairlead.File:
        return fairlead.File(file.read(), name=file.name, media_type=file.media_type)

    def typed(self, kind: str) -> fairlead.File:
        return fairlead.File(b"x", media_type=kind)

    def picture(self, image: fairlead.Image) -> str:
        return image.media_type

    def fails(self, what: str) -> str:
        open("/srv/nowhere/" + what)
        return what

    def says(self, text: str) -> int:
        print(text, flush=True)
        return len(text)
"""


@pytest.fixture(scope="module")
def kinds(town: Town) -> Town:
    """The town with a model that takes every kind of body."""
    manifest = MODEL.format(name="kinds", visibility="team").replace("model:Prowler", "model:Kinds")
    town.push("ada", "kinds", manifest.replace('{ tries = "[]" }', "{}") + "[scale]\nmin = 1\n", model=KINDS)
    town.wait_ready("models", "kinds", "ada")
    until(lambda: town.call("POST", "/v1/models/kinds/predict", "ada", json={}).status_code == 200, "kinds", 120)
    return town


# --- HTTP/2 to HTTP/1 (S-40, S-41) ------------------------------------------------------------------------------------

_EVIL = b"DELETE /api/v1/devices/t2 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\ncontent-length: 0\r\n\r\n"


def fields(town: Town, path: bytes = b"/v1/models/hostile/docs", method: bytes = b"GET") -> list[http2.Field]:
    token = town.tokens["bob"].encode()
    return [
        (b":method", method),
        (b":path", path),
        (b":scheme", b"http"),
        (b":authority", b"x"),
        (b"authorization", b"Bearer " + token),
    ]


def injections(town: Town) -> dict[str, tuple[list[http2.Field], bytes]]:
    """Return requests by what is wrong with them: each tries to have a second one read behind the front door."""
    evil = _EVIL % town.tokens["admin"].encode()
    good = fields(town)
    post = fields(town, b"/v1/models/hostile/predict", b"POST")

    def changed(name: bytes, value: bytes) -> list[http2.Field]:
        return [(one, value if one == name else old) for one, old in good]

    return {
        "a line in a value": ([*good, (b"x", b"a\r\n\r\n" + evil)], b""),
        "a line feed in a value": ([*good, (b"x", b"a\n\n" + evil)], b""),
        "a carriage return in a value": ([*good, (b"x", b"a\rtransfer-encoding: chunked")], b""),
        "a zero in a value": ([*good, (b"x", b"a\0b")], b""),
        "a line in a name": ([*good, (b"x: y\r\nx-fairlead-user", b"admin")], b""),
        "a colon in a name": ([*good, (b"x-fairlead-user: admin", b"x")], b""),
        "a space in a name": ([*good, (b"x y", b"z")], b""),
        "no name": ([*good, (b"", b"z")], b""),
        "upper case": ([*good, (b"X-Fairlead-User", b"admin")], b""),
        "a line in the path": (changed(b":path", b"/healthz HTTP/1.1\r\nhost: x\r\n\r\n" + evil), b""),
        "a space in the path": (changed(b":path", b"/healthz HTTP/1.1"), b""),
        "an empty path": (changed(b":path", b""), b""),
        "no slash": (changed(b":path", b"api/v1/users"), b""),
        "a line in the method": (changed(b":method", b"GET /api/v1/users HTTP/1.1\r\n\r\n"), b""),
        "a space in the method": (changed(b":method", b"GET /healthz"), b""),
        "a line in the authority": (changed(b":authority", b"x\r\nx-fairlead-user: admin"), b""),
        "a line in the scheme": (changed(b":scheme", b"http\r\nx: y"), b""),
        "an unknown pseudo-header": ([(b":user", b"admin"), *good], b""),
        "a status": ([(b":status", b"200"), *good], b""),
        "two paths": ([*good[:2], (b":path", b"/api/v1/users"), *good[2:]], b""),
        "two methods": ([(b":method", b"DELETE"), *good], b""),
        "a pseudo-header at the end": ([*good, (b":path", b"/api/v1/users")], b""),
        "chunks": ([*post, (b"transfer-encoding", b"chunked")], b"0\r\n\r\n" + evil),
        "chunks that are not": ([*post, (b"transfer-encoding", b"identity, chunked")], b"0\r\n\r\n" + evil),
        "a length that is too short": ([*post, (b"content-length", b"2")], b"{}" + evil),
        "a length that is too long": ([*post, (b"content-length", b"9999")], b"{}"),
        "two lengths": ([*post, (b"content-length", b"2"), (b"content-length", b"3")], b"{}"),
        "no length": ([*post, (b"content-length", b"-1")], b"{}"),
        "a connection": ([*good, (b"connection", b"x-fairlead-user")], b""),
        "an upgrade": ([*good, (b"upgrade", b"h2c"), (b"http2-settings", b"AAAA")], b""),
        "a proxy's connection": ([*good, (b"proxy-connection", b"keep-alive")], b""),
        "keep-alive": ([*good, (b"keep-alive", b"1")], b""),
        "underscores": ([*good, (b"x_fairlead_user", b"admin")], b""),
        "CONNECT": ([(b":method", b"CONNECT"), (b":authority", b"127.0.0.1:22")], b""),
        "extended CONNECT": ([(b":protocol", b"websocket"), *changed(b":method", b"CONNECT")], b""),
        "a parameter of the path": (changed(b":path", b"/api/v1/users;x=y"), b""),
        "an encoded slash": (changed(b":path", b"/healthz%2f..%2fapi/v1/users"), b""),
    }


def test_s40_http_2_carries_no_second_request_into_http_1(town: Town) -> None:
    """S-40: what HTTP/1 would read as lines of its own is refused; the request inside reaches no handler."""
    audit = town.api("GET", "/audit")["items"]
    wrong = {}
    for what, (sent, body) in injections(town).items():
        found = http2.exchange(town.platform.port, http2.request(sent, body))
        status = found.get(1, ("closed", b""))[0]
        refused = status in ("reset", "closed") or (isinstance(status, int) and 400 <= status < 500)
        if not refused or b'"items"' in found.get(1, (0, b""))[1]:
            wrong[what] = found
    assert wrong == {}
    assert town.api("GET", "/devices/t2")["status"] != "retired"
    assert town.api("GET", "/audit")["items"] == audit
    good = http2.exchange(town.platform.port, http2.request(fields(town)), http2.request(fields(town), stream=3))
    assert [status for status, _ in good.values()] == [200, 200]


def test_s40_a_marker_behind_each_refused_request_is_its_own(town: Town) -> None:
    """S-40: on one connection, a request after a bad one is answered by what it says itself, or not at all."""
    marker = [field for field in fields(town, b"/api/v1/users") if field[0] != b"authorization"]
    for what, (sent, body) in injections(town).items():
        found = http2.exchange(town.platform.port, http2.request(sent, body), http2.request(marker, stream=3))
        assert found.get(3, ("closed", b""))[0] in ("closed", "reset", 401), (what, found)


def test_s41_ten_thousand_crumbs_of_cookies_are_refused(town: Town) -> None:
    """S-41: in HTTP/2 each crumb is a header of a few bytes; the front door stays as it is."""
    pid = town.platform.pids()["envoy"]
    before = psutil.Process(pid).memory_info().rss
    for crumbs in (10_000, 200):
        sent = [*fields(town), *((b"cookie", b"c%d=x" % number) for number in range(crumbs))]
        for _ in range(5):
            found = http2.exchange(town.platform.port, http2.request(sent))
            assert found.get(1, ("closed", b""))[0] in ("closed", "reset", 400, 431), (crumbs, found)
    large = [*fields(town), *((b"x-%d" % number, b"y" * 8000) for number in range(40))]
    assert http2.exchange(town.platform.port, http2.request(large)).get(1, ("closed", b""))[0] in (
        "closed",
        "reset",
        431,
    )
    odd = [*fields(town), (b"x", b"\xff\xfe"), (b"cookie", b"\xff=\xfe")]
    assert http2.exchange(town.platform.port, http2.request(odd)).get(1, ("closed", b""))[0] in (
        "reset",
        "closed",
        200,
        400,
    )
    assert town.platform.pids()["envoy"] == pid
    assert psutil.Process(pid).memory_info().rss - before < ENVOY_MORE_BYTES


# --- bodies (S-43, S-10) ----------------------------------------------------------------------------------------------

QUICK_S = 10.0
"""A refusal comes within this time on a machine that does other things too; seconds less on one that does not."""


def form(parts: int) -> bytes:
    return (
        b"".join(b'--B\r\ncontent-disposition: form-data; name="n%d"\r\n\r\n1\r\n' % n for n in range(parts))
        + b"--B--\r\n"
    )


BODIES: dict[str, tuple[dict[str, str], bytes]] = {
    "a content type of 64 KiB": ({"content-type": "multipart/form-data; boundary=" + "b" * 65_536}, b"--b--"),
    "a content type that backtracks": ({"content-type": "multipart/form-data; " + 'a="\\' * 12_000}, b"x"),
    "a content type of parameters": ({"content-type": "multipart/form-data" + "; a=b" * 10_000}, b"x"),
    "a hundred thousand parts": ({"content-type": "multipart/form-data; boundary=B"}, form(100_000)),
    "a hundred thousand empty parts": ({"content-type": "multipart/form-data; boundary=B"}, b"--B\r\n" * 100_000),
    "a part whose header does not end": (
        {"content-type": "multipart/form-data; boundary=B"},
        b"--B\r\ncontent-disposition: form-data; " + b'a="\\' * 100_000 + b"\r\n\r\n1\r\n--B--",
    ),
    "a hundred thousand fields": ({"content-type": "application/x-www-form-urlencoded"}, b"a=1&" * 100_000),
    "brackets": ({"content-type": "application/json"}, b"[" * 250_000),
    "keys": ({"content-type": "application/json"}, b"{" + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}"),
    "digits": ({"content-type": "application/json"}, b'{"n":' + b"9" * 500_000 + b"}"),
    "a pickle": ({"content-type": "application/vnd.bentoml+pickle"}, pickle.dumps([1])),
}


@pytest.mark.parametrize("what", BODIES)
def test_s43_bodies_that_cost_more_than_they_weigh_are_refused_quickly(kinds: Town, what: str) -> None:
    headers, body = BODIES[what]
    took, answer = [], None
    with slow_ones(kinds) as others:
        for _ in range(3):
            began = time.monotonic()
            answer = kinds.call("POST", "/v1/models/kinds/predict", "ada", content=body, headers=headers)
            took.append(time.monotonic() - began)
            assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    assert min(took) < QUICK_S
    assert others == [], "somebody else's call failed or was held up"


@contextlib.contextmanager
def slow_ones(town: Town) -> Iterator[list[str]]:
    """Call another model all the while; what did not answer well and soon is in the list."""
    over, wrong = threading.Event(), []

    def call() -> None:
        while not over.is_set():
            began = time.monotonic()
            answer = predict(town, "victim", "ada")
            if answer.status_code != 200 or time.monotonic() - began > QUICK_S:
                wrong.append(f"{answer.status_code} in {time.monotonic() - began:.1f} s: {answer.text[:200]}")

    calling = threading.Thread(target=call)
    calling.start()
    try:
        yield wrong
    finally:
        over.set()
        calling.join()


def test_s43_chunks_of_one_byte_are_one_body(kinds: Town) -> None:
    """S-43: half a million of them neither fail nor hold up others."""
    token = kinds.tokens["bob"]
    head = f"POST /v1/models/kinds/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
    head += "content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    body = b'{"text":"' + b"x" * 500_000 + b'"}'
    with slow_ones(kinds) as others:
        answer = raw(kinds, head.encode() + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    assert outcome(answer)[0] == 200, answer[:300]
    assert others == []


CRLF = "x\r\nx-evil: 1\r\n\r\n<script>"


def test_s43_lines_in_values_that_are_echoed_make_no_header(kinds: Town) -> None:
    """S-43: ids, file names, media types, names of models: none comes back as a header of its own."""
    wrong = []

    def look(what: str, answer: httpx.Response) -> None:
        if "x-evil" in answer.headers or answer.status_code >= 500 or "<script>" in str(answer.headers):
            wrong.append((what, answer.status_code, dict(answer.headers), answer.text[:200]))

    for name in ("x-request-id", "traceparent", "accept", "prefer", "origin", "content-encoding", "idempotency-key"):
        sent = f"POST /v1/models/kinds/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {kinds.tokens['bob']}\r\n"
        answer = raw(
            kinds, f"{sent}{name}: x%0d%0ax-evil:1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode()
        )
        assert b"\nx-evil" not in answer.lower(), (name, answer)
    for kind in (CRLF, "text/html\nx-evil: 1", "text/html\0", "text/html; charset=\u202e", "ä/ö", "x" * 100_000):
        look(f"typed {kind[:20]!r}", kinds.call("POST", "/v1/models/kinds/typed", "ada", json={"kind": kind}))
        url = f"data:{kind};base64,eA=="
        look(f"echo {kind[:20]!r}", kinds.call("POST", "/v1/models/kinds/echo", "ada", json={"file": url}))
    for path in (
        "/v1/models/kinds/%0d%0ax-evil:1",
        "/v1/models/x%0d%0ax-evil:%201/predict",
        "/api/v1/models/x%0d%0ax-evil:1",
    ):
        look(path, kinds.call("POST", path, "ada", json={}))
        look(path, kinds.call("GET", path, "ada"))
    assert wrong == []
    assert predict(kinds, "victim", "ada").status_code == 200


class Touch:
    """A pickle that makes a file where it is opened."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_s10_no_socket_of_the_platform_opens_a_pickle(kinds: Town, tmp_path: Path) -> None:
    """S-10: the front door, and every socket behind it, spoken to as its own: no canary, and nobody ends."""
    canary = tmp_path / "canary"
    data = pickle.dumps(Touch(str(canary)))
    types = ("application/vnd.bentoml+pickle", "application/x-pickle", "application/octet-stream")
    for path in (
        "/v1/models/kinds/predict",
        "/v1/models/kinds/jobs",
        "/v1/models/kinds:predict",
        "/v2/models/kinds/infer",
    ):
        for kind in types:
            headers = {"content-type": kind, "payload-container": "x", "args-number": "1"}
            answer = kinds.call("POST", path, "ada", content=data, headers=headers)
            assert 400 <= answer.status_code < 500 or path.endswith("jobs"), (path, kind, answer.text)
            if path == "/v1/models/kinds/predict":
                assert answer.status_code == 415, answer.text
    pids = kinds.platform.pids()
    sockets = [*kinds.home.run.glob("**/*.sock")]
    assert {"serve.sock", "keep.sock", "z.sock", "run.sock", "control.sock", "waker.sock"} <= {
        one.name for one in sockets
    }
    head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: {types[0]}\r\ncontent-length: {len(data)}\r\n\r\n"
    for path in sockets:
        for said in (
            data,
            len(data).to_bytes(4, "big") + data,
            len(data).to_bytes(4, "little") + data,
            head.encode() + data,
        ):
            with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
                sock.settimeout(0.5)
                sock.connect(str(path))
                sock.sendall(said)
                sock.recv(4096)
    assert predict(kinds, "victim", "ada").status_code == 200
    assert ask(kinds, "hostile", ["self"])[0].startswith("done")
    assert {name: kinds.platform.pids().get(name) for name in pids} == pids
    assert not canary.exists()


# --- answers of a bundle (S-23, S-64, S-72) ---------------------------------------------------------------------------

ANSWERS = {
    "no HTTP": b"I am no HTTP\r\n\r\n",
    "another protocol": b"SSH-2.0-x\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
    "a zero in a header": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/2": b"HTTP/2 200 OK\r\ncontent-length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("what", ANSWERS)
def test_s64_an_answer_that_is_no_http_is_ours(town: Town, what: str) -> None:
    """S-64: a replica that writes to its connections itself: the caller reads an error of ours, others notice nothing."""
    pid = town.platform.pids()["envoy"]
    answer = predict(town, "hostile", "ada", [["answer", ANSWERS[what].decode("latin-1")]])
    assert answer.status_code in (502, 503), (answer.status_code, answer.headers, answer.text[:300])
    assert answer.json()["error"]["code"] in ("bad_upstream", "replica_lost", "model_unreachable"), answer.text
    assert predict(town, "victim", "ada").status_code == 200
    until(lambda: predict(town, "hostile", "ada").status_code == 200, "the model answers again")
    assert town.platform.pids()["envoy"] == pid


def test_s64_an_upgrade_that_nobody_asked_for_opens_no_tunnel(town: Town) -> None:
    """S-64: the connection of who called stays the front door's: the next answer on it is whose it was asked of."""
    switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nI am yours"
    body = json.dumps({"tries": json.dumps([["answer", switch]])}).encode()
    ask_hostile, ask_victim = (
        request(f"POST /v1/models/{name}/predict HTTP/1.1", f"authorization: Bearer {town.tokens['ada']}", body=sent)
        for name, sent in (("hostile", body), ("victim", b'{"tries": "[]"}'))
    )
    with socket.create_connection(("127.0.0.1", town.platform.port), timeout=10) as sock:
        sock.sendall(ask_hostile.replace(b"connection: close\r\n", b""))
        answer = sock.recv(65_536)
        sock.sendall(ask_victim)
        with contextlib.suppress(ConnectionError):
            while chunk := sock.recv(65_536):
                answer += chunk
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"upgrade" not in head.lower(), answer
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    assert rest.endswith(b'"[]"'), answer
    until(lambda: predict(town, "hostile", "ada").status_code == 200, "the model answers again")


def test_s64_a_forged_answer_sets_nothing_of_the_platforms(town: Town) -> None:
    """S-64: a cookie of our name, and headers that only we set, do not pass from a bundle to a caller's browser."""
    forged = (
        "HTTP/1.1 200 OK\r\nset-cookie: fl_session=stolen; Path=/\r\nx-fairlead-user: admin\r\nserver: forged\r\n"
        "access-control-allow-origin: *\r\ncontent-length: 2\r\n\r\n{}"
    )
    answer = predict(town, "hostile", "ada", [["answer", forged]])
    assert "fl_session" not in str(answer.headers), answer.headers
    assert "x-fairlead-user" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["server"] != "forged"
    until(lambda: predict(town, "hostile", "ada").status_code == 200, "the model answers again")


def test_s64_a_bundle_speaks_for_itself_alone(town: Town) -> None:
    """S-64: whatever a replica says on its keeper's channel counts for its own jobs: another's stay as they are."""
    job = town.call("POST", "/v1/models/victim/jobs", "ada", json={"tries": '[["pause", 3]]'}).json()["id"]
    until(lambda: town.api("GET", f"/jobs/{job}", "ada")["status"] == "running", "the victim's job runs", 60)
    said = ask(town, "hostile", ["claim_job", job])
    assert said[0].startswith("done"), said
    ended = town.api("GET", f"/jobs/{job}?wait=30", "ada", timeout=60)
    assert ended["status"] == "succeeded", ended
    assert "forged" not in town.call("GET", f"/api/v1/jobs/{job}/result", "ada").text
    assert predict(town, "hostile", "ada").status_code == 200


def test_s23_what_a_model_fails_with_tells_no_folder(kinds: Town) -> None:
    """S-23: callers learn that it failed, how, and the id by which its log has the rest."""
    for what in ("secret.txt", "a/b/c.bin"):
        answer = kinds.call("POST", "/v1/models/kinds/fails", "bob", json={"what": what})
        assert answer.status_code == 500, answer.text
        error = answer.json()["error"]
        assert error["code"] == "model_failed"
        assert error["id"] == answer.headers["x-request-id"]
        assert "FileNotFoundError" in error["message"]
        for inner in ("/srv", "/home", "/tmp", str(kinds.home.root), "Traceback", ".sock", "line "):
            assert inner not in answer.text, answer.text
    logged = kinds.api("GET", "/logs?of=kinds", "ada")["items"]
    assert any("/srv/nowhere/secret.txt" in line["said"] for line in logged), "its owner reads all of it"


FORGED = (
    'one\r\n{"said": "forged", "level": "error"}\x1b[2J\x1b]0;owned\x07 \u202eevil\u2066 \x9b31m \x00 \x08\x08\u2028two'
)


def test_s72_what_a_bundle_prints_forges_no_line_and_no_terminal(kinds: Town) -> None:
    """S-72: its log has one JSON object a line; the API and the command line show nothing that steers a terminal."""
    assert kinds.call("POST", "/v1/models/kinds/says", "ada", json={"text": FORGED}).status_code == 200
    mark = "owned"

    def shown() -> list[dict[str, Any]]:
        return [line for line in kinds.api("GET", "/logs?of=kinds", "ada")["items"] if mark in line["said"]]

    until(shown, "its log has the line")
    for line in shown():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", line["said"]), line
        assert line["said"].startswith('{"said"') or "forged" not in line["said"]
    for file in (kinds.home.logs).glob("kinds-*/*.log"):
        for text in file.read_text().split("\n")[:-1]:
            assert "said" in json.loads(text), text
    for arguments in (("logs", "kinds"), ("--json", "logs", "kinds"), ("logs",)):
        said = kinds.platform.ok(*arguments)
        assert mark in said
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", said), arguments


def test_s72_names_and_titles_steer_no_terminal(kinds: Town) -> None:
    """S-72: what people may write freely is shown escaped by every table of the command line."""
    title = "Hall\x1b[2J\u202e\x9b\x07"
    made = kinds.call("PATCH", "/api/v1/locations/town/hall", "admin", json={"title": title})
    label = kinds.call("POST", "/api/v1/tokens", "admin", json={"label": title})
    for answer in (made, label):
        assert answer.status_code < 500
    try:
        for arguments in (("locations",), ("--json", "locations"), ("tokens",), ("--json", "tokens"), ("audit",)):
            said = kinds.platform.ok(*arguments)
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said), (arguments, said)
        failed = kinds.platform.cli("models", "show", "x\x1b[2J\u202e")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", failed.stderr), failed.stderr
    finally:
        kinds.call("PATCH", "/api/v1/locations/town/hall", "admin", json={"title": "Hall"})


# --- what is looked at from outside (S-01, S-21, S-71, S-74) ----------------------------------------------------------


def test_s01_no_door_opens_on_another_address(town: Town) -> None:
    """S-01: what listens does so on 127.0.0.1 alone: from any other address of this machine it is refused."""
    ports = {
        item.laddr.port for item in psutil.net_connections("inet") if item.status == psutil.CONN_LISTEN and item.pid
    }
    assert town.platform.port in ports
    bus = json.loads((town.home.bus / "server.json").read_text())
    own = {town.platform.port, town.platform.mqtt, *(int(bus[key].rpartition(":")[2]) for key in ("url", "devices"))}
    addresses = {"127.0.0.2", "::1"}
    for found in psutil.net_if_addrs().values():
        addresses |= {one.address.partition("%")[0] for one in found if one.family in (socket.AF_INET, socket.AF_INET6)}
    addresses = {one for one in addresses if one != "127.0.0.1" and not one.startswith("fe80")}
    for port in own:
        for address in addresses:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
                sock.settimeout(LATE_S)
                with pytest.raises(OSError):
                    sock.connect((address, port))


def test_s21_what_is_hidden_takes_as_long_as_what_is_missing(town: Town) -> None:
    """S-21, S-71: the quickest of many answers; what other work adds is the same for both."""
    for _ in range(5):
        took: dict[str, float] = {"victim": 1e9, "nobody": 1e9}
        with town.client("bob") as client:
            for _ in range(60):
                for name in took:
                    began = time.perf_counter()
                    assert client.get(f"/api/v1/models/{name}").status_code == 404
                    took[name] = min(took[name], time.perf_counter() - began)
        if abs(took["victim"] - took["nobody"]) < 0.2 * max(took.values()):
            return
    raise AssertionError(took)


def test_s74_a_token_that_takes_anothers_place_drops_no_call(town: Town) -> None:
    """S-74: the new one is good before the old one ends: of calls that change over none is refused."""
    old, old_id = town.new_token("bob")
    current, failed, done, over = [old], [], [0], threading.Event()

    def call() -> None:
        while not over.is_set():
            with town.platform.client(current[0]) as client:
                for path in ("/api/v1/me", "/v1/models/hostile/docs"):
                    answer = client.get(path)
                    done[0] += 1
                    if answer.status_code != 200:
                        failed.append(f"{path} {answer.status_code} {answer.text}")

    calling = threading.Thread(target=call)
    calling.start()
    try:
        until(lambda: done[0] > 20, "it calls with the old token")
        current[0], _ = town.new_token("bob")
        seen = done[0]
        until(lambda: done[0] > seen + 4, "it calls with the new token")
        town.api("DELETE", f"/tokens/{old_id}")
        seen = done[0]
        until(lambda: done[0] > seen + 20, "it goes on")
    finally:
        over.set()
        calling.join()
    assert failed == []
    assert httpx.get(f"{town.platform.url}/api/v1/me", headers={"authorization": f"Bearer {old}"}).status_code == 401


@pytest.mark.parametrize("visitor", ["bob", ""])
def test_s22_files_of_a_call_are_never_fetched(kinds: Town, visitor: str) -> None:
    """S-22, S-02: every way in which a caller can name a file: refused, or plain text; the listener hears nobody."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        port = sock.getsockname()[1]
        for host in (
            f"127.0.0.1:{port}",
            f"localhost:{port}",
            f"2130706433:{port}",
            f"u@127.0.0.1:{port}",
            f"[::1]:{port}",
        ):
            for url in (f"http://{host}/x.png", f"HTTP://{host}/%2e%2e/x", f"//{host}/x", f"file://{host}/etc/passwd"):
                svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>'.encode()
                for entry, sent in (
                    ("echo", {"json": {"file": url}}),
                    ("picture", {"json": {"image": url}}),
                    ("picture", {"content": svg, "headers": {"content-type": "image/svg+xml"}}),
                    ("picture", {"files": {"image": ("x.svg", svg, "image/svg+xml")}}),
                    ("echo", {"params": {"file": url}}),
                    ("predict", {"json": {"text": url}, "headers": {"prefer": f'respond-async; callback="{url}"'}}),
                ):
                    answer = kinds.call("POST", f"/v1/models/kinds/{entry}", visitor, **sent)  # type: ignore[arg-type]
                    assert answer.status_code < 500, (entry, url, answer.text)
            raw(kinds, request(f"GET http://{host}/api/v1/users HTTP/1.1"))
            raw(kinds, request(f"CONNECT {host} HTTP/1.1"))
        with pytest.raises(BlockingIOError):
            sock.accept()
