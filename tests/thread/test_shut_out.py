"""Who gets in, and who does not: a whole platform under attack from outside, from a device, and from its own bundles.

Ids in docstrings: the list of attacks (S-01 to S-74). A refusal is asserted by its exact code: an open door and a
broken one look alike to "not 200".
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import psutil
import pytest
from tests.thread.promises import in_time
from tests.thread.rig import LATE_S, until
from tests.thread.town import (
    HIDDEN,
    WHERE,
    Town,
    ask,
    fenced,
    level,
    outcome,
    predict,
    raw,
    refused,
    request,
    town,
)

from fairlead import identity
from fairlead.accounts.policy import ALLOWED, Role, Verb
from fairlead.supervisor import strays

__all__ = ["level", "town"]
pytestmark = pytest.mark.timeout(300)
AT_ONCE_S = 1.0
"""What is revoked ends within this time (S-74)."""
TRIES = 3
"""A machine that does other things too may be late once; a path that waits for something is late each time."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
OPEN = {
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/api/v1/login"),
    ("POST", "/api/v1/login/here"),
}
"""All that answers without a token."""

# --- tokens (S-03, S-04, S-74) ----------------------------------------------------------------------------------------


def routes(town: Town) -> list[tuple[str, str]]:
    """Return every method and path of the API, with names of things that are there."""
    run = town.run_of("page")["id"]
    names = {"name": "hostile", "ref": "hostile", "entry": "predict", "version": "1", "alias": "production"}
    names |= {"token": "tok-1", "job": "job-1", "path": "town/hall", "device": "t1", "property_": "temperature"}
    names |= {"command": "cmd-1", "run": run, "number": "1", "bundle": "hostile", "content": "0" * 64}
    found = []
    for path, operations in town.api("GET", "/openapi.json")["paths"].items():
        here = names | ({"name": "page"} if "/apps/" in path else {"name": "bob"} if "/users/" in path else {})
        here |= {"ref": "page"} if "/schedules/" in path else {}
        found += [
            (method.upper(), re.sub(r"{(\w+)}", lambda hit, here=here: here[hit[1]], path)) for method in operations
        ]
    assert len(found) > 60
    return found


def expired(town: Town) -> str:
    keys = identity.load(town.home.keys)
    then = datetime.now(UTC) - timedelta(days=2)
    return identity.mint("admin", ["configurer"], keys=keys, days=1, now=then).token


def test_s03_no_route_opens_without_a_good_token(town: Town) -> None:
    """S-03, S-04: every route of the API by {no token, junk, expired, of another key, in the query}: the exact 401."""
    stranger = identity.Keys(identity.new_key())
    other = identity.mint("admin", ["configurer"], keys=stranger, days=1, now=datetime.now(UTC)).token
    good = town.tokens["admin"]
    cases = [
        ({}, "", "token_required"),
        ({}, f"?token={good}&access_token={good}&api_key={good}", "token_required"),
        ({"authorization": "Bearer junk"}, "", "token_invalid"),
        ({"authorization": f"Basic {good}"}, "", "token_invalid"),
        ({"authorization": f"Bearer {other}"}, "", "token_invalid"),
        ({"x-api-key": "junk"}, "", "token_invalid"),
        ({"authorization": f"Bearer {expired(town)}"}, "", "token_expired"),
    ]
    with town.client("") as client:
        for method, path in routes(town):
            if (method, path) in OPEN:
                continue
            for headers, query, code in cases:
                refused(client.request(method, path + query, headers=headers), 401, code)


def test_s04_odd_verbs_hosts_and_agents_open_nothing(town: Town) -> None:
    """S-04: no method, ``Host``, ``Origin`` or ``User-Agent`` stands in for a token."""
    with town.client("") as client:
        for path in (
            "/api/v1/users",
            "/api/v1/bundles",
            "/v1/models/hostile/predict",
            "/v1/models/victim/jobs",
            "/metrics",
        ):
            for method in METHODS:
                refused(client.request(method, path), 401, "token_required")
            for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"user-agent": "Mozilla/5.0"}):
                refused(client.get(path, headers=headers), 401, "token_required")


def test_s03_control_verifies_tokens_itself(town: Town) -> None:
    """S-03, S-07: whoever gets past the front door (root, here) still needs a token; forged verdicts count nothing."""
    forged = {"x-fairlead-user": "admin", "x-fairlead-role": "configurer", "x-fairlead-token": "tok-1"}
    transport = httpx.HTTPTransport(uds=str(town.home.control_socket))
    with httpx.Client(transport=transport, base_url="http://control", headers=forged) as client:
        for method, path in routes(town):
            if (method, path) not in OPEN:
                refused(client.request(method, path), 401, "token_required")
        old = {"authorization": f"Bearer {expired(town)}"}
        refused(client.get("/api/v1/users", headers=old), 401, "token_expired")


def test_s03_attempts_leave_no_trace(town: Town) -> None:
    """S-03: what is refused changes nothing: the audit stays as it is."""
    before = town.api("GET", "/audit")["items"]
    with town.client("") as client:
        for method, path in routes(town):
            if method != "GET" and (method, path) not in OPEN:
                client.request(method, path)
    assert town.api("GET", "/audit")["items"] == before


def test_s74_a_revoked_token_ends_at_once_everywhere(town: Town) -> None:
    """S-74: ≤ 1 s on models and API alike; other people's connections stay open."""
    others = {path: http.client.HTTPConnection("127.0.0.1", town.platform.port, timeout=LATE_S) for path in _READ}
    socks = {path: _ask_on(others[path], path, town.tokens["bob"]) for path in _READ}
    took = []
    for _ in range(TRIES):
        token, jti = town.new_token("bob")
        with town.platform.client(token) as mine:
            assert [mine.get(path).status_code for path in _READ] == [200, 200]
            began = time.monotonic()
            with revoking(town, f"/tokens/{jti}"):
                for path in _READ:
                    until(lambda path=path, mine=mine: mine.get(path).status_code == 401, path, every_s=0.005)
                took.append(time.monotonic() - began)
            for path in _READ:
                refused(mine.get(path), 401, "token_revoked")
        if took[-1] <= AT_ONCE_S:
            break
    in_time("it ended", min(took), AT_ONCE_S)
    for path in _READ:
        assert _ask_on(others[path], path, town.tokens["bob"]) is socks[path], "somebody else's connection was closed"
        others[path].close()


@contextlib.contextmanager
def revoking(town: Town, path: str) -> Iterator[None]:
    """Send the DELETE beside the block: its answer comes last, once every gate has said that it knows."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(town.api, "DELETE", path)
        yield
        answer.result(LATE_S)


_READ = ("/api/v1/me", "/v1/models/hostile/docs")


def _ask_on(connection: http.client.HTTPConnection, path: str, token: str) -> socket.socket:
    connection.request("GET", path, headers={"authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    assert answer.status == 200, (path, answer.read())
    answer.read()
    assert connection.sock is not None
    return connection.sock


def test_s74_an_open_stream_ends_with_its_token(town: Town) -> None:
    """S-74: a stream that was opened before the token was revoked tells nothing any more."""
    took = []
    for _ in range(TRIES):
        token, jti = town.new_token("bob")
        ended = threading.Event()
        opened = threading.Event()

        def listen(token: str = token, opened: threading.Event = opened, ended: threading.Event = ended) -> None:
            with (
                contextlib.suppress(httpx.HTTPError),
                town.platform.client(token) as client,
                client.stream("GET", "/api/v1/events?kind=device") as stream,
            ):
                assert stream.status_code == 200
                opened.set()
                for _ in stream.iter_raw():
                    pass
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
        assert opened.wait(LATE_S)
        began = time.monotonic()
        with revoking(town, f"/tokens/{jti}"):
            assert ended.wait(LATE_S), "the stream goes on"
            took.append(time.monotonic() - began)
        if took[-1] <= AT_ONCE_S:
            break
    in_time("it ended", min(took), AT_ONCE_S)


def test_s70_a_cookie_from_another_site_changes_nothing(town: Town) -> None:
    """S-43, S-04: the page's cookie counts for changes only with the installation's own ``Origin``."""
    cookie = {"cookie": f"fl_session={town.tokens['admin'].removeprefix('fl_')}"}
    body = {"label": "forged"}
    for origin in ({}, {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://page.apps.localhost"}):
        refused(town.call("POST", "/api/v1/tokens", "", json=body, headers=cookie | origin), 403, "origin_refused")
        plain = {"content": b'{"tries": "[]"}', "headers": cookie | origin | {"content-type": "text/plain"}}
        for path in ("/v1/models/victim/predict", "/v1/models/victim/jobs"):
            refused(town.call("POST", path, "", **plain), 403, "origin_refused")
    assert town.call("GET", "/api/v1/me", "", headers=cookie).status_code == 200
    own = cookie | {"origin": f"http://127.0.0.1:{town.platform.port}"}
    answer = town.call("POST", "/v1/models/victim/predict", "", json={"tries": "[]"}, headers=own)
    assert answer.status_code == 200, answer.text


# --- roles (S-08) -----------------------------------------------------------------------------------------------------

_USER, _TYPE = {"name": "eve"}, {"toml": 'name = "eve"\nversion = "1.0.0"\n'}
_PUSH = {"content": b"PK", "headers": {"content-type": "application/zip"}}
NEEDS: dict[tuple[str, str], tuple[Verb, dict[str, Any]]] = {
    ("POST", "/api/v1/tokens"): (Verb.MANAGE_USERS, {"json": {"label": "x", "user": "admin"}}),
    ("POST", "/api/v1/users"): (Verb.MANAGE_USERS, {"json": _USER}),
    ("PATCH", "/api/v1/users/{name}"): (Verb.MANAGE_USERS, {"json": {"roles": ["configurer"]}}),
    ("DELETE", "/api/v1/users/{name}"): (Verb.MANAGE_USERS, {}),
    ("PATCH", "/api/v1/models/{name}"): (Verb.MANAGE_MODELS, {"json": {"visibility": "private"}}),
    ("DELETE", "/api/v1/models/{name}"): (Verb.MANAGE_MODELS, {}),
    ("DELETE", "/api/v1/apps/{name}"): (Verb.MANAGE_APPS, {}),
    ("DELETE", "/api/v1/models/{name}/versions/{version}"): (Verb.MANAGE_MODELS, {}),
    ("PUT", "/api/v1/models/{name}/aliases/{alias}"): (Verb.MANAGE_MODELS, {"json": {"targets": [{"version": "1"}]}}),
    ("POST", "/api/v1/models/{name}/rollback"): (Verb.MANAGE_MODELS, {"json": {}}),
    ("PUT", "/api/v1/apps/{name}/aliases/{alias}"): (Verb.MANAGE_APPS, {"json": {"version": "1"}}),
    ("POST", "/api/v1/apps/{name}/rollback"): (Verb.MANAGE_APPS, {"json": {}}),
    ("POST", "/api/v1/types"): (Verb.MANAGE_DEVICES, {"json": _TYPE}),
    ("POST", "/api/v1/locations"): (Verb.MANAGE_DEVICES, {"json": {"path": "eve"}}),
    ("PATCH", "/api/v1/locations/{path}"): (Verb.MANAGE_DEVICES, {"json": {"title": "x"}}),
    ("DELETE", "/api/v1/locations/{path}"): (Verb.MANAGE_DEVICES, {}),
    ("POST", "/api/v1/devices"): (Verb.MANAGE_DEVICES, {"json": {"id": "e", "type": "fan", "at": "town/hall"}}),
    ("PATCH", "/api/v1/devices/{device}"): (Verb.MANAGE_DEVICES, {"json": {"new_password": True}}),
    ("DELETE", "/api/v1/devices/{device}"): (Verb.MANAGE_DEVICES, {}),
    ("POST", "/api/v1/devices/{device}/commands"): (Verb.SEND_COMMANDS, {"json": {"set": {"on": True}}}),
    ("POST", "/api/v1/devices/{device}/release"): (Verb.SEND_COMMANDS, {"json": {}}),
    ("POST", "/api/v1/schedules"): (Verb.SCHEDULE, {"json": {"app": "page", "at": "town/hall", "now": True}}),
    ("PATCH", "/api/v1/schedules/{ref}"): (Verb.SCHEDULE, {"json": {"paused": True}}),
    ("DELETE", "/api/v1/schedules/{ref}"): (Verb.SCHEDULE, {}),
    ("POST", "/api/v1/runs/{run}/stop"): (Verb.SCHEDULE, {}),
    ("POST", "/api/v1/runs/{run}/restart"): (Verb.SCHEDULE, {}),
    ("POST", "/api/v1/runs/{run}/again"): (Verb.SCHEDULE, {}),
    ("GET", "/api/v1/audit"): (Verb.SEE_AUDIT, {}),
    ("GET", "/api/v1/logs"): (Verb.READ_LOGS, {}),
    ("GET", "/api/v1/logs/follow"): (Verb.READ_LOGS, {}),
    ("GET", "/api/v1/events?kind=token"): (Verb.SEE_AUDIT, {}),
}
"""Routes that take a role, by the verb; the rest is for everybody signed in, or looked at by owner."""
_PEOPLE = {Role.USER: "bob", Role.AI_DEVELOPER: "aida", Role.APP_DEVELOPER: "appo"}


def test_s08_each_verb_takes_its_role(town: Town) -> None:
    """S-08: every role on each verb of another role: 403 ``role_needed``, nothing changed."""
    run = town.run_of("page")["id"]
    for (method, path), (verb, more) in NEEDS.items():
        names = {"name": "bob" if "/users/" in path else "page" if "/apps/" in path else "hostile", "ref": "page"}
        names |= {"version": "1", "alias": "production", "path": "town/hall", "device": "fan-1", "run": run}
        filled = path.format(**names)
        for role, who in _PEOPLE.items():
            if role not in ALLOWED[verb]:
                refused(town.call(method, filled, who, **more), 403, "role_needed")
    assert town.run_of("page")["id"] == run
    assert town.api("GET", "/me", "bob")["roles"] == ["user"]


def test_s08_bundles_take_the_role_of_their_kind(town: Town) -> None:
    """S-08: pushing a model or an app takes its developer's role, pushing over somebody else's takes its owner."""
    archives = {name: (town.folder / f"{name}.zip").read_bytes() for name in ("hostile", "page")}
    zip_type = {"content-type": "application/zip"}
    for who, name in (("bob", "hostile"), ("bob", "page"), ("aida", "page"), ("appo", "hostile"), ("cora", "page")):
        answer = town.call("POST", "/api/v1/bundles", who, content=archives[name], headers=zip_type)
        refused(answer, 403, "role_needed")
    answer = town.call("POST", "/api/v1/bundles", "aida", content=archives["hostile"], headers=zip_type)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_owner")


def test_s08_bodies_make_nobody_more(town: Town) -> None:
    """S-08: unknown fields are refused, and nobody gets a role or an owner by asking for it."""
    for method, path, body in (
        ("POST", "/api/v1/users", {"name": "eve", "authority": "admin"}),
        ("POST", "/api/v1/tokens", {"label": "x", "owner": "admin"}),
        ("POST", "/api/v1/devices", {"id": "e", "type": "fan", "at": "town/hall", "owner": "bob"}),
        ("POST", "/api/v1/schedules", {"app": "page", "at": "town/hall", "now": True, "created_by": "admin"}),
        ("PATCH", "/api/v1/models/hostile", {"visibility": "team", "owner": "bob"}),
        ("POST", "/api/v1/locations", {"path": "eve", "id": 1}),
    ):
        assert town.call(method, path, "admin", json=body).status_code == 422, (method, path)
    refused(
        town.call("POST", "/api/v1/tokens", "bob", json={"label": "x", "roles": ["configurer"]}), 403, "role_beyond"
    )
    narrow, _ = town.new_token("admin", ["user"])
    answer = httpx.get(f"{town.platform.url}/api/v1/audit", headers={"authorization": f"Bearer {narrow}"})
    refused(answer, 403, "role_needed")


def test_s21_a_private_model_is_not_there_for_others(town: Town) -> None:
    """S-21, S-23: what one may not see answers as what does not exist, byte by byte but for the name."""
    run = {"tries": "[]"}
    for who in ("bob", "aida", "appo"):
        for method, path, body in (
            ("POST", "/v1/models/{}/predict", run),
            ("POST", "/v1/models/{}@1/predict", run),
            ("POST", "/v1/models/{}:predict", run),
            ("GET", "/v1/models/{}:predict", None),
            ("DELETE", "/v1/models/{}", None),
            ("POST", "/v1/models/{}/jobs", run),
            ("POST", "/v1/models/{}/predict/jobs", run),
            ("GET", "/v1/models/{}", None),
            ("GET", "/v1/models/{}/docs", None),
            ("GET", "/v1/models/{}@1/openapi.json", None),
            ("POST", "/v2/models/{}/infer", run),
            ("GET", "/api/v1/models/{}", None),
            ("GET", "/api/v1/models/{}/versions/1", None),
            ("GET", "/api/v1/models/{}/versions/1/events", None),
            ("PATCH", "/api/v1/models/{}", {"visibility": "team"}),
            ("GET", "/api/v1/logs?of={}", None),
            ("GET", "/api/v1/why?of={}", None),
        ):
            told = [town.call(method, path.format(name), who, json=body) for name in ("victim", "nobody")]
            assert [answer.status_code for answer in told] == [404, 404], (who, path, [a.text for a in told])
            texts = [
                _without_id(answer).replace(name, "…") for answer, name in zip(told, ("victim", "nobody"), strict=True)
            ]
            assert texts[0] == texts[1], (who, path)
    names = [model["name"] for model in town.api("GET", "/models", "bob")["items"]]
    assert "victim" not in names
    assert "hostile" in names


def _without_id(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    return error if isinstance(error, str) else json.dumps({**error, "id": ""}, sort_keys=True)


def test_public_models_are_open_and_limited(town: Town) -> None:
    """S-20 of serving: a public model takes no token, and only so many calls; a bad token is refused all the same."""
    limited = None
    with town.client("") as client:
        first = client.post("/v1/models/open/predict", json={"tries": "[]"})
        assert first.status_code == 200, first.text
        deadline = time.monotonic() + LATE_S
        while limited is None and time.monotonic() < deadline:
            answer = client.post("/v1/models/open/predict", json={"tries": "[]"})
            limited = answer if answer.status_code != 200 else None
        assert limited is not None
        refused(limited, 429, "rate_limited")
        assert int(limited.headers["retry-after"]) >= 1
        bad = client.post("/v1/models/open/predict", headers={"authorization": "Bearer fl_a.b.c"})
        refused(bad, 401, "token_invalid")
        for path in ("/v1/models/open/jobs", "/v1/models/open"):
            refused(client.request("POST" if path.endswith("jobs") else "GET", path), 401, "token_required")


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
    lines = [f"GET {_READ[1]} HTTP/1.1", "host: x", f"authorization: Bearer {token}", *headers, "", ""]
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


# --- from inside (S-07, S-60 to S-64) ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", WHERE)
def test_s60_files_of_others_are_out_of_reach(town: Town, level: str, where: str) -> None:
    """S-60: other bundles' code, weights, scratch and logs, keys, database, credentials: no read, write or chmod."""
    home, mine = town.home, _digest_of(town, where)
    others = [folder for folder in home.bundles.iterdir() if folder.name != mine and folder.is_dir()]
    assert len(others) >= 4
    paths = [home.keys / "current.pem", home.database, home.bus / "keys.json", home.keeper / "wanted.msgpack"]
    paths += [home.keeper / "here.key", home.envoy / "bootstrap.json", home.logs / "control.log"]
    paths += [folder / "prowl.py" for folder in others]
    paths += [Path("/etc/shadow"), Path("/etc/passwd"), Path.home() / ".bashrc", Path("/proc/1/environ")]
    tries = [[what, str(path)] for path in paths for what in ("read", "write", "chmod")]
    for what, said in zip(tries, ask(town, where, *tries), strict=True):
        # in its view folders on the way to its own exist: a new file there is refused as on a read-only disk
        fenced(level, what, said, "EPERM" if what[1] == "/proc/1/environ" else "EROFS" if what[0] == "write" else "")
    folders = [home.root, home.bundles, home.keys, home.scratch, home.logs, home.run, Path("/root"), Path("/home")]
    tries = [[what, str(folder)] for folder in folders for what in ("list", "chmod")]
    for what, said in zip(tries, ask(town, where, *tries), strict=True):
        # folders on the way to its own exist in its view, empty but for these
        fenced(level, what, said, "EACCES", "EROFS", "EPERM")


def _digest_of(town: Town, where: str) -> str:
    kind = "models" if where == "hostile" else "apps"
    return str(town.api("GET", f"/{kind}/{where}", "ada")["versions"][0]["digest"]).rpartition(":")[2]


@pytest.mark.parametrize("where", WHERE)
def test_s60_other_processes_are_out_of_reach(town: Town, level: str, where: str) -> None:
    """S-60: environment, memory, tracing, descriptors and signals of every process of the platform."""
    process = town.platform.process
    assert process is not None
    victims = {
        **{name: pid for name, pid in town.platform.pids().items() if where not in _kin(town, name)},
        "keeper": process.pid,
    }
    assert {"control", "envoy", "bus", "keeper"} <= victims.keys()
    for name, pid in victims.items():
        tries = [[what, pid] for what in ("environ", "memory", "ptrace", "read_memory", "take_descriptor", "kill")]
        said = ask(town, where, *tries)
        for what, answer in zip(tries[:2], said[:2], strict=True):
            fenced(level, (name, what), answer)
        assert said[2:5] == ["EACCES"] * 3, (name, said)
        assert said[5] in ("EPERM", "ESRCH"), (name, said)


def _kin(town: Town, name: str) -> str:
    """Return which bundle a child belongs to."""
    if name.startswith("run-"):
        return next(run["app"] for run in town.api("GET", "/runs")["items"] if name.startswith(run["id"]))
    return name.partition("-")[0]


@pytest.mark.parametrize("where", WHERE)
def test_s07_s61_no_socket_of_the_platform_can_be_reached(town: Town, level: str, where: str) -> None:
    """S-07, S-61: control, Envoy's admin, the waker, replicas' and zygotes' sockets, other runs' channels."""
    home = town.home
    sockets = [home.control_socket, home.waker_socket, home.admin_socket]
    mine = f"{where}-" if where == "hostile" else town.run_of(where)["id"]
    sockets += [path for path in home.run.glob("**/*.sock") if path not in sockets and mine not in str(path)]
    kinds = {path.name for path in sockets}
    assert {"control.sock", "envoy.sock", "waker.sock", "serve.sock", "keep.sock", "z.sock", "run.sock"} <= kinds
    for path in sockets:
        said = ask(town, where, ["unix", str(path)], ["unix_datagram", str(path)])
        for answer in said:
            fenced(level, (str(path), said), answer, "EACCES")
    if where == "hostile":  # a model connects to nothing, its own sockets included
        for path in home.run.glob(f"{mine}*/**/*.sock"):
            assert ask(town, where, ["unix", str(path)]) == ["EACCES"]
    else:
        channel = home.run / mine / "run.sock"
        answer = ask(town, where, ["http", str(channel), "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"])
        assert answer == ["done: HTTP/1.1 200 OK"]


def test_s61_a_runs_channel_takes_its_own_user_alone(town: Town) -> None:
    """S-61, S-64: identity is the peer's credentials: even root is not this run."""
    if os.geteuid() != 0:
        pytest.skip("runs have no user of their own here")
    for app in ("page", "program"):
        channel = town.home.run / town.run_of(app)["id"] / "run.sock"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(channel)), base_url="http://run") as client:
            refused_plainly = client.get("/")
            assert refused_plainly.status_code == 403, refused_plainly.text
            assert refused_plainly.json()["error"]["code"] == "not_this_run", refused_plainly.text


@pytest.mark.parametrize("where", WHERE)
def test_s61_the_network_is_closed(town: Town, level: str, where: str) -> None:
    """S-61: TCP, UDP, raw, netlink, packet and vsock sockets, data with the SYN, io_uring, the bus, the front door."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    bus = json.loads((town.home.bus / "server.json").read_text())
    ports = [town.platform.port, town.platform.mqtt]
    ports += [int(bus[name].rpartition(":")[2]) for name in ("url", "devices")]
    targets = [("127.0.0.1", port) for port in ports] + [("169.254.169.254", 80), ("192.0.2.1", 443)]
    tries = [[what, *target] for target in targets for what in ("tcp", "udp", "fast_open")]
    tries += [["raw"], ["packet"], ["netlink"], ["vsock"], ["io_uring"], ["abstract", "x"]]
    for what, said in zip(tries, ask(town, where, *tries), strict=True):
        allowed = {"ECONNREFUSED", "EPERM", "EACCES"} if what[0] == "abstract" and where != "hostile" else {"EACCES"}
        assert said in allowed, (what, said)


@pytest.mark.parametrize("where", WHERE)
def test_s62_s63_what_it_may_not_do_with_its_own(town: Town, level: str, where: str) -> None:
    """S-62, S-63: fork bombs end at their bound; no dropped program runs; code, environment and kernel are closed."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    bundle = town.home.bundles / _digest_of(town, where)
    readonly = {"EACCES", "EROFS", "EPERM"}
    environment = next(path for path in town.home.environments.iterdir() if (path / "bin/python").exists())
    for path in (bundle / "prowl.py", bundle / "new.py", environment / "bin" / "python", environment / "pyvenv.cfg"):
        said = ask(town, where, ["write", str(path)], ["chmod", str(path)])
        assert set(said) <= readonly | {"ENOENT", "ETXTBSY"}, (path, said)
    said = ask(town, where, ["execute_dropped"], ["unshare"], ["mount"], ["bpf"], ["setuid"])
    assert said == ["EACCES", "EACCES", "EACCES", "EACCES", "EPERM"]
    if level == "full":
        assert ask(town, where, ["fork_bomb", 2000]) == ["EAGAIN"]
    assert predict(town, "victim", "ada").status_code == 200


@pytest.mark.parametrize("where", WHERE)
def test_s60_links_lead_nobody_of_ours_astray(town: Town, level: str, where: str) -> None:
    """S-60, S-63: programs of ours that have more rights follow no link a bundle left where they look: in the folders of
    its sockets and logs it can make none, nor a FIFO that would hold them."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    home = town.home
    if where == "hostile":
        serve = next(iter(home.run.glob("hostile-*/*/serve.sock")))
        zygote = serve.parent.parent
        spots = [serve.parent / "x.sock", zygote / "x.sock", home.logs / zygote.name / "x.log"]
    else:
        spots = [home.run / town.run_of(where)["id"] / "page" / "x.sock"]
    for spot in spots:
        for target in (home.admin_socket, home.keys / "current.pem"):
            said = ask(town, where, ["symlink", str(target), str(spot)], ["move_in", str(target), str(spot)])
            assert set(said) <= {"EACCES", "EXDEV"}, (spot, said)
        assert ask(town, where, ["fifo", str(spot)]) == ["EACCES"], spot
        assert not spot.is_symlink()


@pytest.mark.parametrize("where", WHERE)
def test_s60_it_is_told_nothing_of_the_platforms(town: Town, where: str) -> None:
    """S-60, S-73: its variables hold no secret, no setting and no path of ours but its own channel."""
    said = ask(town, where, ["variables"])[0]
    assert "FAIRLEAD_SETTINGS" not in said
    assert "FAIRLEAD_RULES" not in said
    named = set(re.findall(r"FAIRLEAD_\w+", said))
    allowed = {"hostile": {"FAIRLEAD_HOME_ID"}}.get(
        where, {"FAIRLEAD_HOME_ID", "FAIRLEAD_RUN", "FAIRLEAD_SOCKET", "FAIRLEAD_PAGE"}
    )
    assert named <= allowed, named


def test_system_tells_the_level_that_holds(town: Town, level: str) -> None:
    """The claimed level is what a hostile bundle met: its user, its processes, its files."""
    isolation = town.api("GET", "/system")["isolation"]
    for where in WHERE:
        me = json.loads(ask(town, where, ["self"])[0].removeprefix("done: "))
        read, seen = ask(town, where, ["read", "/etc/passwd"], ["stat", str(town.home.database)])
        own_user = me["uid"] not in (0, os.geteuid())
        assert own_user == ("each bundle runs as a user of its own" in isolation["holds"])
        found = "full" if own_user and seen == "ENOENT" else "landlock" if read == "EACCES" else "process"
        assert found == level, (where, me, read, seen, isolation)


# --- devices (S-50, S-51) ---------------------------------------------------------------------------------------------


class Client:
    """A device as MQTT knows it; keeps what it is told."""

    def __init__(self, town: Town, user: str | None, password: str | None, client_id: str) -> None:
        self.codes: list[int] = []
        self.granted: dict[int, list[int]] = {}
        self.messages: list[tuple[str, bytes]] = []
        self.gone = threading.Event()
        self._acked: set[int] = set()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda _c, _u, _f, code, _p: self.codes.append(code.value)
        self._client.on_disconnect = lambda *_: self.gone.set()
        self._client.on_subscribe = lambda _c, _u, mid, codes, _p: self.granted.update({mid: [c.value for c in codes]})
        self._client.on_publish = lambda _c, _u, mid, *_: self._acked.add(mid)
        self._client.on_message = lambda _c, _u, message: self.messages.append((message.topic, message.payload))
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._client.connect("127.0.0.1", town.platform.mqtt)
        self._client.loop_start()

    def __enter__(self) -> Client:
        until(lambda: self.codes or self.gone.is_set(), "the broker answered")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def is_in(self) -> bool:
        return self.codes[:1] == [0] and not self.gone.is_set()

    def subscribe(self, topic: str) -> int:
        """Return the code the broker answers; 128 and above are refusals. A connection that it closes is one too."""
        _, mid = self._client.subscribe(topic, 1)
        until(lambda: mid in self.granted or self.gone.is_set(), f"an answer about {topic}")
        return self.granted[mid][0] if mid in self.granted else 255

    def publish(self, topic: str, payload: str) -> None:
        info = self._client.publish(topic, payload, 1)
        until(lambda: info.mid in self._acked or self.gone.is_set(), f"an answer to {topic}")


def test_s50_who_is_no_device_is_not_let_in(town: Town) -> None:
    """S-50: wrong, empty and no password, other people's, unknown devices, people's tokens."""
    good = town.passwords["t1"]
    for user, password, client_id in (
        ("t1", "wrong", "t1"),
        ("t1", "", "t1"),
        ("t1", None, "t1"),
        (None, None, "t1"),
        ("t2", good, "t2"),
        ("nobody", good, "nobody"),
        ("#", good, "#"),
        ("+", good, "+"),
        ("$SYS", good, "x"),
        ("", good, "t1"),
        ("control", good, "x"),
        ("admin", town.tokens["admin"], "x"),
        ("t1", good, "t2"),
        ("t1", good, "t2:other"),
        ("T1", good, "T1"),
        ("t1 ", good, "x"),
    ):
        with Client(town, user, password, client_id) as client:
            assert not client.is_in, (user, client_id)
            assert client.codes != [0], (user, client_id)


def test_s50_a_device_hears_and_says_only_what_is_its_own(town: Town) -> None:
    """S-50, S-51: other devices' topics, wildcards and the system's are refused; a denied value arrives nowhere."""
    with Client(town, "t1", town.passwords["t1"], "t1") as one:
        assert one.is_in
        assert one.subscribe("dev/t1/cmd") in (0, 1)
        for topic in ("dev/t2/cmd", "dev/t2/state/temperature", "dev/+/cmd", "dev/#", "#", "+/t1/cmd", "dev/t1/#"):
            assert one.subscribe(topic) >= 128, topic
        for topic in (
            "$SYS/#",
            "$SYS/REQ/SERVER/PING",
            "$MQTT/#",
            "$JS/API/#",
            "fl/#",
            "fl/node/local/NodeWanted",
            "_INBOX/#",
        ):
            assert one.subscribe(topic) >= 128, topic
        for topic in (
            "dev/t2/state/temperature",
            "dev/t2/status",
            "dev/fan-1/cmd",
            "fl/report/local",
            "fl/ask/CommandAsk",
        ):
            one.publish(topic, "66.6")
    with Client(town, "t1", town.passwords["t1"], "t1") as one:
        one.publish("dev/t1/state/temperature", "21.5")
        until(lambda: _value(town, "t1") == 21.5, "a reading of its own arrives")
    assert _value(town, "t2") is None
    assert town.api("GET", "/devices/t2")["status"] == "provisioned"


def _value(town: Town, device: str) -> Any:
    values = town.api("GET", f"/devices/{device}")["values"]
    items = values.items() if isinstance(values, dict) else [(one["property"], one) for one in values]
    return next((one["value"] for name, one in items if name == "temperature"), None)


def test_s50_nobody_takes_another_devices_session(town: Town) -> None:
    """S-50: a client id of another device closes nothing of that device's."""
    with Client(town, "t1", town.passwords["t1"], "t1") as one:
        assert one.subscribe("dev/t1/cmd") in (0, 1)
        for client_id in ("t1", "t1:rx"):
            with Client(town, "t2", town.passwords["t2"], client_id) as thief:
                assert not thief.is_in
        assert one.is_in
        one.publish("dev/t1/state/temperature", "22.5")
        until(lambda: _value(town, "t1") == 22.5, "the first connection still works")


def test_s51_the_bus_takes_no_devices_password_and_nobody_nameless(town: Town) -> None:
    """S-51: the port for programs: no credentials, a device's, the sentinel's own way of asking: refused."""
    url = json.loads((town.home.bus / "server.json").read_text())["url"]
    host, _, port = url.removeprefix("nats://").rpartition(":")
    for options in ({}, {"user": "t1", "pass": town.passwords["t1"]}, {"auth_token": town.tokens["admin"]}):
        with socket.create_connection((host, int(port)), timeout=LATE_S) as sock:
            sock.settimeout(LATE_S)
            reader = sock.makefile("rb")
            assert reader.readline().startswith(b"INFO ")
            connect = {"verbose": False, "pedantic": False, "lang": "x", "version": "1", "protocol": 1, **options}
            sock.sendall(f"CONNECT {json.dumps(connect)}\r\nSUB > 1\r\nPING\r\n".encode())
            said = reader.read()
        assert b"PONG" not in said
        assert b"-ERR 'Authorization Violation'" in said, said


def test_s50_a_retired_device_is_cut_at_once(town: Town) -> None:
    """S-50, S-74: retired or given a new password: its connection ends within a second and does not come back."""
    took = []
    for number in range(TRIES):
        device = f"gone-{number}"
        body = {"id": device, "type": "temperature", "at": "town/hall"}
        password = town.api("POST", "/devices", json=body)["password"]
        town.canaries[f"password of {device}"] = password
        _until_in(town, device, password)
        with Client(town, device, password, device) as client:
            assert client.is_in
            began = time.monotonic()
            with revoking(town, f"/devices/{device}"):
                assert client.gone.wait(LATE_S), "it stays connected"
                took.append(time.monotonic() - began)
        with Client(town, device, password, device) as client:
            assert not client.is_in
        if took[-1] <= AT_ONCE_S:
            break
    in_time("it ended", min(took), AT_ONCE_S)


def _until_in(town: Town, device: str, password: str) -> None:
    """Wait until the keeper knows the device: it is told a moment after the answer."""

    def enters() -> bool:
        with Client(town, device, password, device) as client:
            return client.is_in

    until(enters, f"{device} is let in")


# --- what lies around (S-01, S-50, S-70, S-72, S-73) ------------------------------------------------------------------


def test_s01_nothing_else_listens(town: Town) -> None:
    """S-01, S-06: on TCP only the two doors and the bus's loopback ports, and the port of a program's page; no UDP."""
    process = town.platform.process
    assert process is not None
    ours = {process.pid, *strays.find(strays.home_id(town.platform.home)), *town.platform.pids().values()}
    ours |= {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
    found = [item for item in psutil.net_connections("inet") if item.pid in ours]
    listening = {(item.laddr.ip, item.laddr.port) for item in found if item.status == psutil.CONN_LISTEN}
    assert all(item.type == socket.SOCK_STREAM for item in found), found
    bus = json.loads((town.home.bus / "server.json").read_text())
    kept = json.loads((town.home.keeper / "runs" / f"{town.run_of('program')['id']}.json").read_text())
    ports = {town.platform.port, town.platform.mqtt, kept["port"]}
    ports |= {int(bus[name].rpartition(":")[2]) for name in ("url", "devices")}
    assert listening == {("127.0.0.1", port) for port in ports}


def test_s50_other_users_of_the_machine_read_nothing(town: Town) -> None:
    """S-50: every file of the home that other users could come by is closed to them, but bundles' and environments'."""
    home = town.home
    assert stat.S_IMODE(home.root.stat().st_mode) & 0o066 == 0
    shared = {home.bundles, home.environments}
    found = []
    for folder, folders, files in os.walk(home.root):
        here = Path(folder)
        folders[:] = [name for name in folders if here / name not in shared and (here / name).stat().st_mode & 0o001]
        found += [here / name for name in files if (here / name).stat().st_mode & 0o006]
    assert found == []
    for path in (home.control_socket, home.waker_socket, home.admin_socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(home.run.stat().st_mode) == 0o711


def test_s72_what_people_write_stays_one_line_of_the_log(town: Town) -> None:
    """S-72: newlines, escapes and marks in paths, headers and names forge no line of a log."""
    evil = "/api/v1/models/x%0a%7b%22said%22%3a%22forged%22%7d%1b%5b2J%E2%80%AE"
    assert town.call("GET", evil).status_code == 404
    town.call("POST", "/api/v1/login", "", json={"user": 'x\n{"said": "forged"}\x1b[2J', "password": "x"})
    with Client(town, 'x\n{"said": "forged"}', "x", "y"):
        pass
    for path in sorted(town.home.logs.glob("*.log")):
        for line in path.read_text(errors="replace").splitlines():
            assert not line.startswith('{"said": "forged"'), path
            assert "\x1b" not in line, path
            if path.name == "control.log":
                assert "said" in json.loads(line), line


def test_s73_logs_need_a_token_and_their_owner(town: Town) -> None:
    """S-73: logs of the platform are configurers', those of a bundle its owner's too."""
    refused(town.call("GET", "/api/v1/logs?of=control", ""), 401, "token_required")
    refused(town.call("GET", "/api/v1/logs?of=control", "ada"), 403, "role_needed")
    refused(town.call("GET", "/api/v1/logs?of=hostile", "bob"), 403, "not_owner")
    for name in ("../keys/current.pem", "..%2fkeys", "hostile/../../keys", "/etc/passwd", "run-../../keys"):
        assert town.call("GET", "/api/v1/logs", params={"of": name}).status_code in (404, 422), name
    assert town.call("GET", "/api/v1/logs?of=hostile", "ada").status_code == 200


def test_s70_s73_no_secret_lies_around(town: Town) -> None:
    """S-70, S-73: every password, token and secret of this town: in no log, no file, no answer but the one that gave it.

    Left out: the folders that hold keys on purpose, and where gates stand because they are compared there.
    """
    home, planted = town.home, dict(town.canaries)
    for number in range(3):  # tokens and passwords that were only tried
        planted[f"tried {number}"] = word = f"fl_{secrets.token_urlsafe(24)}"
        town.call("POST", "/api/v1/login", "", json={"user": "bob", "password": word})
        town.call("GET", f"/api/v1/me?token={word}", "", headers={"authorization": f"Bearer {word}"})
        with Client(town, "t1", word, "t1"):
            pass
    assert len(planted) >= 20
    needles = {name: value.rpartition(".")[2].encode() for name, value in planted.items()}  # of a token its signature
    gates = {name for name in needles if name.startswith("gate of ")}
    holds_gates = (home.envoy, home.keeper / "wanted.msgpack", home.database)
    leaks = []
    for path in home.root.rglob("*"):
        if not path.is_file() or path.is_symlink() or path.is_relative_to(home.environments):
            continue
        if path.is_relative_to(home.keys) or path.parent == home.bus or path == home.keeper / "simulator.json":
            continue
        data = path.read_bytes()
        may = any(path.is_relative_to(place) or path.name.startswith(place.name) for place in holds_gates)
        leaks += [(name, path) for name, value in needles.items() if value in data and not (may and name in gates)]
    assert leaks == []
    gave = re.compile(r"(POST /api/v1/(login|tokens|users|devices)|PATCH /api/v1/(users|devices)/.*)$")
    told = [
        (name, request)
        for request, text in town.heard
        for name, value in needles.items()
        if value.decode() in text and not gave.fullmatch(request) and name != "gate of hostile"  # it told its own
    ]
    assert told == []
