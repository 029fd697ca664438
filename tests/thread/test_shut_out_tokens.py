"""Who gets in by which token, cookie and role: a whole platform under attack from people.

Ids in docstrings: the list of attacks (S-01 to S-74). A refusal is asserted by its exact code: an open door and a
broken one look alike to "not 200".
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.thread.promises import in_time
from tests.thread.revoked import AT_ONCE_S, TRIES, revoking
from tests.thread.rig import LATE_S, until
from tests.thread.town import (
    Town,
    level,
    refused,
    town,
)

from fairlead import identity
from fairlead.accounts.policy import ALLOWED, Role, Verb

__all__ = ["level", "town"]
pytestmark = pytest.mark.timeout(300)
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
    names |= {
        "at": "town/hall",
        "command": "cmd-1",
        "run": run,
        "number": "1",
        "bundle": "hostile",
        "content": "0" * 64,
        "form": "sloth",
    }
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
        ("PATCH", "/api/v1/models/hostile", {"visibility": "team", "granted": ["public"]}),
        ("POST", "/api/v1/locations", {"path": "eve", "id": 1}),
    ):
        assert town.call(method, path, "admin", json=body).status_code == 422, (method, path)
    refused(
        town.call("POST", "/api/v1/tokens", "bob", json={"label": "x", "roles": ["configurer"]}), 403, "role_beyond"
    )
    refused(town.call("PATCH", "/api/v1/models/hostile", "bob", json={"owner": "bob"}), 403, "role_needed")
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
