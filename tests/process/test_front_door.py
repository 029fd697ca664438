"""The front door with a real Envoy: who gets in, what a bundle sees, and what happens when things move."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec
import psutil
import pytest
from tests.process.telling import Told, telling

from fairlead import identity
from fairlead.errors import SPREAD_MAX_S, Busy, Unavailable
from fairlead.gateway import DoorSettings, DoorState, Gateway, snapshot
from fairlead.keeper.doors.waker import Waker
from fairlead.messages import ExtraRoute, ModelRoute, PageRoute, Spent, Target

DEADLINE_S = 30

# A replica that says what it was sent; ``/slow`` in the path answers late, a body of ``raw`` comes back as it is.
ECHO = """
import asyncio, json, sys
from aiohttp import web

async def answer(request):
    body = await request.read()
    if "slow" in request.query:
        await asyncio.sleep(float(request.query["slow"]))
    if "raw" in request.query:
        return web.Response(body=body)
    seen = {"path": request.path_qs, "method": request.method, "who": sys.argv[2], "length": len(body),
            "headers": {key.lower(): value for key, value in request.headers.items()}}
    return web.json_response(seen)

app = web.Application(client_max_size=2**30)
app.router.add_route("*", "/{tail:.*}", answer)
web.run_app(app, path=sys.argv[1], print=None, backlog=4096)
"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class House:
    """A front door and what stands behind it, in a folder short enough for sockets."""

    folder: Path
    stack: ExitStack
    keys: identity.Keys
    door: DoorSettings
    state: DoorState
    envoy: subprocess.Popen[bytes] | None = None
    echoes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    told: Told | None = None

    def gateway(self) -> Gateway:
        if self.told is None:
            self.told = self.stack.enter_context(telling(self.door, self.folder / "envoy"))
        return Gateway(self.door, self.folder / "envoy", log=self.folder / "envoy.log", discovery=self.told.discovery)

    def start(self) -> None:
        gateway = self.gateway()
        gateway.prepare(snapshot(self.door, self.state, gateway.files, time.time()))
        self.run(gateway)

    def run(self, gateway: Gateway) -> None:
        """Start Envoy with what lies there."""
        log = self.stack.enter_context((self.folder / "envoy.log").open("wb"))
        self.envoy = subprocess.Popen(gateway.argv(), stdout=log, stderr=log)
        self.stack.callback(end, self.envoy)
        eventually(self.serves, f"envoy serves: {(self.folder / 'envoy.log').read_text()}")

    def kill(self) -> None:
        """End Envoy by SIGKILL."""
        assert self.envoy is not None
        self.envoy.send_signal(signal.SIGKILL)
        self.envoy.wait(DEADLINE_S)

    def serves(self) -> bool:
        assert self.envoy is not None
        assert self.envoy.poll() is None, (self.folder / "envoy.log").read_text()
        try:
            return self.call("GET", "/healthz").status == 200
        except OSError:
            return False

    def echo(self, name: str) -> str:
        """Start an upstream; returns its socket."""
        path = str(self.folder / f"{name}.sock")
        process = subprocess.Popen([sys.executable, "-c", ECHO, path, name])
        self.stack.callback(end, process)
        self.echoes[name] = process
        eventually(lambda: connects(path), f"{name} listens")
        return path

    def publish(self, kept: Gateway | None = None, **changes: Any) -> str:
        """Publish the state with ``changes`` in a loop of its own, by a gateway of its own or the one that is kept."""
        self.state = msgspec.structs.replace(self.state, **changes)

        made = kept or self.gateway()

        async def go() -> str:
            gateway = made
            try:
                return await gateway.publish(snapshot(self.door, self.state, gateway.files, time.time()))
            finally:
                await gateway.close()

        assert self.told is not None
        return asyncio.run_coroutine_threadsafe(go(), self.told.loop).result(DEADLINE_S)

    def token(self, user: str = "ada", *roles: str, **changes: Any) -> str:
        options: dict[str, Any] = {"keys": self.keys, "days": 1, "now": datetime.now(UTC), **changes}
        return identity.mint(user, roles or ("user",), **options).token

    def call(
        self, method: str, path: str, *, token: str = "", body: bytes | None = None, host: str = "", **headers: str
    ) -> Answer:
        address, _, port = self.door.listen.rpartition(":")
        connection = http.client.HTTPConnection(address, int(port), timeout=DEADLINE_S)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if host:
            sent["Host"] = host
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            found = {key.lower(): value for key, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def predict(self, model: str, token: str = "", **more: Any) -> Answer:
        return self.call("POST", f"/v1/models/{model}/predict", token=token, **{"body": b"{}", **more})


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(DEADLINE_S)


def build(stack: ExitStack) -> House:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fl")))
    keys = identity.load(folder / "keys")
    port = free_port()
    door = DoorSettings(
        listen=f"127.0.0.1:{port}",
        url=f"http://127.0.0.1:{port}",
        apps_domain="apps.localhost",
        control_socket=str(folder / "control.sock"),
        jobs_socket=str(folder / "jobs.sock"),
        waker_socket=str(folder / "waker.sock"),
        admin_socket=str(folder / "admin.sock"),
        body_max_bytes=1_000_000,
        bundle_max_bytes=5_000_000,
        public_per_s=1,
        public_burst=5,
    )
    house = House(folder, stack, keys, door, DoorState(jwks=keys.jwks()))
    house.echo("control")
    house.echo("jobs")
    return house


def model(name: str, **changes: Any) -> ModelRoute:
    return ModelRoute(
        **{
            "model": name,
            "visibility": "team",
            "owner": "ada",
            "targets": {"production": (Target("1"),)},
            "versions": ("1",),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with ExitStack() as stack:
        made = build(stack)
        one, two = made.echo("one"), made.echo("two")
        made.state = DoorState(
            jwks=made.keys.jwks(),
            routes=(
                model(
                    "flowers",
                    gone=("0.9",),
                    versions=("1", "2"),
                    targets={"production": (Target("1"),), "staging": (Target("2"),)},
                    entries=("explain",),
                    extra=(
                        ExtraRoute("/flights/delay", ("GET", "POST"), "explain"),
                        ExtraRoute("/flights/chart", ("GET",), produces="image/png"),
                    ),
                ),
                model("secret", visibility="private"),
                model("open", visibility="public"),
                model("empty", targets={}, versions=()),
            ),
            pages=(
                PageRoute(name="night", run="run-1", visibility="team", owner="ada"),
                PageRoute(name="diary", run="run-2", visibility="private", owner="ada"),
                PageRoute(name="fair", run="run-3", visibility="public", owner="ada"),
            ),
            endpoints={"flowers@1": (one,), "flowers@2": (two,), "secret@1": (one,), "open@1": (one,)},
            gates={"flowers@1": "gate-of-flowers-1"},
            page_endpoints={"run-1": one, "run-2": one, "run-3": one},
        )
        made.start()
        yield made


# --- tokens -----------------------------------------------------------------------------------------------------------


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["error"]["message"]
    assert answer.json["error"]["id"] == answer.headers["x-request-id"]


def test_without_a_token_nothing_opens(house: House) -> None:
    for path in ("/v1/models/flowers/predict", "/v1/models/none/predict", "/v1/models", "/api/v1/models", "/metrics"):
        refused(house.call("GET", path), 401, "token_required")
    refused(house.call("GET", "/", host="night.apps.localhost"), 401, "token_required")
    refused(house.call("GET", "/", host="nowhere.apps.localhost"), 401, "token_required")


@pytest.mark.parametrize("junk", ["nonsense", "fl_", "fl_a.b.c", "fl_" + "x" * 5000])
def test_junk_is_no_token(house: House, junk: str) -> None:
    refused(house.predict("flowers", junk), 401, "token_invalid")


def test_a_token_of_other_keys_is_refused(house: House) -> None:
    stranger = identity.Keys(identity.new_key())
    refused(house.predict("flowers", house.token(keys=stranger)), 401, "token_invalid")
    lying = identity.Keys(replace(identity.new_key(), kid=house.keys.current.kid))
    refused(house.predict("flowers", house.token(keys=lying)), 401, "token_invalid")


def test_unsigned_and_endless_tokens_are_refused(house: House) -> None:
    now = int(time.time())
    claims = {"iss": "fairlead", "aud": "fairlead", "sub": "ada", "role": "configurer", "jti": "tok-1", "iat": now}
    none = jwt.encode({**claims, "exp": now + 60}, None, algorithm="none")
    refused(house.predict("flowers", f"fl_{none}"), 401, "token_invalid")
    private, headers = house.keys.current.private, {"kid": house.keys.current.kid}
    endless = jwt.encode(claims, private, algorithm="EdDSA", headers=headers)
    refused(house.predict("flowers", f"fl_{endless}"), 401, "token_invalid")
    long = jwt.encode({**claims, "exp": now + 900 * 86_400}, private, algorithm="EdDSA", headers=headers)
    refused(house.predict("flowers", f"fl_{long}"), 401, "token_invalid")


def test_an_expired_token_is_refused_as_such(house: House) -> None:
    old = house.token(now=datetime.now(UTC) - timedelta(days=2))
    refused(house.predict("flowers", old), 401, "token_expired")


def test_all_three_ways_of_sending_a_token_open(house: House) -> None:
    token = house.token()
    assert house.predict("flowers", token).status == 200
    assert house.predict("flowers", x_api_key=token).status == 200
    own = house.door.url
    assert house.predict("flowers", origin=own, cookie=f"a=b; fl_session={token.removeprefix('fl_')}").status == 200


def test_another_role_sees_no_private_model(house: House) -> None:
    refused(house.predict("secret", house.token("bob", "user", "ai_developer")), 404, "no_such_model")
    absent = house.predict("none", house.token("bob"))
    refused(absent, 404, "no_such_model")
    assert house.predict("secret", house.token("ada")).status == 200
    assert house.predict("secret", house.token("bob", "user", "configurer")).status == 200


def test_public_models_need_no_token_and_are_limited(house: House) -> None:
    answers = [house.predict("open") for _ in range(12)]
    assert answers[0].status == 200
    assert "x-fairlead-user" not in answers[0].json["headers"]
    limited = [answer for answer in answers if answer.status != 200]
    assert limited
    refused(limited[0], 429, "rate_limited")
    told = {house.predict("open").headers.get("retry-after", "1") for _ in range(30)}
    assert told == {"1", "2"}, "who is refused together is not told to come back together"
    refused(house.predict("open", "fl_a.b.c"), 401, "token_invalid")


# --- what a bundle sees -----------------------------------------------------------------------------------------------


def test_one_person_and_one_token_ask_only_so_often(limited: House) -> None:
    """S-20 of serving: all models and the API together; others are not held up."""
    house = limited
    ada, again = house.token("ada"), house.token("ada")

    def codes(token: str, count: int) -> list[tuple[int, str]]:
        answers = [house.predict(name, token) for name in ("flowers", "roses") * (count // 2)]
        refused_ones = [answer for answer in answers if answer.status == 429]
        assert all(answer.headers["retry-after"] in ("1", "2") for answer in refused_ones)
        return [(answer.status, answer.code if answer.status == 429 else "") for answer in answers]

    first = codes(ada, 60)
    assert first[:4] == [(200, "")] * 4, "a burst of twice the rate"
    assert (429, "rate_limited") in first
    second = codes(again, 60)
    assert second.count((200, "")) >= 2, "another token of hers has its own bucket"
    assert second.count((200, "")) < 60
    asked = [house.call("GET", "/api/v1/me", token=again).status for _ in range(60)]
    assert 429 in asked, "the API counts too"
    assert codes(house.token("bob"), 4) == [(200, "")] * 4
    assert house.call("GET", "/healthz").status == 200


@pytest.fixture
def limited() -> Iterator[House]:
    with ExitStack() as stack:
        made = build(stack)
        made.door = msgspec.structs.replace(made.door, user_per_s=4, token_per_s=2)
        one = made.echo("one")
        made.state = DoorState(
            jwks=made.keys.jwks(),
            routes=(model("flowers"), model("roses")),
            endpoints={"flowers@1": (one,), "roses@1": (one,)},
        )
        made.start()
        yield made


def test_who_has_used_up_their_calls_calls_no_model_and_does_all_else(house: House) -> None:
    """S-20 of serving: a quota; the front door takes it from the routes, and a day later from nowhere."""
    ada, bob, small = house.token("ada"), house.token("bob"), house.token("bob")
    jti = str(jwt.decode(small.removeprefix("fl_"), options={"verify_signature": False})["jti"])
    before = house.state
    house.state = msgspec.structs.replace(before, spent=Spent("2026-11-21", users=("ada",), tokens=(jti,)))
    assert house.publish() == ""
    try:
        eventually(lambda: house.predict("flowers", ada).status == 429, "the quota is in force")
        for token, whose in ((ada, "you have"), (small, "this token has")):
            for path in ("/v1/models/flowers/predict", "/v1/models/flowers@2/predict", "/v1/models/flowers:predict"):
                answer = house.call("POST", path, token=token, body=b"{}")
                refused(answer, 429, "quota_exceeded")
                assert whose in answer.json["error"]["message"]
                assert "00:00 UTC" in answer.json["error"]["message"]
                left_s = 86_400 - time.time() % 86_400
                assert 0 < int(answer.headers["retry-after"]) <= 86_400 + SPREAD_MAX_S
                off_s = abs(int(answer.headers["retry-after"]) - left_s)
                assert min(off_s, 86_400 - off_s) < 60
            refused(house.call("GET", "/flights/chart", token=token), 429, "quota_exceeded")
            tensors = house.call("POST", "/v2/models/flowers/infer", token=token, body=b"{}")
            assert tensors.status == 429
            assert "00:00 UTC" in tensors.json["error"]
            for path in ("/api/v1/me", "/v1/models", "/v1/models/flowers/docs", "/v2/models/flowers"):
                assert house.call("GET", path, token=token).status == 200, path
            assert house.call("POST", "/v1/models/flowers/jobs", token=token, body=b"{}").status == 200, "control's"
            assert house.call("GET", "/", host="run-1.apps.localhost", token=token).status == 200
        assert house.predict("flowers", bob).status == 200
        assert house.predict("open").status == 200
    finally:
        house.state = before
        house.publish()
    eventually(lambda: house.predict("flowers", ada).status == 200, "it opens again")
    assert house.predict("flowers", small).status == 200


def test_a_bundle_sees_the_claims_and_its_gate_but_no_token(house: House) -> None:
    token = house.token("ada", "user", "configurer")
    forged = {f"x_fairlead_{name}": "forged" for name in ("user", "role", "token", "gate", "model", "other")}
    seen = house.predict(
        "flowers",
        token,
        cookie=f"mine=1; fl_session={token.removeprefix('fl_')}",
        x_api_key=token,
        x_forwarded_for="9.9.9.9",
        x_forwarded_host="evil",
        x_envoy_original_path="/x",
        **forged,
    ).json["headers"]
    assert seen["x-fairlead-user"] == "ada"
    assert seen["x-fairlead-role"] == "user configurer"
    assert seen["x-fairlead-token"].startswith("tok-")
    assert seen["x-fairlead-gate"] == "gate-of-flowers-1"
    assert seen["x-fairlead-model"] == "flowers@1"
    assert "forged" not in seen.values()
    assert not {"authorization", "x-api-key", "cookie", "x-forwarded-host", "x-envoy-original-path"} & set(seen)
    assert "9.9.9.9" not in seen["x-forwarded-for"]
    assert token.removeprefix("fl_") not in json.dumps(seen)


def test_envoys_own_headers_from_a_client_do_nothing(house: House) -> None:
    sent = {"x_envoy_upstream_rq_timeout_ms": "1", "x_envoy_max_retries": "0", "x_envoy_upstream_alt_stat_name": "x"}
    answer = house.call("POST", "/v1/models/flowers/predict?slow=0.2", token=house.token(), body=b"{}", **sent)
    assert answer.status == 200
    assert not {name.replace("_", "-") for name in sent} & set(answer.json["headers"])


def test_headers_with_underscores_are_refused(house: House) -> None:
    address, _, port = house.door.listen.rpartition(":")
    connection = http.client.HTTPConnection(address, int(port), timeout=DEADLINE_S)
    connection.request("GET", "/healthz", headers={"X_Fairlead_User": "root"})
    assert connection.getresponse().status == 400
    connection.close()


def test_the_platforms_cookie_does_not_reach_a_page(house: House) -> None:
    token = house.token()
    cookie = f"mine=1; fl_session={token.removeprefix('fl_')}; other=a=b; fl_session_2=x"
    seen = house.call("GET", "/place?q=1", host="night.apps.localhost:80", cookie=cookie).json
    assert seen["path"] == "/place?q=1"
    assert seen["headers"]["cookie"] == "mine=1; other=a=b; fl_session_2=x"
    assert seen["headers"]["x-forwarded-host"] == "night.apps.localhost:80"
    assert seen["headers"]["x-fairlead-user"] == "ada"
    assert "authorization" not in house.call("GET", "/", host="night.apps.localhost", token=token).json["headers"]


def test_pages_open_to_those_who_may_see_them(house: House) -> None:
    bob = house.token("bob")
    assert house.call("GET", "/", host="run-1.apps.localhost", token=bob).status == 200
    refused(house.call("GET", "/", host="diary.apps.localhost", token=bob), 404, "no_such_page")
    refused(house.call("GET", "/", host="nowhere.apps.localhost", token=bob), 404, "no_such_page")
    assert house.call("GET", "/", host="fair.apps.localhost").status == 200


def test_a_token_for_one_page_opens_only_that_page(house: House) -> None:
    token = house.token(audience=identity.page_audience("night"))
    assert house.call("GET", "/", host="night.apps.localhost", token=token).status == 200
    refused(house.call("GET", "/", host="diary.apps.localhost", token=token), 404, "no_such_page")
    refused(house.predict("flowers", token), 401, "token_invalid")
    refused(house.call("GET", "/api/v1/models", token=token), 401, "token_invalid")


def test_control_gets_the_token_itself(house: House) -> None:
    token = house.token()
    seen = house.call("GET", "/api/v1/models", token=token).json
    assert seen["who"] == "control"
    assert seen["headers"]["authorization"] == f"Bearer {token}"
    assert seen["headers"]["x-fairlead-user"] == "ada"
    old = house.token(now=datetime.now(UTC) - timedelta(days=2)).removeprefix("fl_")
    assert house.call("GET", "/", cookie=f"fl_session={old}").json["who"] == "control"


# --- where requests go ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "who", "arrives"),
    [
        ("POST", "/v1/models/flowers/predict", "one", ""),
        ("POST", "/v1/models/flowers:predict", "one", ""),
        ("POST", "/v1/models/flowers/explain?a=1", "one", ""),
        ("GET", "/v1/models/flowers/openapi.json", "control", ""),
        ("POST", "/v1/models/flowers@staging/predict", "two", ""),
        ("POST", "/v1/models/flowers@2/predict", "two", ""),
        ("POST", "/v2/models/flowers/infer", "one", ""),
        ("POST", "/v2/models/flowers/versions/2/infer", "two", ""),
        ("POST", "/flights/delay?a=1", "one", "/v1/models/flowers/explain?a=1"),
        ("GET", "/flights/delays", "control", ""),
        ("POST", "/v1/models/flowers/jobs", "jobs", ""),
        ("POST", "/v1/models/flowers@staging/explain/jobs?a=1", "jobs", ""),
        ("GET", "/v1/models/flowers/jobs", "control", ""),
        ("GET", "/v1/models/flowers", "control", ""),
        ("GET", "/v1/models", "control", ""),
        ("GET", "/v2/models/flowers", "control", ""),
        ("GET", "/v2/health/ready", "control", ""),
        ("GET", "/a/page/of/the/house", "control", ""),
    ],
)
def test_paths_lead_where_they_should(house: House, method: str, path: str, who: str, arrives: str) -> None:
    seen = house.call(method, path, token=house.token(), body=b"{}").json
    assert (seen["who"], seen["path"]) == (who, arrives or path)


@pytest.mark.parametrize(
    ("body", "headers", "who"),
    [
        (b"", {}, "jobs"),
        (b"x" * 65_536, {}, "jobs"),
        (b"x" * 65_537, {}, "control"),
        (b"{}", {"content_encoding": "packed"}, "control"),
        (b"{}", {"prefer": "wait=5"}, "control"),
        (b"{}", {"transfer_encoding": "chunked"}, "control"),
    ],
)
def test_small_jobs_whose_callers_wait_for_nothing_have_a_door_of_their_own(
    house: House, body: bytes, headers: dict[str, str], who: str
) -> None:
    if headers.get("transfer_encoding"):
        body = b"2\r\n{}\r\n0\r\n\r\n"
    answer = house.call("POST", "/v1/models/flowers/jobs", token=house.token(), body=body, **headers)
    assert answer.json["who"] == who


def test_prefer_respond_async_leads_to_control(house: House) -> None:
    answer = house.predict("flowers", house.token(), prefer="wait=5, respond-async")
    assert answer.json["who"] == "control"


def test_a_route_asks_for_the_type_that_it_produces(house: House) -> None:
    answer = house.call("GET", "/flights/chart", token=house.token(), accept="text/html")
    assert (answer.json["path"], answer.json["headers"]["accept"]) == ("/v1/models/flowers/predict", "image/png")
    plain = house.call("GET", "/flights/delay", token=house.token(), accept="text/html")
    assert plain.json["headers"]["accept"] == "text/html"


def test_versions_that_are_gone_or_not_there_say_so(house: House) -> None:
    token = house.token()
    refused(house.predict("flowers@0.9", token), 410, "version_gone")
    refused(house.predict("flowers@7", token), 404, "version_not_found")
    refused(house.predict("secret@7", house.token("bob", "user", "ai_developer")), 404, "no_such_model")
    refused(house.predict("empty", token), 503, "model_not_ready")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/secret/predict;x=y", 400),
        ("/v1/models/flowers/..;/secret/predict", 404),
        ("/v1/models/flowers/%3bx/predict", 400),
        ("/v1/models/flowers/%3B/predict", 400),
        ("/v1/models/flowers%2f..%2fsecret/predict", 400),
        ("/v1/models/flowers%5csecret/predict", 400),
        ("/v1/models/secret/predict%00", 400),
        ("/v1/models/secret/predict#", 400),
        ("//v1/models/secret/predict", 404),
        ("/v1//models/secret//predict", 404),
        ("/v1/models/flowers/../secret/predict", 404),
        ("/v1/models/flowers/%2e%2e/secret/predict", 404),
        ("/v1/models/./secret/predict", 404),
        ("/v1/models/s%65cret/predict", 404),
        ("/v1/models/flowers/\xff;/predict", 400),
    ],
)
def test_path_tricks_open_nothing(house: House, path: str, status: int) -> None:
    answer = raw(house, f"POST {path} HTTP/1.1", house.token("bob"))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    if status == 404:
        assert b"no_such_model" in answer


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/model/flowers/predict", "/v1/models/NAME/predict"),
        ("/v1/flowers/predict?a=1", "/v1/models/NAME/predict"),
        ("/v1/predict", "/v1/models/NAME/predict"),
    ],
)
def test_a_mistaken_path_is_told_the_right_one(house: House, path: str, meant: str) -> None:
    answer = house.call("POST", path, token=house.token(), body=b"{}")
    refused(answer, 404, "no_such_path")
    assert answer.json["error"]["hint"].startswith(f"did you mean {meant}?")
    assert answer.json["error"]["message"].startswith(path)


def test_a_mistaken_path_below_v2_is_told_the_right_one_in_one_text(house: House) -> None:
    answer = house.call("POST", "/v2/model/flowers/infer", token=house.token(), body=b"{}")
    assert answer.status == 404
    assert "did you mean /v2/models/NAME/infer?" in answer.json["error"]


def raw(house: House, line: str, token: str, more: bytes = b"content-length: 0\r\n") -> bytes:
    """Send a request byte by byte as it is written, return the whole answer."""
    address, _, port = house.door.listen.rpartition(":")
    with socket.create_connection((address, int(port)), timeout=DEADLINE_S) as connection:
        connection.settimeout(DEADLINE_S)
        head = f"{line}\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n".encode("latin-1")
        connection.sendall(head + more + b"\r\n")
        answer = b""
        while not answer.endswith((b"}", b"}\n")) and (chunk := connection.recv(65_536)):
            answer += chunk
    return answer


@pytest.mark.parametrize(
    "more",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"content-length: 4\r\ncontent-length: 5\r\n",
        b"content-length : 0\r\n",
        b"x-a: b\r\n c\r\ncontent-length: -1\r\n",
    ],
)
def test_ambiguous_framing_is_refused(house: House, more: bytes) -> None:
    answer = raw(house, "POST /v1/models/flowers/predict HTTP/1.1", house.token(), more)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), answer


def test_connect_is_refused_and_harmless(house: House) -> None:
    answer = raw(house, "CONNECT secret:80 HTTP/1.1", house.token(), b"")
    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 404", b"HTTP/1.1 400")), answer
    assert house.serves()


def test_too_much_is_refused(house: House) -> None:
    token = house.token()
    refused(house.predict("flowers", token, body=b"x" * 1_000_001), 413, "body_too_large")
    assert house.predict("flowers", token, body=b"x" * 1_000_000).status == 200
    assert house.call("POST", "/api/v1/bundles", token=token, body=b"x" * 1_000_001).status == 200
    assert house.predict("flowers", token, x_long="y" * 70_000).status == 431
    assert house.predict("flowers", token, **{f"x_{number}": "1" for number in range(120)}).status == 431


def test_the_admin_interface_is_on_no_tcp_port(house: House) -> None:
    assert house.envoy is not None
    sockets = psutil.Process(house.envoy.pid).net_connections("tcp")
    listening = {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN}
    assert listening == {int(house.door.listen.rpartition(":")[2])}
    assert Path(house.door.admin_socket).stat().st_mode & 0o777 == 0o600


def test_secrets_lie_in_files_of_the_owner_alone(house: House) -> None:
    for file in (house.folder / "envoy").rglob("*.json"):
        assert file.stat().st_mode & 0o077 == 0, file


# --- what moves -------------------------------------------------------------------------------------------------------


@pytest.fixture
def moving() -> Iterator[House]:
    with ExitStack() as stack:
        yield build(stack)


def test_a_revoked_token_is_refused_and_no_other(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    minted = identity.mint("ada", ("user",), keys=moving.keys, days=1, now=datetime.now(UTC))
    other = moving.token()
    assert moving.predict("flowers", minted.token).status == 200
    assert moving.publish(denied={minted.jti: minted.expires.timestamp()}) == ""
    eventually(lambda: moving.predict("flowers", minted.token).status == 401, "the token is refused")
    refused(moving.predict("flowers", minted.token), 401, "token_revoked")
    refused(moving.call("GET", "/api/v1/models", token=minted.token), 401, "token_revoked")
    assert moving.predict("flowers", other).status == 200


def test_a_rotated_key_keeps_old_tokens_until_the_next_rotation(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    old = moving.token()
    moving.keys = identity.rotate(moving.folder / "keys")
    assert moving.publish(jwks=moving.keys.jwks()) == ""
    new = moving.token()
    eventually(lambda: moving.predict("flowers", new).status == 200, "the new key counts")
    assert moving.predict("flowers", old).status == 200
    moving.keys = identity.rotate(moving.folder / "keys")
    assert moving.publish(jwks=moving.keys.jwks()) == ""
    eventually(lambda: moving.predict("flowers", old).status == 401, "the oldest key no longer counts")
    assert moving.predict("flowers", new).status == 200


def test_two_hundred_routes_and_a_restart_from_the_files(moving: House) -> None:
    one = moving.echo("one")
    names = [f"model-{number}" for number in range(200)]
    moving.state = DoorState(
        jwks=moving.keys.jwks(),
        routes=tuple(model(name) for name in names),
        endpoints={f"{name}@1": (one,) for name in names},
    )
    moving.start()
    token = moving.token()
    assert {moving.predict(name, token).json["headers"]["x-fairlead-model"] for name in names} == {
        f"{name}@1" for name in names
    }
    moving.kill()
    moving.state = DoorState(jwks=moving.keys.jwks())  # a keeper that knows nothing yet
    moving.start()
    assert moving.predict("model-199", token).status == 200


def test_envoy_outlives_the_program_that_started_it(moving: House) -> None:
    moving.start()
    assert moving.envoy is not None
    end(moving.envoy)
    started = subprocess.run(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL,"
            " stderr=subprocess.DEVNULL, start_new_session=True).pid)",
            *moving.gateway().argv(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    pid = int(started.stdout)
    try:
        eventually(lambda: answers(moving), "envoy serves without its parent")
    finally:
        os.kill(pid, signal.SIGKILL)


def answers(house: House) -> bool:
    try:
        return house.call("GET", "/healthz").status == 200
    except OSError:
        return False


class Load:
    """Requests from several threads until stopped; keeps what was not 200."""

    def __init__(self, house: House, model: str, threads: int = 6) -> None:
        self._house, self._model, self._threads = house, model, threads
        self._token = house.token()
        self._stop = threading.Event()
        self.served = 0
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        self._pool = ThreadPoolExecutor(self._threads)
        self._running = [self._pool.submit(self._loop) for _ in range(self._threads)]
        self.more(50)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for future in self._running:
            future.result(DEADLINE_S)
        self._pool.shutdown()

    def more(self, count: int) -> None:
        """Wait until ``count`` more were served."""
        aim = self.served + count
        eventually(lambda: self.served >= aim or self.failures, f"{count} more answers")

    def _loop(self) -> None:
        while not self._stop.is_set():
            answer = self._house.predict(self._model, self._token)
            if answer.status == 200:
                self.served += 1
            else:
                self.failures.append(f"{answer.status} {answer.body[:200]!r}")


def test_a_killed_replica_of_two_fails_nobody(moving: House) -> None:
    one, two = moving.echo("one"), moving.echo("two")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one, two)})
    moving.start()
    with Load(moving, "flowers") as load:
        moving.echoes["one"].kill()
        load.more(200)
        assert moving.publish(endpoints={"flowers@1": (two,)}) == ""
        load.more(50)
    assert load.failures == []


def test_changing_endpoints_versions_and_routes_under_load_fails_nobody(moving: House) -> None:
    one, two = moving.echo("one"), moving.echo("two")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    with Load(moving, "flowers") as load:
        for number in range(2, 8):
            version = str(number)
            moved = model("flowers", targets={"production": (Target(version),)}, versions=(version,))
            socket_path = two if number % 2 else one
            assert moving.publish(routes=(moved,), endpoints={f"flowers@{version}": (socket_path,)}) == ""
            load.more(20)
    assert load.failures == []


def test_weights_share_the_traffic(moving: House) -> None:
    one, two = moving.echo("one"), moving.echo("two")
    canary = model("flowers", targets={"production": (Target("1", 90), Target("2", 10))}, versions=("1", "2"))
    moving.state = DoorState(
        jwks=moving.keys.jwks(), routes=(canary,), endpoints={"flowers@1": (one,), "flowers@2": (two,)}
    )
    moving.start()
    token = moving.token()
    seen = [moving.predict("flowers", token).json["headers"]["x-fairlead-model"] for _ in range(400)]
    assert set(seen) == {"flowers@1", "flowers@2"}
    assert 10 <= seen.count("flowers@2") <= 80  # 40 expected; five standard deviations


def test_a_lost_control_waits_a_moment_then_says_so(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    end(moving.echoes["control"])
    assert moving.predict("flowers", moving.token()).status == 200
    refused(moving.call("GET", "/api/v1/models", token=moving.token()), 503, "control_unavailable")


def test_requests_wait_while_control_restarts(moving: House) -> None:
    moving.start()
    end(moving.echoes["control"])
    Path(moving.door.control_socket).unlink(missing_ok=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(moving.call, "GET", "/api/v1/models", token=moving.token())
        moving.echo("control")
        assert waiting.result(DEADLINE_S).status == 200


def test_traffic_is_counted_per_version(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(
        jwks=moving.keys.jwks(),
        routes=(model("plane-delay", versions=("1.2.0",), targets={"production": (Target("1.2.0"),)}),),
        endpoints={"plane-delay@1.2.0": (one,)},
    )
    moving.start()
    for _ in range(3):
        moving.predict("plane-delay", moving.token())

    async def look() -> int:
        gateway = moving.gateway()
        try:
            return (await gateway.stats()).versions["plane-delay@1.2.0"].total
        finally:
            await gateway.close()

    assert asyncio.run(look()) == 3


# --- sleeping models --------------------------------------------------------------------------------------------------


async def test_a_sleeping_model_wakes_and_loses_no_request(moving: House) -> None:
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),))
    woken = asyncio.Event()
    asked: list[str] = []

    async def resolve(name: str, version: str, left_s: float | None) -> Path:
        asked.append(f"{name}@{version}")
        await woken.wait()
        return moving.folder / "one.sock"

    waker = Waker(Path(moving.door.waker_socket), resolve)
    await waker.open()
    try:
        await asyncio.to_thread(moving.start)
        token = moving.token()
        big = os.urandom(900_000)
        path = "/v1/models/flowers/predict?raw=1"
        large = asyncio.create_task(asyncio.to_thread(moving.call, "POST", path, token=token, body=big))
        small = [asyncio.create_task(asyncio.to_thread(moving.predict, "flowers", token)) for _ in range(3)]
        async with asyncio.timeout(DEADLINE_S):
            while waker.waiting("flowers", "1") < 4:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(moving.echo, "one")
        woken.set()
        answers = await asyncio.gather(*small)
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert (await large).body == big
        assert set(asked) == {"flowers@1"}
        assert waker.waiting("flowers", "1") == 0
    finally:
        await waker.close()


def test_a_sleeping_model_without_a_keeper_says_so(moving: House) -> None:
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),))
    moving.start()
    with socket.socket(socket.AF_UNIX) as killed:  # what a keeper leaves that was killed: a socket of nobody
        killed.bind(moving.door.waker_socket)

    answer = moving.predict("flowers", moving.token())

    refused(answer, 503, "model_unreachable")
    assert "fairlead status" in answer.json["error"]["hint"]


async def test_going_to_sleep_and_waking_under_load_fails_nobody(moving: House) -> None:
    one = await asyncio.to_thread(moving.echo, "one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})

    async def resolve(name: str, version: str, left_s: float | None) -> Path:
        return Path(one)

    waker = Waker(Path(moving.door.waker_socket), resolve)
    await waker.open()
    try:
        await asyncio.to_thread(moving.start)
        load = await asyncio.to_thread(Load(moving, "flowers").__enter__)
        for number in range(10):
            endpoints = {"flowers@1": (one,)} if number % 2 else {}
            assert await asyncio.to_thread(lambda chosen=endpoints: moving.publish(endpoints=chosen)) == ""
            await asyncio.to_thread(load.more, 20)
        await asyncio.to_thread(load.__exit__)
        assert load.failures == []
    finally:
        await waker.close()


@pytest.mark.parametrize(("awake", "times"), [(3, 2), (1, 2), (0, 1)])
async def test_a_call_that_ends_its_process_is_carried_out_twice_at_most(moving: House, awake: int, times: int) -> None:
    carried_out = 0

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal carried_out
        await reader.readuntil(b"\r\n\r\n")
        carried_out += 1
        writer.transport.abort()

    sockets = [str(moving.folder / f"die-{number}.sock") for number in range(3)]
    servers = [await asyncio.start_unix_server(die, path) for path in sockets]
    moving.state = DoorState(
        jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": tuple(sockets[:awake])}
    )

    async def resolve(name: str, version: str, left_s: float | None) -> Path:
        return Path(sockets[2])

    waker = Waker(Path(moving.door.waker_socket), resolve)
    await waker.open()
    try:
        await asyncio.to_thread(moving.start)
        answer = await asyncio.to_thread(moving.predict, "flowers", moving.token())
        refused(answer, 503, "replica_lost")
        assert "fairlead logs flowers" in answer.json["error"]["hint"]
        assert carried_out == times
        again = await asyncio.to_thread(moving.predict, "flowers", moving.token())
        refused(again, 503, "replica_lost")  # the waker is not shunned
    finally:
        await waker.close()
        for server in servers:
            server.close()


async def test_a_model_that_cannot_wake_says_why(moving: House) -> None:
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"), model("roses"), model("late")))

    async def resolve(name: str, version: str, left_s: float | None) -> Path:
        if name == "flowers":
            raise Busy("1000 requests wait", code="queue_full", retry_after_s=7)
        if name == "roses":
            raise Unavailable("it ended three times", code="crash_loop", hint="see its logs")
        await asyncio.Event().wait()
        raise AssertionError

    waker = Waker(Path(moving.door.waker_socket), resolve, hold_s=0.2)
    await waker.open()
    try:
        await asyncio.to_thread(moving.start)
        token = moving.token()
        answer = await asyncio.to_thread(moving.predict, "flowers", token)
        refused(answer, 429, "queue_full")
        assert 7 <= int(answer.headers["retry-after"]) <= 9
        answer = await asyncio.to_thread(moving.predict, "roses", token, body=b"x" * 900_000)
        refused(answer, 503, "crash_loop")
        assert answer.json["error"]["hint"] == "see its logs"
        refused(await asyncio.to_thread(moving.predict, "late", token), 503, "wake_timed_out")
    finally:
        await waker.close()
