"""What a bus promises, on nats-server and in memory."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from fairlead.bus import nats as nats_module
from fairlead.bus import parts
from fairlead.bus.nats import NatsBus
from fairlead.bus.port import Bus, Said
from fairlead.errors import Conflict, Invalid, Unavailable
from fairlead.messages import Answer, JobMoved, JobOrder, Measured, Message, NodeReport, NodeWanted, StateGet, WantedAsk
from fairlead.testing.bus import MemoryBus
from fairlead.testing.nats import NatsRig, nats_server

WAIT_S = 30


class Rig(Protocol):
    """Two that talk on one bus, and a device."""

    control: Bus
    keeper: Bus

    async def device_sends(self, device: str, tail: str, payload: bytes) -> None: ...


class MemoryRig:
    def __init__(self) -> None:
        self.control = self.keeper = self._bus = MemoryBus()

    async def device_sends(self, device: str, tail: str, payload: bytes) -> None:
        await self._bus.device_sends(device, tail, payload)


class RealRig:
    def __init__(self, nats: NatsRig, control: NatsBus, keeper: NatsBus) -> None:
        self.nats, self.control, self.keeper = nats, control, keeper

    async def device_sends(self, device: str, tail: str, payload: bytes) -> None:
        command = self.nats.mosquitto("mosquitto_pub", device, "secret", "-t", f"dev/{device}/{tail}", "-s")
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        await process.communicate(payload)
        assert process.returncode == 0


@pytest.fixture(params=["nats", "memory"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    if request.param == "memory":
        memory = MemoryRig()
        yield memory
        await memory.control.close()
        return
    async with nats_server(tmp_path, {"t1": "secret", "fan-1": "secret"}) as started:
        control, keeper = await started.connect("control"), await started.connect("keeper")
        yield RealRig(started, control, keeper)
        await control.close()
        await keeper.close()


class HeardOfDevices(list[Said]):
    """What devices said, as a handler was given it."""

    async def __call__(self, said: Sequence[Said]) -> None:
        self.extend(said)

    async def until(self, count: int) -> None:
        await until(lambda: len(self) >= count)


class Heard(list[object]):
    """What a handler was given."""

    async def __call__(self, *given: object) -> None:
        self.append(given[0] if len(given) == 1 else given)

    async def until(self, count: int) -> None:
        await until(lambda: len(self) >= count)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


async def test_a_message_reaches_all_who_subscribed_to_its_class(rig: Rig) -> None:
    one, two, other = Heard(), Heard(), Heard()
    await rig.control.subscribe(NodeReport, one)
    await rig.control.subscribe(NodeReport, two)
    await rig.control.subscribe(JobMoved, other)
    report = NodeReport(node="local", generation=3, at="2026-11-20T14:03:00Z")
    await rig.keeper.publish(report)
    await one.until(1)
    await two.until(1)
    assert one == two == [report]
    assert other == []


async def test_what_one_sends_arrives_in_order(rig: Rig) -> None:
    heard = Heard()
    await rig.control.subscribe(JobMoved, heard)
    sent = [JobMoved(job="job-1", epoch=1, step=step) for step in range(500)]
    for message in sent:
        await rig.keeper.publish(message)
    await heard.until(500)
    assert heard == sent


async def test_many_that_are_sent_at_once_arrive_in_order_the_long_ones_too(rig: Rig) -> None:
    heard = Heard()
    await rig.keeper.subscribe(Measured, heard)
    sent = [
        Measured(f"t{number % 7}", "x", "", b"%d" % number, b"y" * size) for number, size in enumerate((0, 9, 10**6, 1))
    ]
    await rig.control.publish_all(sent)
    await rig.control.publish_all([])
    await heard.until(len(sent))
    assert heard == sent


async def test_a_node_hears_only_what_is_meant_for_it(rig: Rig) -> None:
    wanted, orders = Heard(), Heard()
    await rig.keeper.subscribe(NodeWanted, wanted, node="local")
    await rig.keeper.subscribe(JobOrder, orders, node="local")
    order = JobOrder(job="job-1", epoch=1, model="m", version="1", body=b"\x00{}")
    await rig.control.publish(NodeWanted(node="other", generation=1))
    await rig.control.publish(order, node="other")
    await rig.control.publish(NodeWanted(node="local", generation=2))
    await rig.control.publish(order, node="local")
    await wanted.until(1)
    await orders.until(1)
    assert wanted == [NodeWanted(node="local", generation=2)]
    assert orders == [order]


async def test_readings_can_be_heard_of_one_device(rig: Rig) -> None:
    one, every = Heard(), Heard()
    await rig.keeper.subscribe(Measured, one, device="t1")
    await rig.keeper.subscribe(Measured, every)
    for device in ("t2", "t1"):
        await rig.control.publish(Measured(device=device, property="temperature", at="", value=b"21.5"))
    await one.until(1)
    await every.until(2)
    assert [each.device for each in one] == ["t1"]  # type: ignore[attr-defined]


async def test_an_order_without_a_node_is_refused(rig: Rig) -> None:
    with pytest.raises(Invalid):
        await rig.control.publish(JobOrder(job="job-1", epoch=1, model="m", version="1"))


async def test_a_closed_subscription_hears_nothing_more(rig: Rig) -> None:
    heard, still = Heard(), Heard()
    subscription = await rig.control.subscribe(JobMoved, heard)
    await rig.control.subscribe(JobMoved, still)
    await subscription.close()
    await subscription.close()
    await rig.keeper.publish(JobMoved(job="job-1", epoch=1, step=1))
    await still.until(1)
    assert heard == []


async def test_a_handler_that_raises_is_logged_and_goes_on(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()

    async def handler(message: JobMoved) -> None:
        if message.step == 0:
            raise ValueError("a bug")
        await heard(message)

    await rig.control.subscribe(JobMoved, handler)
    with caplog.at_level(logging.ERROR):
        for step in range(2):
            await rig.keeper.publish(JobMoved(job="job-1", epoch=1, step=step))
        await heard.until(1)
    assert "a bug" in caplog.text


async def test_a_request_is_answered(rig: Rig) -> None:
    async def serve(asked: StateGet) -> Answer:
        return Answer(value=asked.key.encode())

    await rig.control.serve(StateGet, serve)
    assert await rig.keeper.request(StateGet(run="run-1", key="k")) == Answer(value=b"k")


async def test_requests_are_answered_side_by_side(rig: Rig) -> None:
    release = asyncio.Event()

    async def serve(asked: StateGet) -> Answer:
        if asked.key == "slow":
            await release.wait()
        else:
            release.set()
        return Answer()

    await rig.control.serve(StateGet, serve)
    slow = asyncio.create_task(rig.keeper.request(StateGet(run="run-1", key="slow"), timeout_s=WAIT_S))
    await asyncio.sleep(0)
    assert (await rig.keeper.request(StateGet(run="run-1", key="fast"), timeout_s=WAIT_S)).ok
    assert (await slow).ok


async def test_a_refusal_travels_as_an_answer(rig: Rig) -> None:
    async def serve(asked: StateGet) -> Answer:
        raise Conflict("it changed", code="state_changed", hint="read it again")

    await rig.control.serve(StateGet, serve)
    answer = await rig.keeper.request(StateGet(run="run-1", key="k"))
    assert not answer.ok
    assert answer.error is not None
    error = answer.error.to_error()
    assert isinstance(error, Conflict)
    assert (error.code, error.message, error.hint) == ("state_changed", "it changed", "read it again")


async def test_a_bug_of_the_server_is_an_answer_that_tells_nothing_of_it(rig: Rig) -> None:
    async def serve(asked: StateGet) -> Answer:
        raise KeyError("password")

    await rig.control.serve(StateGet, serve)
    answer = await rig.keeper.request(StateGet(run="run-1", key="k"))
    assert answer.error is not None
    assert answer.error.code == "internal"
    assert "password" not in answer.error.message


async def test_a_request_that_nobody_serves_fails_at_once(rig: Rig) -> None:
    with pytest.raises(Unavailable) as refused:
        await rig.keeper.request(WantedAsk(node="local"), timeout_s=WAIT_S)
    assert refused.value.code == "no_answer"


async def test_a_request_that_is_not_answered_in_time_fails(rig: Rig) -> None:
    async def serve(asked: WantedAsk) -> Answer:
        await asyncio.sleep(WAIT_S)
        return Answer()

    served = await rig.control.serve(WantedAsk, serve)
    with pytest.raises(Unavailable) as refused:
        await rig.keeper.request(WantedAsk(node="local"), timeout_s=0.1)
    assert refused.value.code == "no_answer"
    await served.close()


async def test_of_two_that_serve_one_is_asked(rig: Rig) -> None:
    asked: list[str] = []

    def server(name: str) -> Callable[[WantedAsk], Awaitable[Answer]]:
        async def serve(_: WantedAsk) -> Answer:
            asked.append(name)
            return Answer()

        return serve

    await rig.control.serve(WantedAsk, server("one"))
    await rig.control.serve(WantedAsk, server("two"))
    await rig.keeper.request(WantedAsk(node="local"))
    assert len(asked) == 1


async def test_what_a_device_sends_arrives_as_it_is(rig: Rig) -> None:
    every, one = HeardOfDevices(), HeardOfDevices()
    await rig.control.subscribe_devices(every)
    await rig.control.subscribe_devices(one, device="fan-1")
    await rig.device_sends("t1", "state/temperature", b"21.5")
    await rig.device_sends("fan-1", "cmd/ack", b'{"id": "cmd-1"}')
    await rig.device_sends("t1", "state", b"\x00\xff")
    await every.until(3)
    await one.until(1)
    assert every == [
        ("t1", "state/temperature", b"21.5"),
        ("fan-1", "cmd/ack", b'{"id": "cmd-1"}'),
        ("t1", "state", b"\x00\xff"),
    ]
    assert one == [("fan-1", "cmd/ack", b'{"id": "cmd-1"}')]


async def test_what_the_platform_sends_to_devices_does_not_come_back(rig: Rig) -> None:
    heard = HeardOfDevices()
    await rig.control.subscribe_devices(heard)
    await rig.control.publish_device("fan-1", "cmd", b"{}")
    await rig.device_sends("t1", "status", b"online")
    await heard.until(1)
    assert heard == [("t1", "status", b"online")]


@pytest.mark.parametrize(
    ("device", "tail"), [("#", "cmd"), ("*", "cmd"), ("a.b", "cmd"), (">", "cmd"), ("fan-1", "cmd/#"), ("fan-1", "")]
)
async def test_what_is_no_device_or_topic_is_refused(rig: Rig, device: str, tail: str) -> None:
    with pytest.raises(Invalid):
        await rig.control.publish_device(device, tail, b"")


async def test_a_message_of_any_size_arrives_whole_and_in_order(rig: Rig) -> None:
    heard, reports = Heard(), Heard()
    await rig.keeper.subscribe(NodeWanted, heard, node="local")
    await rig.control.subscribe(NodeReport, reports)
    long = {f"{number:x}": float(number) for number in range(800_000)}  # more than nats-server takes at once
    sent = [NodeWanted(node="local", generation=number, denied=long) for number in (1, 2)]
    for wanted in (*sent, NodeWanted(node="local", generation=3)):
        await rig.control.publish(wanted)
    await heard.until(3)
    assert heard[:2] == sent
    assert [wanted.generation for wanted in heard if isinstance(wanted, NodeWanted)] == [1, 2, 3]
    report = NodeReport(node="local", generation=1, at="", front_door="x" * 9 * 1024**2)
    await rig.keeper.publish(report)
    await reports.until(1)
    assert reports == [report]


async def test_what_no_message_carries_is_refused_and_the_bus_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PACKED_MAX_BYTES", 1024)
    heard = Heard()
    await rig.control.subscribe(NodeReport, heard)
    with pytest.raises(Unavailable) as refused:
        await rig.keeper.publish(NodeReport(node="local", generation=1, at="", front_door="x" * 9 * 1024**2))
    assert refused.value.code == "message_too_long"
    await rig.keeper.publish(NodeReport(node="local", generation=2, at=""))
    await heard.until(1)


async def test_a_closed_bus_refuses(rig: Rig) -> None:
    await rig.keeper.close()
    await rig.keeper.close()
    assert not rig.keeper.connected
    with pytest.raises(Unavailable) as refused:
        await rig.keeper.publish(JobMoved(job="job-1", epoch=1, step=1))
    assert refused.value.code == "bus_down"


async def test_slow_handlers_lose_the_rest_and_count_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_module, "PENDING_MESSAGES", 10)
    async with nats_server(tmp_path, answer=False) as started:
        control, keeper = await started.connect("control"), await started.connect("keeper")
        hold = asyncio.Event()

        async def handler(message: JobMoved) -> None:
            await hold.wait()

        subscription = await control.subscribe(JobMoved, handler)
        for step in range(100):
            await keeper.publish(JobMoved(job="job-1", epoch=1, step=step))
        await until(lambda: subscription.dropped >= 80)
        await control.close()
        await keeper.close()


async def test_a_server_that_reads_nothing_fills_no_memory_and_gets_what_waited(tmp_path: Path) -> None:
    async with nats_server(tmp_path, answer=False) as started:
        control, keeper = await started.connect("control"), await started.connect("keeper")
        heard = Heard()
        await keeper.subscribe(Measured, heard)
        block = [Measured("t1", "x", "", b"%d" % number, bytes(1000)) for number in range(1000)]
        started.signal(signal.SIGSTOP)
        sending: list[asyncio.Task[None]] = []
        while not any(one.done() and one.exception() for one in sending):
            sending.append(asyncio.create_task(control.publish_all(block)))
            await asyncio.sleep(0)
        assert control.client.pending_data_size < nats_module.WAITING_BYTES + 2 * 1100 * len(block)
        with pytest.raises(Unavailable, match="bytes wait"):
            await control.publish_all(block)
        refused = sum(isinstance(one.exception(), Unavailable) for one in sending if one.done())
        started.signal(signal.SIGCONT)
        await heard.until((len(sending) - refused) * len(block))
        await asyncio.gather(*sending, return_exceptions=True)
        await control.publish_all(block)
        await control.close()
        await keeper.close()


async def test_subscriptions_and_servers_outlive_a_killed_server(tmp_path: Path) -> None:
    async with nats_server(tmp_path, answer=False) as started:
        control, keeper = await started.connect("control"), await started.connect("keeper")
        heard = Heard()

        async def serve(_: WantedAsk) -> Answer:
            return Answer(value=b"1")

        await control.subscribe(JobMoved, heard)
        await control.serve(WantedAsk, serve)
        await asyncio.to_thread(started.kill)
        await until(lambda: not keeper.connected and not control.connected)
        with pytest.raises(Unavailable):
            await keeper.publish(JobMoved(job="job-1", epoch=1, step=1))
        await asyncio.to_thread(started.start)
        await until(lambda: keeper.connected and control.connected)
        assert (await _answered(keeper, WantedAsk(node="local"))).value == b"1"
        await keeper.publish(JobMoved(job="job-1", epoch=1, step=2))
        await heard.until(1)
        await control.close()
        await keeper.close()


async def _answered(bus: Bus, message: Message) -> Answer:
    """Ask until somebody serves it: a client is connected a moment before the server knows its subscriptions again."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await bus.request(message, timeout_s=WAIT_S)
            except Unavailable:
                await asyncio.sleep(0.005)


async def test_the_folder_of_a_server_may_have_any_letters(tmp_path: Path) -> None:
    folder = tmp_path / "ho me ü 家"
    folder.mkdir()
    async with nats_server(folder, answer=False) as started:
        control = await started.connect("control")
        assert control.connected
        await control.close()
