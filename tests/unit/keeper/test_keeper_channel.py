"""The channel of a run, asked over its real socket; bus and clock are the fakes."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from obstore.store import MemoryStore

from fairlead.buckets.obstore import ObstoreBucket
from fairlead.keeper.channel_routes import commands as command_routes
from fairlead.keeper.running import channel as keeper_channel
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.files import BucketFiles
from fairlead.keeper.running.models_call import Reply
from fairlead.keeper.running.readings import Readings
from fairlead.messages import (
    Answer,
    CommandAsk,
    CommandShow,
    DeviceBinding,
    ErrorInfo,
    FreshAsk,
    MailAsk,
    Measured,
    Message,
    ReadingsAsk,
    ReleaseAsk,
    RunJobShow,
    RunJobSubmit,
    RunWanted,
    StateGet,
    StatePut,
)
from fairlead.sdk.wire import Measure
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.wanted import run_wanted

NOON = "2026-11-20T12:00:00Z"


@dataclass
class Model:
    """Echoes what it was asked."""

    calls: list[tuple[str, bytes, str]] = field(default_factory=list)

    async def call(self, ref: str, body: bytes, kind: str, accept: str, user: str, timeout_s: float) -> Reply:
        self.calls.append((ref, body, user))
        return Reply(200, {"content-type": kind, "x-fairlead-version": "4"}, body)


@dataclass
class Bench:
    """A channel that is served, and all around it."""

    bus: MemoryBus
    clock: ManualClock
    readings: Readings
    model: Model
    channel: RunChannel
    client: aiohttp.ClientSession
    bucket: ObstoreBucket
    asked: list[Message] = field(default_factory=list)

    async def serve(self, kind: type[Any], *answers: Answer) -> None:
        """Answer requests of ``kind`` one after another, the last answer for ever."""
        left = list(answers)

        async def server(message: Message) -> Answer:
            self.asked.append(message)
            return left.pop(0) if len(left) > 1 else left[0]

        await self.bus.serve(kind, server)

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.client.request(method, f"http://run{path}", **more) as answer:
            body = await answer.read()
            is_json = answer.content_type == "application/json"
            return answer.status, msgspec.json.decode(body) if is_json and body else body

    async def refusal(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        status, body = await self.call(method, path, **more)
        return status, body["error"]["code"]


def wanted(**changes: Any) -> RunWanted:
    properties = {"temperature": {"type": "number", "fresh_s": 120}, "image": {"contentMediaType": "image/jpeg"}}
    run = run_wanted(
        starts="2026-11-20T10:00:00Z",
        ends="2026-11-20T13:00:00Z",
        params={"comfort": 25},
        bindings={
            "sensor": DeviceBinding(("t1",), "temperature@1", True, properties=properties),
            "lamps": DeviceBinding(("lamp-1", "lamp-2"), "lamp@1", False, properties={"on": {"type": "boolean"}}),
        },
        models={"judge": "judge@production"},
    )
    return msgspec.structs.replace(run, **changes)


def value(of: object) -> Answer:
    return Answer(value=msgspec.json.encode(of))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bus, clock, model = MemoryBus(), ManualClock(), Model()
    readings = Readings(bus)
    socket = tmp_path / "run.sock"
    bucket = ObstoreBucket(MemoryStore())
    files = BucketFiles(bucket)
    channel = RunChannel(wanted(), socket, None, bus=bus, models=model, files=files, readings=readings, clock=clock)
    await channel.open()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket))) as client:
        made = Bench(bus, clock, readings, model, channel, client, bucket)
        await made.serve(ReadingsAsk, value([]))
        yield made
    await channel.close()
    await bus.close()


async def watched(bench: Bench) -> None:
    async with asyncio.timeout(30):
        while not any(isinstance(message, ReadingsAsk) for message in bench.asked):
            await asyncio.sleep(0.01)


async def measure(bench: Bench, name: str = "temperature", of: object = 21.5, at: str = NOON, **more: Any) -> None:
    await watched(bench)
    await bench.bus.publish(Measured("t1", name, at, msgspec.json.encode(of), **more))
    await bench.bus.settle()


async def test_welcome_says_what_the_run_may_use(bench: Bench) -> None:
    status, body = await bench.call("GET", "/")

    assert status == 200
    assert (body["run"], body["place"], body["params"]) == ("run-1", "campus/lab", {"comfort": 25})
    assert body["bindings"]["lamps"] == {
        "devices": ["lamp-1", "lamp-2"], "type": "lamp@1", "single": False, "properties": {"on": {"type": "boolean"}},
    }  # fmt: skip
    assert body["models"] == {"judge": "judge@production"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/models/other/predict", "role_unknown"),
        ("POST", "/models/other/jobs", "role_unknown"),
        ("GET", "/devices/other", "role_unknown"),
        ("POST", "/devices/other", "role_unknown"),
        ("DELETE", "/devices/other", "role_unknown"),
        ("GET", "/devices/sensor/pressure", "property_unknown"),
        ("GET", "/devices/sensor/temperature?device=t2", "device_not_bound"),
        ("DELETE", "/devices/lamps?device=t1", "device_not_bound"),
        ("GET", "/nothing/here", "not_found"),
    ],
)
async def test_what_is_not_bound_is_not_there(bench: Bench, method: str, path: str, code: str) -> None:
    assert await bench.refusal(method, path, data=b'{"set": {"on": true}}') == (404, code)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/devices/lamps", b"{"),
        ("POST", "/devices/lamps", b'{"set": {}}'),
        ("POST", "/devices/lamps", b'{"set": {"on": true}, "hold": 3}'),
        ("POST", "/devices/lamps", b'{"set": {"on": true}, "timeout_s": 0}'),
        ("POST", "/devices/lamps", b'{"set": {"on": true}, "timeout_s": 1e9}'),
        ("PUT", "/state/x", b"not json"),
        ("POST", "/mail", b'{"subject": "x"}'),
        ("GET", "/devices/sensor/temperature?max_age_s=soon", b""),
        ("GET", "/devices/sensor/temperature?max_age_s=nan", b""),
        ("POST", "/ready", b"[]"),
    ],
)
async def test_bodies_that_do_not_fit_are_refused(bench: Bench, method: str, path: str, body: bytes) -> None:
    assert await bench.refusal(method, path, data=body) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (json.dumps({"set": {f"p{number}": 1 for number in range(201)}}), "body_too_large"),
        (json.dumps({"set": {"on": "x" * 140_000}}), "body_too_large"),
        ('{"set": {"speed": %s}}' % ("9" * 400), "invalid_input"),
    ],
    ids=range(3),
)
async def test_commands_out_of_all_bounds_are_not_passed_on(bench: Bench, body: str, code: str) -> None:
    _, said = await bench.refusal("POST", "/devices/lamps", data=body.encode())
    assert said == code
    assert not any(isinstance(ask, CommandAsk) for ask in bench.asked)


async def test_other_users_are_refused(bench: Bench) -> None:
    bench.channel._uid = os.geteuid() + 1

    assert await bench.refusal("GET", "/") == (403, "not_this_run")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
async def test_real_process_of_another_user_is_refused(bench: Bench, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o711)
    bench.channel.socket.chmod(0o666)
    program = (
        "import os, socket, sys\n"
        "os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
        "print(s.recv(65536).decode())\n"
    )
    argv = (sys.executable, "-I", "-S", "-c", program, str(bench.channel.socket))
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    assert b" 403 " in output.splitlines()[0]
    assert b"not_this_run" in output


async def test_after_the_window_devices_and_models_are_closed(bench: Bench) -> None:
    await bench.serve(StatePut, value({"value": None, "version": 1}))
    await bench.clock.advance(3601)

    assert await bench.refusal("POST", "/devices/lamps", data=b'{"set": {"on": true}}') == (403, "window_ended")
    assert await bench.refusal("POST", "/models/judge/predict", data=b"{}") == (403, "window_ended")
    assert await bench.refusal("POST", "/models/judge/jobs", data=b"{}") == (403, "window_ended")
    assert (await bench.call("PUT", "/state/x", data=b"1"))[0] == 204
    bench.channel.update(wanted(ends="2026-11-20T14:00:00Z"))
    assert (await bench.call("POST", "/models/judge/predict", data=b"{}"))[0] == 200


async def test_predict_goes_to_the_model_of_the_role_for_the_user_of_the_run(bench: Bench) -> None:
    status, body = await bench.call("POST", "/models/judge/predict", json={"t": 3})

    assert (status, body) == (200, {"t": 3})
    assert bench.model.calls == [("judge@production", b'{"t": 3}', "ada")]


async def test_job_is_handed_to_control_and_followed(bench: Bench) -> None:
    await bench.serve(RunJobSubmit, value({"id": "job-1", "status": "queued"}))
    await bench.serve(RunJobShow, value({"id": "job-1", "status": "succeeded", "result": 4}))

    assert await bench.call("POST", "/models/judge/jobs", json=1) == (202, {"id": "job-1", "status": "queued"})
    assert (await bench.call("GET", "/jobs/job-1?wait=2"))[1]["result"] == 4
    submitted, shown = bench.asked[-2:]
    assert isinstance(submitted, RunJobSubmit)
    assert (submitted.run, submitted.role, submitted.body) == ("run-1", "judge", b"1")
    assert shown == RunJobShow("run-1", "job-1", 2.0)


async def test_large_inputs_and_results_of_jobs_do_not_go_over_the_bus(bench: Bench) -> None:
    image, text = b"\x89PNG" * 200_000, msgspec.json.encode(["x" * 200_000])
    await bench.serve(RunJobSubmit, value({"id": "job-1", "status": "queued"}))
    status, _ = await bench.call("POST", "/models/judge/jobs", data=image, headers={"Content-Type": "image/png"})
    submitted = bench.asked[-1]
    assert isinstance(submitted, RunJobSubmit)
    assert (status, submitted.body, submitted.content_type) == (202, b"", "image/png")
    assert submitted.input_key == f"in/judge/{submitted.job}/body"
    assert submitted.input_hash == hashlib.sha256(image).hexdigest()
    assert (await bench.bucket.get(submitted.input_key)).data == image
    await bench.bucket.put("out/judge/job-1/1", text)
    state = {"id": "job-1", "status": "succeeded", "result_key": "out/judge/job-1/1"}
    kinds = [value(state | {"result_type": kind}) for kind in ("application/json", "image/png")]
    await bench.serve(RunJobShow, *kinds, value(state | {"result_key": "out/gone"}))
    for name, found in (("result", ["x" * 200_000]), ("result_base64", base64.b64encode(text).decode())):
        status, shown = await bench.call("GET", "/jobs/job-1")
        assert (status, shown[name], "result_key" in shown) == (200, found, False)
    assert await bench.refusal("GET", "/jobs/job-1") == (404, "result_gone")


async def test_command_goes_to_every_device_of_the_role_and_waits_for_the_end(bench: Bench) -> None:
    await bench.serve(CommandAsk, value({"id": "cmd-1", "status": "sent"}))
    await bench.serve(
        CommandShow, value({"id": "cmd-1", "status": "sent"}), value({"id": "cmd-1", "status": "observed"})
    )
    body = {"set": {"on": True}, "hold_s": 9, "because": ["it is dark"]}
    status, answer = await bench.call("POST", "/devices/lamps", json=body)

    assert status == 200
    assert [(item["device"], item["status"]) for item in answer["items"]] == [
        ("lamp-1", "observed"),
        ("lamp-2", "observed"),
    ]
    asks = [message for message in bench.asked if isinstance(message, CommandAsk)]
    assert {ask.device for ask in asks} == {"lamp-1", "lamp-2"}
    assert {(ask.run, ask.role, ask.hold_s, ask.because) for ask in asks} == {("run-1", "lamps", 9, ("it is dark",))}
    assert all(ask.command.startswith("cmd-") for ask in asks)


async def test_refused_command_is_a_failed_one(bench: Bench) -> None:
    await bench.serve(CommandAsk, Answer(ok=False, error=ErrorInfo("out_of_range", "on is no number", kind="invalid")))
    _, answer = await bench.call("POST", "/devices/lamps", json={"set": {"on": 3}, "device": "lamp-2"})

    (item,) = answer["items"]
    assert (item["device"], item["status"], item["reason"]) == ("lamp-2", "failed", "out_of_range: on is no number")


async def test_without_control_a_command_fails_after_its_timeout(bench: Bench) -> None:
    _, answer = await bench.call("POST", "/devices/lamps", json={"set": {"on": True}, "timeout_s": 0.3})

    assert {item["reason"].split(":")[0] for item in answer["items"]} == {"control_unavailable"}


async def test_control_that_comes_back_in_time_gets_the_command(bench: Bench) -> None:
    calling = asyncio.create_task(bench.call("POST", "/devices/lamps", json={"set": {"on": True}, "timeout_s": 30}))
    await asyncio.sleep(0.05)
    await bench.serve(CommandAsk, value({"id": "cmd-1", "status": "applied"}))
    _, answer = await calling

    assert {item["status"] for item in answer["items"]} == {"applied"}


@pytest.mark.parametrize("kind", [CommandAsk, CommandShow])
async def test_a_control_that_ends_while_it_is_asked_does_not_hold_up_the_run(
    bench: Bench, kind: type[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was asked is asked again, long before the command's own time is over."""
    monkeypatch.setattr(command_routes, "_LOOK_S", 0.1)
    monkeypatch.setattr(command_routes, "_GRACE_S", 0.1)
    heard: list[Message] = []

    async def server(message: Message) -> Answer:
        heard.append(message)
        if isinstance(message, kind) and len([one for one in heard if isinstance(one, kind)]) == 1:
            await asyncio.Event().wait()
        return value({"id": "cmd-1", "status": "sent" if isinstance(message, CommandAsk) else "observed"})

    await bench.bus.serve(CommandAsk, server)
    await bench.bus.serve(CommandShow, server)
    async with asyncio.timeout(30):
        body = {"set": {"on": True}, "device": "lamp-1", "timeout_s": 300}
        _, answer = await bench.call("POST", "/devices/lamps", json=body)

    assert [item["status"] for item in answer["items"]] == ["observed"]
    assert len({one.command for one in heard if isinstance(one, CommandAsk)}) == 1


async def test_release_names_role_and_properties(bench: Bench) -> None:
    await bench.serve(ReleaseAsk, Answer())

    assert (await bench.call("DELETE", "/devices/lamps?device=lamp-1&property=on"))[0] == 204
    assert bench.asked[-1] == ReleaseAsk("run-1", "lamps", "lamp-1", ("on",))


async def test_last_reading_is_kept_and_told_when_stale(bench: Bench) -> None:
    await measure(bench)
    fresh = (await bench.call("GET", "/devices/sensor/temperature"))[1]["items"]
    await bench.clock.advance(121)
    stale = (await bench.call("GET", "/devices/sensor"))[1]["items"]

    assert fresh == [{"device": "t1", "property": "temperature", "at": NOON, "value": 21.5}]
    assert stale == [{**fresh[0], "stale": True}]


async def test_last_values_are_learned_from_control(tmp_path: Path) -> None:
    bus = MemoryBus()
    readings = Readings(bus)

    async def last(message: ReadingsAsk) -> Answer:
        return value([Measure("t1", "temperature", NOON, 19)])

    await bus.serve(ReadingsAsk, last)
    await readings.watch(("t1",))
    channel = RunChannel(
        wanted(),
        tmp_path / "r.sock",
        None,
        bus=bus,
        models=Model(),
        files=BucketFiles(ObstoreBucket(MemoryStore())),
        readings=readings,
        clock=ManualClock(),
    )
    await channel.open()
    async with asyncio.timeout(30):
        while not readings.last("t1"):
            await asyncio.sleep(0.01)
    await channel.close()

    assert readings.last("t1")["temperature"].value == b"19"
    await bus.close()


async def test_older_than_asked_for_the_device_is_asked(bench: Bench) -> None:
    await measure(bench)
    await bench.clock.advance(10)

    async def ask_device(message: FreshAsk) -> Answer:
        bench.asked.append(message)
        await bench.bus.publish(Measured("t1", "temperature", "2026-11-20T12:00:10Z", b"22"))
        return Answer()

    await bench.bus.serve(FreshAsk, ask_device)
    old = (await bench.call("GET", "/devices/sensor/temperature?max_age_s=60"))[1]["items"]
    new = (await bench.call("GET", "/devices/sensor/temperature?max_age_s=5"))[1]["items"]

    assert (old[0]["value"], new[0]["value"]) == (21.5, 22)
    assert bench.asked[-1] == FreshAsk("run-1", "sensor", "t1", ("temperature",))


async def test_picture_comes_as_bytes_when_asked_for(bench: Bench) -> None:
    await measure(bench, "image", None, media=b"\xff\xd8\xff", content_type="image/jpeg")

    assert await bench.call("GET", "/devices/sensor/image", headers={"accept": "image/*"}) == (200, b"\xff\xd8\xff")
    items = (await bench.call("GET", "/devices/sensor/image"))[1]["items"]
    assert items[0]["media"] == "/9j/"


async def test_events_begin_with_the_last_values_and_go_on(bench: Bench) -> None:
    await measure(bench)
    async with bench.client.get("http://run/events") as stream:
        assert stream.content_type == "text/event-stream"
        bound = await _next_event(stream)
        first = await _next_event(stream)
        await measure(bench, of=23, at="2026-11-20T12:00:01Z")
        second = await _next_event(stream)

    assert bound["bindings"]["lamps"]["devices"] == ["lamp-1", "lamp-2"]
    assert (first["value"], first["again"]) == (21.5, True)
    assert (second["value"], second.get("again")) == (23, None)


async def test_a_stream_ends_when_other_devices_are_bound_and_the_next_names_them(bench: Bench) -> None:
    lamps = DeviceBinding(("lamp-3", "lamp-2"), "lamp@1", False, properties={"on": {"type": "boolean"}})
    async with bench.client.get("http://run/events") as stream:
        await _next_event(stream)
        bench.channel.update(wanted(bindings=wanted().bindings | {"lamps": lamps}))
        with contextlib.suppress(aiohttp.ClientPayloadError):
            await asyncio.wait_for(stream.content.read(), 30)
    async with bench.client.get("http://run/events") as stream:
        bound = await _next_event(stream)

    assert bound["bindings"]["lamps"]["devices"] == ["lamp-3", "lamp-2"]


async def test_devices_that_stay_are_heard_on_when_another_is_bound(bench: Bench) -> None:
    lamps = DeviceBinding(("lamp-3", "lamp-2"), "lamp@1", False, properties={"on": {"type": "boolean"}})
    await measure(bench)
    bench.asked.clear()
    bench.channel.update(wanted(bindings=wanted().bindings | {"lamps": lamps}))
    async with bench.client.get("http://run/events") as stream:
        await _next_event(stream)
        first = await _next_event(stream)
        await measure(bench, of=23, at="2026-11-20T12:00:01Z")
        second = await _next_event(stream)
    assert [(each["device"], each["value"]) for each in (first, second)] == [("t1", 21.5), ("t1", 23)]


async def test_what_happened_once_is_told_once_and_a_type_has_properties_and_events(bench: Bench) -> None:
    events = {"pressed": {"type": "boolean"}}
    sensor = msgspec.structs.replace(wanted().bindings["sensor"], events=events)
    bench.channel.update(wanted(bindings=wanted().bindings | {"sensor": sensor}))
    await measure(bench)
    await measure(bench, "pressed", True)
    async with bench.client.get("http://run/events") as stream:
        bound = await _next_event(stream)
        first = await _next_event(stream)
        await measure(bench, "pressed", True, "2026-11-20T12:00:01Z")
        second = await _next_event(stream)

    assert bound["bindings"]["sensor"]["events"] == events
    assert [(each["property"], each["at"]) for each in (first, second)] == [
        ("temperature", NOON),
        ("pressed", "2026-11-20T12:00:01Z"),
    ]
    assert (await bench.call("GET", "/devices/sensor/pressed"))[1]["items"][0]["value"] is True


async def _next_event(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            line = await stream.content.readline()
            if line.startswith(b"data: "):
                found: dict[str, Any] = msgspec.json.decode(line[6:])
                return found


async def test_state_carries_its_version(bench: Bench) -> None:
    await bench.serve(StateGet, value(None), value({"value": [1], "version": 7}))
    await bench.serve(StatePut, value({"value": None, "version": 8}), Answer(ok=False, error=_CONFLICT))

    assert await bench.refusal("GET", "/state/x") == (404, "no_value")
    async with bench.client.get("http://run/state/x") as answer:
        assert (await answer.json(), answer.headers["etag"]) == ([1], '"7"')
    async with bench.client.put("http://run/state/x", data=b"[2]", headers={"if-match": '"7"'}) as answer:
        assert (answer.status, answer.headers["etag"]) == (204, '"8"')
    assert bench.asked[-1] == StatePut("run-1", "x", b"[2]", 7)
    refused = await bench.refusal("PUT", "/state/x", data=b"[3]", headers={"if-match": '"7"'})
    assert refused == (409, "state_changed")
    assert await bench.refusal("PUT", "/state/x", data=b'"' + b"x" * 300_000 + b'"') == (422, "state_too_large")


_CONFLICT = ErrorInfo("state_changed", "x is at version 8", kind="conflict")


async def test_files_are_kept_by_schedule(bench: Bench) -> None:
    assert (await bench.call("PUT", "/files/a%20b.txt", data=b"hello"))[0] == 204
    assert await bench.call("GET", "/files/a%20b.txt") == (200, b"hello")
    assert (await bench.call("GET", "/files"))[1]["items"] == ["a b.txt"]
    assert await bench.refusal("GET", "/files/other") == (404, "no_file")
    assert (await bench.call("PUT", "/files/..%2F..%2Fetc", data=b"x"))[0] == 204
    assert (await bench.call("GET", "/files"))[1]["items"] == ["../../etc", "a b.txt"]


async def test_mail_goes_out_with_its_attachments_in_the_bucket(bench: Bench) -> None:
    await bench.serve(MailAsk, Answer())
    body = {"subject": "s", "text": "t", "attach": [{"name": "x.txt", "content": "aGk=", "content_type": "text/plain"}]}

    assert (await bench.call("POST", "/mail", json=body))[0] == 202
    (mail,) = [message for message in bench.asked if isinstance(message, MailAsk)]
    assert (mail.run, mail.subject, mail.to) == ("run-1", "s", ())
    assert mail.attach[0].key.startswith("mail/run-1/")


async def test_heartbeat_is_noted(bench: Bench) -> None:
    assert bench.channel.beat is None
    assert (await bench.call("POST", "/ready", json={"handled": 3}))[0] == 204
    assert (bench.channel.beat, bench.channel.said.handled) == (0.0, 3)


async def test_channel_of_a_new_keeper_takes_the_path_over(bench: Bench, tmp_path: Path) -> None:
    channel = RunChannel(
        wanted(run="run-2"),
        bench.channel.socket,
        None,
        bus=bench.bus,
        models=bench.model,
        files=BucketFiles(ObstoreBucket(MemoryStore())),
        readings=bench.readings,
        clock=bench.clock,
    )
    await channel.open()
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(channel.socket))) as client,
        client.get("http://run/") as answer,
    ):
        assert (await answer.json())["run"] == "run-2"
    await channel.close()


async def test_a_run_has_so_many_connections_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_channel, "CONNECTIONS_MAX", 3)
    opened = [await asyncio.open_unix_connection(bench.channel.socket) for _ in range(3)]
    for reader, writer in opened:
        writer.write(b"GET / HTTP/1.1\r\nHost: run\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    reader, writer = await asyncio.open_unix_connection(bench.channel.socket)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            assert await reader.read() == b""
    for _, each in (*opened, (reader, writer)):
        each.close()
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                assert (await bench.call("GET", "/"))[0] == 200
                break
            await asyncio.sleep(0.01)


async def test_a_body_that_is_nested_too_deeply_is_refused_in_words(bench: Bench) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    status, code = await bench.refusal("PUT", "/state/d", data=body, headers={"content-type": "application/json"})
    assert (status, code) == (422, "invalid_input")


@pytest.mark.parametrize("match", ["\u00b2", "9" * 5000, "9" * 30])
async def test_what_is_no_version_of_a_state_is_refused_in_words(bench: Bench, match: str) -> None:
    told = await bench.refusal("PUT", "/state/d", data=b"1", headers={"if-match": match})
    assert told == (422, "invalid_input")


@pytest.mark.parametrize("path", ["/state/d", "/mail", "/devices/lamps"])
@pytest.mark.parametrize("body", [b'"\xff"', b'{"\xff": 1}'], ids=["text", "key"])
async def test_a_body_that_is_no_utf_8_is_refused_in_words(bench: Bench, path: str, body: bytes) -> None:
    told = await bench.refusal("PUT" if path == "/state/d" else "POST", path, data=body)
    assert told == (422, "invalid_input")


@pytest.mark.parametrize(
    "raw",
    [b"PUT /state/\xc3\xa9 HTTP/1.1\r\nHost: run\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"],
)
async def test_bytes_that_are_no_request_are_refused_like_all_else(
    bench: Bench, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_unix_connection(bench.channel.socket)
    writer.write(raw)
    async with asyncio.timeout(30):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.split()[1] == b"400"
    error = msgspec.json.decode(body)["error"]
    assert (error["code"], error["id"][:4], "ASCII" in error["hint"]) == ("bad_request", "req-", True)
    assert not caplog.records  # an app must not fill the keeper's log
