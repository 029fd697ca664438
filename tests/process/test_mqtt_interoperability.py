"""What any MQTT 3.1.1 server must do, case by case as in Paho's interoperability suite, of our nats-server and its sign-in.

The cases are those of ``interoperability/client_test.py`` in https://github.com/eclipse/paho.mqtt.testing; the program is
ours. Those who sign in here may send and hear nearly everything: what a device may is tried in ``test_device_link``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from fairlead.bus import subjects
from fairlead.bus.server import PAYLOAD_MAX_BYTES
from fairlead.bus.subjects import Permissions
from fairlead.testing.nats import NatsRig, nats_server

WAIT_S = 30.0
QUIET_S = 0.2
"""So long nothing more may come; what comes late comes within milliseconds."""
REFUSED = 0x80
DEVICE = "fan-1"
PASSWORDS = {"one": "of-one", "two": "of-two", DEVICE: "of-fan-1"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsRig]:
    """nats-server and who answers its question, in a thread of their own."""
    up, over, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with nats_server(tmp_path_factory.mktemp("bus"), PASSWORDS) as started:
            found.append(started)
            up.set()
            await asyncio.to_thread(over.wait)

    narrow = subjects.device_permissions

    def wide(name: str) -> Permissions:
        return narrow(name) if name == DEVICE else Permissions(publish=(">",), subscribe=(">",))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "device_permissions", wide)
        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        assert up.wait(WAIT_S)
        try:
            yield found[0]
        finally:
            over.set()
            thread.join(WAIT_S)


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Client:
    """A client of Paho's, and what it heard: topic, payload, quality of service, whether it was retained."""

    def __init__(
        self, rig: NatsRig, name: str, client_id: str | None = None, *, clean: bool = True, **more: Any
    ) -> None:
        self.heard: list[tuple[str, bytes, int, bool]] = []
        self.granted: dict[int, list[ReasonCode]] = {}
        self.told: list[tuple[ReasonCode, bool]] = []
        self.sent: set[int] = set()
        self._port = rig.devices_port
        self.paho = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            name if client_id is None else client_id,
            clean,
            reconnect_on_failure=False,
            **more,
        )
        self.paho.username_pw_set(name, PASSWORDS[name])
        self.paho.on_connect = lambda client, kept, flags, code, more: self.told.append((code, flags.session_present))
        self.paho.on_subscribe = lambda client, kept, number, codes, more: self.granted.update({number: codes})
        self.paho.on_unsubscribe = lambda client, kept, number, codes, more: self.granted.update({number: []})
        self.paho.on_publish = lambda client, kept, number, code, more: self.sent.add(number)
        self.paho.on_message = self._hear

    def _hear(self, client: mqtt.Client, kept: object, message: mqtt.MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload), message.qos, message.retain))

    def __enter__(self) -> Client:
        self.told.clear()
        self.paho.connect("127.0.0.1", self._port, keepalive=30)
        self.paho.loop_start()
        until(lambda: self.told, "it is answered")
        return self

    def __exit__(self, *error: object) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()
        self.close()

    def close(self) -> None:
        """Close its sockets, of which it leaves some to the collector of garbage."""
        self.paho._reset_sockets()

    @property
    def session_present(self) -> bool:
        return self.told[-1][1]

    def subscribe(self, *topics: tuple[str, int]) -> list[int]:
        """Return what was granted."""
        number = self.paho.subscribe(list(topics))[1]
        assert number is not None
        until(lambda: number in self.granted, f"{topics} are answered")
        return [code.value for code in self.granted[number]]

    def unsubscribe(self, *topics: str) -> None:
        number = self.paho.unsubscribe(list(topics))[1]
        assert number is not None
        until(lambda: number in self.granted, f"{topics} are answered")

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> None:
        """Return once the server has it."""
        number = self.paho.publish(topic, payload, qos, retain).mid
        until(lambda: number in self.sent, f"{topic} is taken")

    def hears(self, count: int) -> list[tuple[str, bytes, int, bool]]:
        """Return what came once it is so many messages; no more may follow."""
        until(lambda: len(self.heard) >= count, f"{count} messages of {self.heard}")
        time.sleep(QUIET_S)
        found, self.heard[:] = sorted(self.heard), []
        assert len(found) == count, found
        return found

    def cut(self) -> None:
        """Be gone without a word."""
        self.paho.loop_stop()
        line = self.paho.socket()
        assert isinstance(line, socket.socket)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()


def of_each_quality(client: Client, start: str, *, retain: bool = False, payload: str = "at") -> None:
    for qos in range(3):
        client.publish(f"{start}/{qos}", f"{payload} {qos}".encode() if payload else b"", qos, retain=retain)


def test_basic_messages_of_each_quality_arrive(rig: NatsRig) -> None:
    with Client(rig, "one") as one:
        assert one.subscribe(("basic/+", 2)) == [2]
        of_each_quality(one, "basic")

        assert one.hears(3) == [(f"basic/{qos}", f"at {qos}".encode(), qos, False) for qos in range(3)]


def test_basic_a_subscription_bounds_the_quality(rig: NatsRig) -> None:
    with Client(rig, "one") as one:
        assert one.subscribe(("bound/+", 1)) == [1]
        of_each_quality(one, "bound")

        assert [message[2] for message in one.hears(3)] == [0, 1, 1]


def test_basic_another_protocol_is_not_spoken(rig: NatsRig) -> None:
    with socket.create_connection(("127.0.0.1", rig.devices_port), WAIT_S) as line:
        line.sendall(b"\x10\x0e\0\2hj\4\2\0\x1e\0\4some")
        with suppress(ConnectionError):
            assert line.recv(4) == b""


def test_retained_messages_come_to_who_subscribes_later_and_are_cleared_by_empty_ones(rig: NatsRig) -> None:
    with Client(rig, "one") as one, Client(rig, "two") as two:
        of_each_quality(one, "kept", retain=True)
        two.subscribe(("kept/+", 2))
        assert two.hears(3) == [(f"kept/{qos}", f"at {qos}".encode(), qos, True) for qos in range(3)]
        of_each_quality(one, "kept", retain=True, payload="")
        assert [message[1] for message in two.hears(3)] == [b""] * 3
        with Client(rig, "two", "two:later") as later:
            later.subscribe(("kept/+", 2))

            assert later.hears(0) == []


def test_offline_messages_of_quality_1_and_2_are_kept_for_a_session(rig: NatsRig) -> None:
    with Client(rig, "one", "one:away", clean=False) as away:
        assert not away.session_present
        away.subscribe(("away/+", 2))
    with Client(rig, "two") as two:
        of_each_quality(two, "away")
    with Client(rig, "one", "one:away", clean=False) as back:
        assert back.session_present
        assert back.hears(2) == [("away/1", b"at 1", 1, False), ("away/2", b"at 2", 2, False)]
    with Client(rig, "one", "one:away"), Client(rig, "two") as two:
        of_each_quality(two, "away")
    with Client(rig, "one", "one:away", clean=False) as anew:
        assert not anew.session_present, "a clean session ends the one before"
        assert anew.hears(0) == []


def test_a_will_is_told_of_who_is_gone_without_a_word(rig: NatsRig) -> None:
    with Client(rig, "two") as two:
        two.subscribe(("will", 2))
        for is_cut, told in ((True, [("will", b"not disconnected", 2, False)]), (False, [])):
            one = Client(rig, "one")
            one.paho.will_set("will", b"not disconnected", 2)
            with one:
                if is_cut:
                    one.cut()
            assert two.hears(len(told)) == told


def test_a_client_id_of_no_length_is_given_one(rig: NatsRig) -> None:
    """With a session to keep it is refused: ``test_mqtt_conformance``."""
    with Client(rig, "one", "") as one, Client(rig, "two", "") as two:
        assert (one.told, two.told) == ([(ReasonCode(2, "Success"), False)],) * 2
        one.subscribe(("nameless", 1))
        two.publish("nameless", b"both are there", 1)
        assert one.hears(1) == [("nameless", b"both are there", 1, False)]


@pytest.mark.parametrize("name", ["clean retained", "a.b", "a*", "a>"])
def test_a_client_id_that_would_be_no_subject_is_refused(rig: NatsRig, name: str) -> None:
    """Other servers take it: nats-server names the session by it."""
    with Client(rig, "one", name) as one:
        assert one.told[0][0] == "Client identifier not valid"


@pytest.mark.parametrize(("topic", "size"), [("a b", 1), ("large", PAYLOAD_MAX_BYTES + 1)])
def test_what_cannot_be_taken_ends_that_connection_alone(rig: NatsRig, topic: str, size: int) -> None:
    with Client(rig, "two") as two:
        two.subscribe(("fine", 1))
        with Client(rig, "one") as one:
            one.paho.publish(topic, bytes(size), 0)
            until(lambda: not one.paho.is_connected(), "it is put out")
        with Client(rig, "one") as again:
            again.publish("fine", b"x", 1)

        assert two.hears(1) == [("fine", b"x", 1, False)]


def test_overlapping_subscriptions_bring_one_message_each_or_one_of_the_highest_quality(rig: NatsRig) -> None:
    with Client(rig, "one") as one, Client(rig, "two") as two:
        one.subscribe(("over/#", 2), ("over/+", 1))
        two.publish("over/lap", b"once or twice", 2)
        until(lambda: one.heard, "it comes")
        time.sleep(QUIET_S)

        assert sorted(message[2] for message in one.heard) in ([2], [1, 2])


def test_keepalive_ends_the_connection_of_who_is_silent(rig: NatsRig) -> None:
    with Client(rig, "two") as two:
        two.subscribe(("silent", 2))
        one = Client(rig, "one")
        one.paho.will_set("silent", b"keepalive expiry", 2)
        one.paho.connect("127.0.0.1", rig.devices_port, keepalive=1)
        until(lambda: one.paho.loop(0.01) or one.told, "it is connected")

        assert two.hears(1) == [("silent", b"keepalive expiry", 2, False)]
        one.close()


@contextmanager
def spoken(rig: NatsRig, said: bytes) -> Iterator[BinaryIO]:
    """Yield what is heard on a connection on which just this was said."""
    with socket.create_connection(("127.0.0.1", rig.devices_port), WAIT_S) as line, line.makefile("rb") as heard:
        line.sendall(said)
        yield heard


def published(line: BinaryIO, count: int) -> list[tuple[int, str]]:
    """Return quality and topic of so many messages that come on a connection of which nobody acknowledges any."""
    found: list[tuple[int, str]] = []
    while len(found) < count:
        kind, size = line.read(2)
        body = line.read(size)
        if kind >> 4 == 3:
            found.append((kind >> 1 & 3, body[2 : 2 + int.from_bytes(body[:2], "big")].decode()))
    return sorted(found)


def test_what_was_not_acknowledged_comes_again_after_a_reconnect(rig: NatsRig) -> None:
    """Here 5 s (``ack_wait``) after it was sent, not at once."""

    def text(said: str) -> bytes:
        return struct.pack(">H", len(said)) + said.encode()

    body = text("MQTT") + b"\4\xc0\0\x1e" + text("one:again") + text("one") + text(PASSWORDS["one"])
    connect, subscribe = bytes((0x10, len(body))) + body, b"\0\1" + text("again/+") + b"\2"
    with Client(rig, "two") as two:
        with spoken(rig, connect + bytes((0x82, len(subscribe))) + subscribe) as heard:
            assert heard.read(9)[:5] == b"\x20\2\0\0\x90"
            of_each_quality(two, "again")
            assert published(heard, 3) == [(qos, f"again/{qos}") for qos in range(3)]
        with spoken(rig, connect) as heard:
            assert heard.read(4) == b"\x20\2\1\0", "its session is there"
            assert published(heard, 2) == [(1, "again/1"), (2, "again/2")]


def test_a_subscription_that_is_not_allowed_fails_alone(rig: NatsRig) -> None:
    with Client(rig, DEVICE) as fan:
        assert fan.subscribe((f"dev/{DEVICE}/cmd", 1), ("dev/two/cmd", 1), ("#", 0)) == [1, REFUSED, REFUSED]


@pytest.mark.parametrize("topics", ["#", "+/B"])
def test_wildcards_do_not_take_in_topics_that_begin_with_a_dollar(rig: NatsRig, topics: str) -> None:
    with Client(rig, "one") as one, Client(rig, "two") as two:
        one.subscribe((topics, 2))
        time.sleep(QUIET_S)
        one.heard.clear()
        two.publish("$Topic/B", b"not for all", 1)
        two.publish("Topic/B", b"for all", 1)

        assert one.hears(1) == [("Topic/B", b"for all", 1, False)]


def test_unsubscribe_ends_what_it_names_and_nothing_else(rig: NatsRig) -> None:
    with Client(rig, "one") as one, Client(rig, "two") as two:
        one.subscribe(("un/A", 2), ("un/B", 2), ("un/C", 2))
        one.unsubscribe("un/A")
        for topic in ("un/A", "un/B", "un/C"):
            two.publish(topic, b"x", 2)

        assert [message[0] for message in one.hears(2)] == ["un/B", "un/C"]
