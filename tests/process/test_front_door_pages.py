"""Pages at a real Envoy: people are led to where they sign in, and what lasts ends with the token that opened it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.process.test_front_door import DEADLINE_S, House, build, model, refused

from fairlead import identity
from fairlead.clock import SystemClock
from fairlead.gateway import DoorState
from fairlead.identity.tokens import verify
from fairlead.keeper.doors.pagedoor import PageDoor
from fairlead.messages import PageRoute

UPGRADE = ("connection: Upgrade", "upgrade: websocket")
HTML = {"accept": "text/html,application/xhtml+xml;q=0.9"}
PAGES = (
    PageRoute(name="night", run="run-1", visibility="team", owner="ada"),
    PageRoute(name="fair", run="run-3", visibility="public", owner="ada"),
)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with ExitStack() as stack:
        made = build(stack)
        made.door = msgspec.structs.replace(made.door, page_socket=str(made.folder / "page.sock"))
        one = made.echo("one")
        made.state = DoorState(
            jwks=made.keys.jwks(),
            routes=(model("flowers"),),
            pages=PAGES,
            endpoints={"flowers@1": (one,)},
            page_endpoints={"run-1": one, "run-3": one},
        )
        made.start()
        yield made


@pytest.mark.parametrize(
    ("host", "path", "where"),
    [
        ("", "/v1/models/flowers/docs?a=1&b=%2F", "/sign-in?next=/v1/models/flowers/docs?a=1&b=%2F"),
        ("", "/api/v1/models", "/sign-in?next=/api/v1/models"),
        ("night.apps.localhost:80", "/plan?a=1", "{url}/sign-in?at=night.apps.localhost:80&next=/plan?a=1"),
        ("nowhere.apps.localhost", "/", "{url}/sign-in?at=nowhere.apps.localhost&next=/"),
    ],
)
def test_a_person_without_a_session_is_led_to_the_sign_in(house: House, host: str, path: str, where: str) -> None:
    answer = house.call("GET", path, host=host, **HTML)
    assert (answer.status, answer.headers["location"]) == (303, where.format(url=house.door.url))
    assert answer.headers["set-cookie"].startswith("fl_session=; Path=/; Max-Age=0;")
    for other in ({"accept": "application/json"}, {}):
        refused(house.call("GET", path, host=host, **other), 401, "token_required")
    refused(house.call("POST", path, host=host, body=b"{}", **HTML), 401, "token_required")


def test_below_v2_programs_alone_ask(house: House) -> None:
    assert house.call("GET", "/v2/models/flowers", **HTML).status == 401


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/none/docs", "no_such_model"),
        ("/v1/models/<b>%3Cb%3E/docs", "no_such_model"),
        ("/v1/nothing", "no_such_path"),
    ],
)
def test_a_person_is_told_on_a_page_what_is_not_there(house: House, path: str, code: str) -> None:
    answer = house.call("GET", path, token=house.token(), **HTML)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    said = answer.body.decode()
    assert f'<a href="{house.door.url}/">What is here</a>' in said
    assert "<b>" not in said
    assert "%3C" not in said
    refused(house.call("GET", path, token=house.token(), accept="application/json"), 404, code)


def test_a_session_that_was_revoked_leads_to_the_sign_in_without_its_cookie(house: House) -> None:
    token = house.token()
    claims = verify(token, keys=house.keys, now=datetime.now(UTC))
    house.publish(denied={claims.jti: float(claims.exp)})
    answer = house.call("GET", "/sign-in", cookie=f"fl_session={token.removeprefix('fl_')}", **HTML)
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=/sign-in")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    house.publish(denied={})


@pytest.fixture
async def watched(house: House) -> AsyncIterator[tuple[House, PageDoor, list[bytes]]]:
    """The door of pages, before an app that answers a WebSocket and a stream of events, and sends what it gets."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            if b"upgrade: websocket" in head.lower():
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n:hi\n\n")
            while block := await reader.read(1000):
                writer.write(block)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as app:
        address = f"127.0.0.1:{app.sockets[0].getsockname()[1]}"
        door = PageDoor(house.folder / "page.sock", lambda: {"run-1": address, "run-3": address}, SystemClock())
        await door.open()
        yield house, door, heads
        await door.close()


async def opened(house: House, kind: str, token: str, host: str = "night") -> Any:
    """Return a connection on which a page has begun to answer with what lasts."""
    address, _, port = house.door.listen.rpartition(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    lines = [
        "GET /live HTTP/1.1",
        f"host: {host}.apps.localhost",
        *([f"cookie: mine=1; fl_session={token.removeprefix('fl_')}"] if token else []),
        *(UPGRADE if kind == "websocket" else ["accept: text/event-stream"]),
        f"origin: http://{host}.apps.localhost",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 " if kind == "websocket" else b"HTTP/1.1 200 "), head
    if kind == "websocket":
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
    else:
        assert b":hi" in await reader.readuntil(b":hi\n\n")
    return reader, writer


@pytest.mark.parametrize("kind", ["websocket", "events"])
async def test_what_lasts_on_a_page_ends_with_its_token(watched: Any, kind: str) -> None:
    house, door, heads = watched
    token, other = house.token(), house.token()
    claims = verify(token, keys=house.keys, now=datetime.now(UTC))
    async with asyncio.timeout(DEADLINE_S):
        mine, my_end = await opened(house, kind, token)
        theirs, their_end = await opened(house, kind, other)
        public, public_end = await opened(house, kind, "", "fair")
        head = heads[0].lower()
        assert b"x-fairlead-user: ada" in head
        assert b"cookie: mine=1\r\n" in head
        assert not any(name in head for name in (b"x-fairlead-expires", b"x-fairlead-page", b"fl_session"))

        door.deny({claims.jti: 1.0})
        with contextlib.suppress(ConnectionError):
            while (block := await mine.read(100)) and not block.endswith(b"0\r\n\r\n"):  # the end of a chunked body
                pass
        if kind == "websocket":
            for reader, writer in ((theirs, their_end), (public, public_end)):
                writer.write(b"more")
                assert await reader.readexactly(4) == b"more"
        else:
            assert not theirs.at_eof()
            assert not public.at_eof()
        for writer in (my_end, their_end, public_end):
            writer.close()


async def test_what_lasts_on_a_page_ends_when_its_token_expires(watched: Any) -> None:
    house, _, _ = watched
    short = house.token(days=3 / 86_400, now=datetime.now(UTC) + timedelta(seconds=1))
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await opened(house, "websocket", short)
        with contextlib.suppress(ConnectionError):
            assert await reader.read(100) == b""
        writer.close()


async def test_a_page_that_does_not_answer_is_told_of_as_such(watched: Any) -> None:
    house, door, _ = watched
    await door.close()
    door = PageDoor(house.folder / "page.sock", dict, SystemClock())
    await door.open()
    try:
        headers = {"accept": "text/event-stream"}
        answer = await asyncio.to_thread(
            house.call, "GET", "/", token=house.token(), host="night.apps.localhost", **headers
        )
        assert (answer.status, answer.code) == (503, "page_unavailable")
    finally:
        await door.close()


def test_a_session_of_a_page_opens_that_page_by_its_cookie(house: House) -> None:
    claims = verify(house.token(), keys=house.keys, now=datetime.now(UTC))
    cookie = f"fl_session={identity.for_page(claims, 'night', keys=house.keys)}"
    seen = house.call("GET", "/", host="run-1.apps.localhost", cookie=cookie).json["headers"]
    assert seen["x-fairlead-user"] == "ada"
    assert "x-fairlead-expires" not in seen
    assert house.call("GET", "/api/v1/models", cookie=cookie).status == 401
