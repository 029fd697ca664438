"""The API under attack, route by route: tokens, methods, origins, names that are paths, URLs, failures of ours.

Ids in names: the list of attacks. Every route of the description is asked, so a new one is tried as well.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import Internal, Unavailable, without_folders

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "EVIL")
OPEN = re.compile(r"/healthz|/readyz|/v2/health/(live|ready)|/api/v1/login(/here)?|/|/docs/api|/api/v1/openapi\.json")
ENDLESS = re.compile(r"/(events|follow|live/devices)$")
SECRET = "root-of-all-evil-5f1c"


def routes(world: Any) -> list[tuple[str, str, list[str]]]:
    """Return every method and path of the description with the names of its queries."""
    found = []
    for path, operations in world.app.openapi()["paths"].items():
        for method, told in operations.items():
            queries = [one["name"] for one in told.get("parameters", []) if one["in"] == "query"]
            found.append((method.upper(), path, queries))
    assert len(found) > 80
    return found


def filled(path: str, text: str) -> str:
    return re.sub(r"{\w+(:\w+)?}", lambda _: text, path)


async def audited(world: Any) -> list[Any]:
    return list((await world.ok(world.by("eve").get("/api/v1/audit")))["items"])


async def test_s03_every_method_on_every_path_takes_a_token(world: Any) -> None:
    before = await audited(world)
    good = world.token("eve")
    cases = [
        ({}, ""),
        ({}, f"?token={good}&access_token={good}"),
        ({"authorization": "Bearer junk"}, ""),
        ({"authorization": f"Basic {good}"}, ""),
        ({"x-api-key": "junk"}, ""),
        ({"cookie": "fl_session=junk"}, ""),
    ]
    nobody = world.by("")
    there = {(method, path) for method, path, _ in routes(world)}
    for path in {path for _, path in there}:
        if OPEN.fullmatch(path):
            continue
        for method in METHODS:
            for headers, query in cases if (method, path) in there else cases[:1]:
                answer = await nobody.request(method, filled(path, "x") + query, headers=headers)
                assert answer.status_code in (401, 403, 405), (method, path, headers, answer.status_code, answer.text)
                if answer.status_code == 405:  # a method that is not there tells nothing and does nothing
                    assert (method, path) not in there
    assert await audited(world) == before


async def test_s03_a_user_changes_nothing_that_takes_a_role(world: Any) -> None:
    """Whoever may only use: no change anywhere answers 2xx but those of one's own things."""
    await world.model()
    await world.room("fan-1")
    own = re.compile(r"/api/v1/(tokens|login.*|jobs.*|callbacks/secret)|/v[12]/.*")
    before = await audited(world)
    zoe = world.by("zoe")
    for method, path, _ in routes(world):
        if method in ("GET", "HEAD") or own.fullmatch(path):
            continue
        answer = await zoe.request(method, filled(path, "flowers"), json={})
        assert 400 <= answer.status_code < 500, (method, path, answer.status_code, answer.text)
    assert await audited(world) == before


async def test_s04_a_cookie_counts_for_no_change_that_another_site_asked_for(world: Any) -> None:
    cookie = {"cookie": f"fl_session={world.token('eve').removeprefix('fl_')}"}
    nobody = world.by("")
    before = await audited(world)
    origins: tuple[dict[str, str], ...] = (
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8081"},
        {"origin": "https://127.0.0.1:8080"},
        {"origin": "http://page.apps.localhost:8080"},
        {"origin": "http://evil.example", "user-agent": "Mozilla/5.0"},
        {"origin": "http://evil.example", "user-agent": "curl/8", "x-requested-with": "XMLHttpRequest"},
        {"referer": "http://127.0.0.1:8080/"},
        {"origin": "http://127.0.0.1:8080.evil.example"},
    )
    for method, path, _ in routes(world):
        if method in ("GET", "HEAD") or OPEN.fullmatch(path):
            continue
        for origin in origins:
            answer = await nobody.request(method, filled(path, "x"), headers=cookie | origin, json={})
            assert answer.status_code == 403, (method, path, origin, answer.status_code, answer.text)
            assert "origin_refused" in answer.text or path.startswith("/v2"), answer.text
    assert await audited(world) == before


async def test_s04_no_answer_is_shared_with_another_site(world: Any) -> None:
    """No CORS header, whatever asks: a browser gives the answer to nobody else's page; a rebound name has no cookie."""
    for who in ("eve", ""):
        for method, path, _ in routes(world):
            if method != "GET" or ENDLESS.search(path):
                continue
            for verb in ("GET", "OPTIONS"):
                headers = {"origin": "http://evil.example", "access-control-request-method": "DELETE"}
                answer = await world.by(who).request(verb, filled(path, "x"), headers=headers)
                assert not [name for name in answer.headers if name.startswith("access-control")], (verb, path)
            if not who and not OPEN.fullmatch(path):
                answer = await world.by("").get(filled(path, "x"), headers={"host": "evil.example"})
                assert answer.status_code == 401, (path, answer.text)


# --- names that are paths (S-20, S-21) --------------------------------------------------------------------------------

NAMES = (
    "%2e%2e",
    "%2e%2e%2fsecret.txt",
    "%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252fsecret.txt",
    "..%2f..%2fetc%2fpasswd",
    "..\\secret.txt",
    "..%5csecret.txt",
    "%23/../secret.txt",
    "file:%2f%2f%2fetc%2fpasswd",
    "x%00",
    "%2fetc%2fpasswd",
    "%ef%bc%8e%ef%bc%8e%2fsecret.txt",
    "x" * 4096,
    "%f0%9f%92%a9",
    "%ff%fe",
    "{{7*7}}",
    "%0d%0ax-evil:1",
)


async def test_s20_names_that_are_paths_find_nothing(world: Any) -> None:
    """Every route, every place for a name: 4xx, and the file beside the home is in no answer."""
    for place in (
        world.folder / "secret.txt",
        world.house.home.root / "secret.txt",
        world.house.home.logs / "secret.txt",
    ):
        place.write_text(SECRET)
    eve = world.by("eve")
    for method, path, _ in routes(world):
        if "{" not in path or ENDLESS.search(path):
            continue
        for name in NAMES:
            answer = await eve.request(
                method, filled(path, name), content=b"{}", headers={"content-type": "application/json"}
            )
            assert 400 <= answer.status_code < 500, (method, path, name[:60], answer.status_code, answer.text[:300])
            assert SECRET not in answer.text
            assert "root:x:" not in answer.text
            assert "evil" not in answer.headers.get("x-evil", ""), "a line of a header was forged"


async def test_s20_queries_that_are_paths_find_nothing(world: Any) -> None:
    await world.model()
    for place in (
        world.folder / "secret.txt",
        world.house.home.logs / "secret.log",
        world.house.home.root / "secret.log",
    ):
        place.write_text(SECRET + "\n")
    zoe = world.by("zoe")
    for method, path, queries in routes(world):
        if method != "GET" or ENDLESS.search(path):
            continue
        for query in queries:
            for name in (*NAMES, "../secret", "secret", "..%2Fsecret"):
                answer = await zoe.get(f"{filled(path, 'flowers')}?{query}={name}")
                assert answer.status_code < 500, (path, query, name[:60], answer.text[:300])
                assert SECRET not in answer.text, (path, query, name)
                if answer.status_code == 200:  # a filter that nothing fits
                    assert "root:x:" not in answer.text


BODIES: dict[tuple[str, str], tuple[dict[str, Any], tuple[str, ...]]] = {
    ("POST", "/api/v1/users"): ({"name": "x1", "roles": ["../x"]}, ("name",)),
    ("POST", "/api/v1/devices"): ({"id": "d1", "type": "fan", "at": "lab"}, ("id", "type", "at")),
    ("POST", "/api/v1/locations"): ({"path": "x/y"}, ("path", "zone")),
    ("PATCH", "/api/v1/locations/lab"): ({}, ("zone",)),
    ("PATCH", "/api/v1/devices/fan-1"): ({}, ("at", "type_version")),
    ("POST", "/api/v1/schedules"): ({"app": "smart", "at": "lab", "now": True}, ("app", "at", "name", "zone")),
    ("PATCH", "/api/v1/models/flowers"): ({}, ("visibility",)),
    ("POST", "/api/v1/models/flowers/rollback"): ({}, ("alias",)),
    ("PUT", "/api/v1/apps/smart/aliases/production"): ({}, ("version",)),
}
"""Bodies whose fields become names or paths."""


@pytest.mark.parametrize("call", BODIES)
async def test_s20_fields_that_are_paths_are_refused(world: Any, call: tuple[str, str]) -> None:
    await world.room("fan-1")
    await world.model()
    await world.smart()
    body, fields = BODIES[call]
    for field in fields:
        for name in (
            "../x",
            "..",
            "/etc/passwd",
            "..\\x",
            "#/../x",
            "file:///etc/passwd",
            "a\0b",
            "．．/x",
            "x" * 4096,
        ):
            answer = await world.by("eve").request(*call, json=body | {field: name})
            assert 400 <= answer.status_code < 500, (call, field, name[:40], answer.status_code, answer.text[:200])


async def test_s20_files_of_a_bundle_stay_below_it(world: Any) -> None:
    """The list of a push that travels file by file: its paths are those of an archive."""
    for path in ("../x", "/x", "a/../../x", "..\\x", "C:/x", "a\0b", "a//b", "．．/x", "x" * 4096, "con", "a\n"):
        body = {"files": [{"path": path, "size": 1, "sha256": "0" * 64}]}
        answer = await world.by("ada").post("/api/v1/bundles/plan", json=body)
        assert answer.status_code == 422, (path, answer.text)
    for content in ("../x", "0" * 63, "0" * 65, "g" * 64, "0" * 62 + "/x"):
        assert (await world.by("ada").head(f"/api/v1/bundles/files/{content}")).status_code in (404, 422)


async def test_s21_another_persons_job_is_not_there(world: Any) -> None:
    """Also its result and its events, by its id and by the beginning of it: as one that never was, byte by byte."""
    await world.model()
    job = (await world.by("ada").post("/v1/models/flowers/jobs", json={"month": 1})).json()["id"]
    await world.ok(world.by("ada").get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    never = job[:-4] + ("0000" if not job.endswith("0000") else "1111")
    for method, path in (
        ("GET", "/api/v1/jobs/{}"),
        ("GET", "/api/v1/jobs/{}/result"),
        ("GET", "/api/v1/jobs/{}/events"),
        ("DELETE", "/api/v1/jobs/{}"),
        ("POST", "/api/v1/jobs/{}/replay"),
        ("GET", "/api/v1/why?of={}"),
    ):
        told = []
        for one in (job, never):
            answer = await world.by("ben").request(method, path.format(one))
            assert answer.status_code == 404, (path, answer.text)
            told.append(
                {**answer.json()["error"], "id": "", "message": answer.json()["error"]["message"].replace(one, "…")}
            )
        assert told[0] == told[1], path
    assert (await world.by("ada").get(f"/api/v1/jobs/{job}")).json()["status"] == "succeeded"


# --- what is never fetched (S-02, S-22) -------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        yield sock


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of what this process asked the network for."""
    seen: list[str] = []

    def note(*arguments: Any, **_: Any) -> None:
        seen.append(repr(arguments)[:200])
        raise OSError("nobody is called in this test")

    monkeypatch.setattr(socket.socket, "connect", note)
    monkeypatch.setattr(socket.socket, "connect_ex", note)
    monkeypatch.setattr(socket, "getaddrinfo", note)
    return seen


def urls(port: int) -> list[str]:
    own = f"127.0.0.1:{port}"
    hosts = (own, f"[::1]:{port}", f"localhost:{port}", f"0:{port}", f"2130706433:{port}", f"0x7f.1:{port}")
    named = [f"http://{host}/x" for host in (*hosts, "169.254.169.254", f"user@{own}", f"127.0.0.1.nip.io:{port}")]
    return [
        *named,
        f"HtTp://{own}/%2e%2e/x",
        f"//{own}/x",
        f"file://{own}/etc/passwd",
        f"gopher://{own}/_x",
        "file:///etc/passwd",
    ]


HEADERS = (
    "x-forwarded-host",
    "forwarded",
    "x-callback-url",
    "x-original-url",
    "x-rewrite-url",
    "link",
    "from",
    "referer",
)
WORDS = ("name", "title", "label", "at", "path", "user", "zone", "url", "callback", "callback_url", "webhook", "image")
WORDS += ("icon", "$ref", "notify", "homepage", "version", "alias", "month", "app", "id", "type")


async def test_s22_no_field_header_or_query_makes_the_platform_call_anybody(
    world: Any, listener: socket.socket, calls: list[str]
) -> None:
    """Nothing but callbacks of jobs takes a URL, and those go to no private address: nobody is called."""
    await world.room("fan-1")
    await world.model()
    await world.smart()
    eve = world.by("eve")
    try:
        for url in urls(listener.getsockname()[1]):
            headers = dict.fromkeys(HEADERS, url) | {"prefer": f'respond-async; callback="{url}"'}
            sent = {"month": 1, "image": url, "callback": url}
            private = await eve.post("/v1/models/flowers/jobs", json=sent, headers=headers)
            assert (private.status_code, private.json()["error"]["code"][:9]) in (
                (422, "callback_"),
                (503, "callback_"),
            )
            headers.pop("x-callback-url")
            assert (await eve.post("/v1/models/flowers/jobs", json=sent, headers=headers)).status_code == 202
        tried = itertools.cycle(urls(listener.getsockname()[1]))
        for (method, path, queries), url in zip(3 * routes(world), tried, strict=False):
            if ENDLESS.search(path) or path.startswith("/api/v1/login") or path.endswith("/load"):  # waits for a model
                continue
            headers = dict.fromkeys(HEADERS, url)
            headers |= {"prefer": f"respond-async, callback={url}", "idempotency-key": url[:60]}
            body = dict.fromkeys(WORDS, url) | {"toml": f'name = "x"\nversion = "1.0.0"\n"$ref" = "{url}"\n'}
            params = dict.fromkeys(queries, url)
            answer = await eve.request(method, filled(path, "flowers"), params=params, json=body, headers=headers)
            assert answer.status_code < 500, (method, path, answer.text[:300])
            assert not answer.headers.get("location", "").startswith(("http:", "//", "file:")), path
    finally:
        assert calls == []
    with pytest.raises(BlockingIOError):
        listener.accept()


async def test_s22_schemas_of_devices_refer_to_nothing(world: Any, listener: socket.socket, calls: list[str]) -> None:
    port = listener.getsockname()[1]
    head = 'name = "eye"\nversion = "1.0.0"\n[properties.image]\ntype = "string"\n'
    try:
        for line in ('"$ref" = "{}"', '"$schema" = "{}"', 'contentMediaType = "{}"', 'pattern = "{}"', 'unit = "{}"'):
            text = head + line.format(f"http://127.0.0.1:{port}/x.svg")
            answer = await world.by("eve").post("/api/v1/types", json={"toml": text})
            assert answer.status_code < 500, answer.text
            if answer.is_success:
                await world.by("eve").delete("/api/v1/types/eye")
    finally:
        assert calls == []
    with pytest.raises(BlockingIOError):
        listener.accept()


# --- bodies (S-10) ----------------------------------------------------------------------------------------------------


class Touch:
    """A pickle that makes a file where it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


PICKLES = (
    "application/vnd.bentoml+pickle",
    "application/vnd.pickle",
    "application/x-pickle",
    "application/python-pickle",
)
KINDS = (PICKLES[0], "application/octet-stream", "application/json")


async def test_s10_no_route_opens_a_pickle(world: Any, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data = pickle.dumps(Touch(canary))
    await world.model()
    told = {"payload-container": "NdarrayContainer", "payload-meta": "{}", "args-number": "1", "batch-size": "1"}
    told |= {"bento-name": "x", "x-pickle": "1", "content-encoding": "pickle"}
    for method, path, _ in routes(world):
        if method not in ("POST", "PUT", "PATCH") or OPEN.fullmatch(path):
            continue
        for kind in KINDS:
            for more in ({}, told):
                headers = {"content-type": kind, "upload-offset": "0", "upload-length": str(len(data)), **more}
                answer = await world.by("eve").request(method, filled(path, "flowers"), content=data, headers=headers)
                assert answer.status_code < 500, (method, path, kind, answer.text)
    for kind in PICKLES:
        answer = await world.by("ada").post("/api/v1/bundles", content=data, headers={"content-type": kind})
        world.refused(answer, 415, "not_a_zip")
    assert not canary.exists()


# --- failures of ours (S-23) ------------------------------------------------------------------------------------------

INSIDE = re.compile(
    r"/(home|tmp|srv|run|var|root|usr|proc)/|Traceback|File \"|\.sock\b|\bpid \d|line \d+, in|\b0x[0-9a-f]{6}"
)


def faults(home: Path) -> list[Exception]:
    """Return fifty kinds of failures that know more than a caller should."""
    inner = f"{home}/fairlead.sqlite3"
    socket_path = "/run/fairlead-1a2b/model-9/0/serve.sock"
    kinds: list[type[Exception]] = [
        *(RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, LookupError, ArithmeticError),
        *(AssertionError, NotImplementedError, RecursionError, MemoryError, BufferError, EOFError, ImportError),
        *(ReferenceError, StopAsyncIteration, SystemError, UnboundLocalError, NameError, ZeroDivisionError),
        *(OverflowError, FloatingPointError, TimeoutError, asyncio.InvalidStateError, asyncio.QueueFull),
    ]
    errors: list[Exception] = [kind(f"pid 4711 at {inner} via {socket_path}") for kind in kinds]
    codes = (2, 5, 9, 11, 12, 13, 17, 20, 21, 22, 23, 24, 28, 30, 32, 98, 104, 110, 111)
    errors += [OSError(code, os.strerror(code), inner) for code in codes]
    errors += [
        Internal(f"{inner}: broken", code="key_broken", hint=f"see {home}/logs/control.log"),
        Internal(f"cannot reach {socket_path}", code="internal"),
        Unavailable(f"bucket file://{home}/bucket: cannot be read: {inner}", code="bucket_unavailable"),
        Unavailable(f"{home}/keys/current.pem cannot be read", code="disk_broken", hint=f"look at '{home}/keys'"),
        Unavailable(f"connect({socket_path!r}) failed", code="bus_unavailable"),
    ]
    assert len(errors) >= 50
    return errors


async def test_s23_a_failure_of_ours_tells_an_id_and_nothing_from_within(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = world.house.home.root
    for fault in faults(home):

        async def fail(*_: object, fault: Exception = fault) -> None:
            raise fault

        with monkeypatch.context() as patch:
            patch.setattr(world.house.database, "read", fail)
            for path in ("/api/v1/models", "/api/v1/jobs/job-1", "/v2/models", "/readyz"):
                answer = await world.by("eve" if path != "/readyz" else "").get(path)
                assert answer.status_code in (500, 503), (fault, answer.text)
                error = answer.json()["error"]
                assert isinstance(error, str) or error["id"] == answer.headers["x-request-id"]
                assert not INSIDE.search(answer.text), (fault, answer.text)
                assert str(home) not in answer.text
                assert type(fault).__name__ not in answer.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/ada/x/fairlead.sqlite3: broken", "…/fairlead.sqlite3: broken"),
        ("cannot open '/srv/f/keys/a.pem' or \"/srv/b\"", "cannot open '…/a.pem' or \"…/b\""),
        ("bucket file:///srv/f/bucket: gone", "bucket …/bucket: gone"),
        (
            "see https://example.org/a/b, application/json and 1/2",
            "see https://example.org/a/b, application/json and 1/2",
        ),
        ("POST /v1/models/m/predict", "POST /v1/models/m/predict"),
        ("nothing here", "nothing here"),
    ],
)
def test_s23_folders_are_taken_out_of_a_message(text: str, told: str) -> None:
    assert without_folders(text) == told
