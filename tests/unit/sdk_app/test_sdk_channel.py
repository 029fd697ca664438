"""Parsing what comes over the channel, calls and causes; nothing is opened."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

import fairlead
from fairlead.errors import Busy, Conflict, Error, Forbidden, Internal, Invalid, NotFound, Unavailable
from fairlead.sdk import cause
from fairlead.sdk.calls import decode_answer, encode_call
from fairlead.sdk.channel import Channel, checked, parse_events
from fairlead.sdk.devices import Command, reading_of
from fairlead.sdk.files import Audio, File, Image
from fairlead.sdk.wire import Binding, Dropped, Measure, Welcome

REQUEST = httpx.Request("GET", "http://run/state/x")
READING = b'event: reading\ndata: {"device":"t1","property":"t","at":"2026-11-20T12:00:00Z","value":1}\n\n'


async def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
async def test_events_in_any_pieces(size: int) -> None:
    stream = (
        READING
        + b": still here\n\n"
        + b"event: other\ndata: 1\n\n"
        + b'event: dropped\ndata: {"count":3}\n\n'
        + READING
    )

    found = [event async for event in parse_events(chunks(stream, size))]

    assert [type(event) for event in found] == [Measure, Dropped, Measure]
    assert found[1] == Dropped(3)


async def test_unfinished_event_is_not_told() -> None:
    assert [event async for event in parse_events(chunks(READING[:-1], 5))] == []


async def test_large_picture_comes_whole() -> None:
    big = Measure("cam", "image", "2026-11-20T12:00:00Z", media=b"\xff" * 3_000_000, content_type="image/jpeg")
    data = b"event: reading\ndata: " + msgspec.json.encode(big) + b"\n\n"

    (found,) = [event async for event in parse_events(chunks(data, 65_536))]

    assert found == big


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Invalid), (422, Invalid), (413, Invalid), (401, Forbidden), (403, Forbidden), (404, NotFound),
     (410, NotFound), (409, Conflict), (412, Conflict), (429, Busy), (503, Unavailable), (504, Unavailable),
     (500, Internal), (418, Internal)],
)  # fmt: skip
def test_status_tells_the_kind_of_error(status: int, kind: type[Error]) -> None:
    body = {
        "error": {"code": "c", "message": "m", "hint": "h", "problems": [{"path": "p", "rule": "r", "message": "x"}]}
    }
    with pytest.raises(kind) as raised:
        checked(httpx.Response(status, json=body, headers={"retry-after": "3"}, request=REQUEST))

    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.hint, raised.value.retry_after_s) == ("c", "h", 3)
    assert raised.value.problems[0].path == "p"


def test_answer_that_is_no_json_is_an_error_all_the_same() -> None:
    with pytest.raises(Unavailable, match="/state/x: 503 Service Unavailable"):
        checked(httpx.Response(503, text="upstream connect error", request=REQUEST))


def test_outside_a_run_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAIRLEAD_SOCKET", raising=False)
    app = fairlead.App()
    app.on(app.devices("cameras").image)(print)
    app.on(app.device("sensor"))(print)

    with pytest.raises(Unavailable) as raised:
        _ = app.run
    assert raised.value.code == "no_run"


def test_unknown_roles_properties_and_params_are_told_once_the_run_is_known() -> None:
    channel = Channel("/nowhere")
    channel._welcome = Welcome(
        run="r",
        app="a",
        version="1",
        schedule="s",
        place="p",
        zone="UTC",
        starts="2026-11-20T12:00:00Z",
        ends=None,
        user="u",
        params={"x": 1},
        bindings={"sensor": Binding(("t1",), "temperature@1", True, {"temperature": {}})},
        models={},
    )
    app = fairlead.App()
    app.channel._welcome = channel._welcome

    assert (app.device("sensor").id, app.devices("sensor").id, app.params.x) == ("t1", ("t1",), 1)
    with pytest.raises(AttributeError, match="it has temperature"):
        _ = app.device("sensor").pressure
    with pytest.raises(NotFound):
        _ = app.device("other").id
    with pytest.raises(AttributeError, match="no param y"):
        _ = app.params.y
    with pytest.raises(Invalid):
        app.on("temperature")  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        app.every(0)
    with pytest.raises(Invalid):
        app.at("often")


async def test_send_never_raises() -> None:
    app = fairlead.App()
    app.channel._path = "/nowhere/run.sock"
    command = await app.device("fan").send(on=True, timeout_s=0.05)

    assert (command.status, command.ok) == ("failed", False)
    assert command.reason is not None
    assert command.reason.startswith("channel_unavailable")
    assert (await app.device("fan").send()).reason == "invalid_input: a command sets at least one property"
    assert [each.ok for each in await app.devices("fans").send(on=object(), timeout_s=0.05)] == [False]


@pytest.mark.parametrize(("status", "ok"), [("applied", True), ("observed", True), ("sent", False), ("failed", False)])
def test_command_is_ok_when_the_device_did_it(status: str, ok: bool) -> None:
    assert Command("cmd-1", status).ok is ok


@dataclasses.dataclass
class Row:
    month: int


def test_calls_become_bodies(tmp_path: Path) -> None:
    picture = Image(b"\xff\xd8\xff")

    assert encode_call((), {"month": 6}) == (b'{"month":6}', "application/json")
    assert encode_call(({"month": 6},), {}) == (b'{"month":6}', "application/json")
    assert encode_call((Row(6),), {}) == (b'{"month":6}', "application/json")
    assert encode_call(([1, 2],), {}) == (b"[1,2]", "application/json")
    assert encode_call((picture,), {}) == (b"\xff\xd8\xff", "image/jpeg")
    assert encode_call((), {"a": File(b"hi", media_type="text/plain")})[0] == b'{"a":"data:text/plain;base64,aGk="}'
    with pytest.raises(Invalid):
        encode_call((1, 2), {})
    with pytest.raises(Invalid):
        encode_call((1,), {"a": 2})
    with pytest.raises(Invalid):
        encode_call((object(),), {})


def test_answers_become_values() -> None:
    assert decode_answer(b'{"a":1}', "application/json; charset=utf-8") == {"a": 1}
    assert decode_answer(b"", "") is None
    assert decode_answer(b"hi", "text/plain") == "hi"
    assert type(decode_answer(b"x", "image/png")) is Image
    assert type(decode_answer(b"x", "audio/wav")) is Audio
    assert type(decode_answer(b"x", "application/zip")) is File


def test_chain_of_causes_keeps_the_reading_and_the_newest() -> None:
    cause.begin(Measure("t1", "temperature", "2026-11-20T14:03:06.123456Z", 27.4))
    for number in range(40):
        cause.add(f"prediction {number}")
    chain = cause.current()

    assert chain[0] == "reading t1.temperature 27.4 at 14:03:06Z"
    assert chain[-1] == "prediction 39"
    assert len(chain) == 20
    picture = Measure("cam", "image", "2026-11-20T14:03:06Z", media=b"1234", content_type="image/jpeg")
    assert cause.said(picture) == "reading cam.image (image/jpeg, 4 bytes) at 14:03:06Z"
    cause.begin(None)
    assert cause.current() == ()


def test_media_readings_are_files() -> None:
    picture = reading_of(Measure("cam", "image", "2026-11-20T14:03:06Z", media=b"1234", content_type="image/jpeg"))

    assert isinstance(picture.value, Image)
    assert picture.value.read() == b"1234"
    assert f"{picture.at:%H:%M}" == "14:03"
