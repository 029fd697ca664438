"""Callbacks are sent: over a real SQLite file, to real servers of the test."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from tests.certificates import Authority

from fairlead.accounts.policy import Caller, Role
from fairlead.clock import SystemClock
from fairlead.control.callbacks import Callbacks
from fairlead.control.sender import Sender
from fairlead.identity.seal import Sealer
from fairlead.jobs import callbacks, service, signing
from fairlead.jobs.addresses import Address, Allowed
from fairlead.jobs.callbacks import Tried
from fairlead.jobs.service import Submission
from fairlead.status import DeliveryStatus
from fairlead.store.database import Database, open_database
from fairlead.store.records import Delivery
from fairlead.testing.clock import ManualClock

ADA = Caller("ada", frozenset({Role.USER}))
HERE = Allowed.parse("127.0.0.1")
DEADLINE_S = 30.0


@dataclass
class Receiver:
    """Answers every request with ``answer``; keeps what came."""

    answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    connections: int = 0
    heads: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
            head = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            self.bodies.append(await reader.readexactly(int(head["content-length"])))
            self.heads.append(head)
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def receiver(answer: bytes = Receiver.answer, context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    made = Receiver(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


def to(*addresses: str) -> Callable[[str, int], object]:
    """Return a resolver that knows one name."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[Address]:
        asked.append(host)
        assert len(asked) == 1, "a name is resolved once a try"
        return [ipaddress.ip_address(address) for address in addresses]

    return resolve


async def send(sender: Sender, url: str) -> Tried:
    return await sender.send(url, {"webhook-id": "msg-1"}, b"{}")


async def test_a_callback_arrives_under_the_name_of_its_host() -> None:
    async with receiver() as got:
        tried = await send(Sender(HERE, to("127.0.0.1")), f"http://hooks.example.org:{got.port}/jobs?a=b")
    assert (tried.is_taken, tried.said) == (True, "answered 204")
    assert got.heads[0]["host"] == f"hooks.example.org:{got.port}"
    assert got.heads[0]["webhook-id"] == "msg-1"
    assert got.bodies == [b"{}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "hooks.example.org"])
async def test_nobody_nearby_is_connected_to(host: str) -> None:
    async with receiver() as got:
        for addresses in (["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]):
            tried = await send(Sender(Allowed(), to(*addresses)), f"http://{host}:{got.port}/")
            assert (tried.final, "callback_private" in tried.said) == (True, True)
    assert got.connections == 0


async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as inner:
        location = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
        async with receiver(location.encode()) as outer:
            tried = await send(Sender(HERE), f"http://127.0.0.1:{outer.port}/")
    assert (tried.is_taken, tried.status, inner.connections) == (False, 302, 0)


@pytest.mark.parametrize(
    ("answer", "final", "after_s"),
    [
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", True, 0),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", False, 7),
        (b"HTTP/1.1 500 No\r\nContent-Length: 99999999999\r\n\r\nx", False, 0),
        (b"what is that\r\n\r\n", False, 0),
        (b"", False, 0),
    ],
)
async def test_an_answer_says_what_follows(answer: bytes, final: bool, after_s: float) -> None:
    async with receiver(answer) as got:
        tried = await send(Sender(HERE), f"http://127.0.0.1:{got.port}/")
    assert (tried.is_taken, tried.final, tried.after_s) == (False, final, after_s)


async def test_certificates_are_verified_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue()
    (tmp_path / "both.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    allowed = Allowed.parse("localhost, 127.0.0.1")
    async with receiver(context=context) as got:
        stranger = await send(Sender(allowed, to("127.0.0.1")), f"https://localhost:{got.port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        other = await send(Sender(allowed, to("127.0.0.1")), f"https://hooks.example.org:{got.port}/")
        assert (stranger.is_taken, "tls_verify" in stranger.said) == (False, True)
        assert (other.is_taken, "tls_verify" in other.said) == (False, True)
        assert got.bodies == []
        assert (await send(Sender(allowed, to("127.0.0.1")), f"https://localhost:{got.port}/")).is_taken


async def test_another_address_of_a_name_is_tried_where_one_does_not_answer() -> None:
    async with receiver() as got:
        tried = await send(
            Sender(Allowed.parse("127.0.0.0/8"), to("127.0.0.2", "127.0.0.1")), f"http://x.example.org:{got.port}/"
        )
    assert tried.is_taken
    nobody = await send(Sender(HERE), "http://127.0.0.1:1/")
    assert (nobody.is_taken, nobody.final, nobody.status) == (False, False, 0)


# --- from the ledger --------------------------------------------------------------------------------------------------


@dataclass
class Told:
    database: Database
    sealer: Sealer
    secret: str

    async def end(self, url: str) -> str:
        """Have a job end that is told to ``url``."""
        now = SystemClock().now()

        def write(session: Session) -> str:
            asked = Submission(model="faces", version="1", body=b"{}", callback_url=url)
            job = service.submit(session, ADA, asked, now).job
            service.cancel(session, ADA, job, now)
            return job.id

        return await self.database.write(write)

    @contextlib.asynccontextmanager
    async def driven(self) -> AsyncIterator[Callbacks]:
        driver = Callbacks(self.database, SystemClock(), self.sealer, Sender(HERE))
        task = asyncio.create_task(driver.run())
        try:
            yield driver
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, holds: Callable[[Delivery], bool]) -> Delivery:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for one in await self.database.read(lambda session: list(session.query(Delivery))):
                    if holds(one):
                        return one
                await asyncio.sleep(0.01)


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.db'}") as database:
        sealer = Sealer(b"k" * 32)
        now = SystemClock().now()
        secret = await database.write(lambda session: callbacks.new_secret(session, ADA, now, sealer))
        yield Told(database, sealer, secret)


async def test_the_end_of_a_job_is_told_once_and_signed(told: Told) -> None:
    async with receiver() as got, told.driven() as driver:
        await told.end(f"http://127.0.0.1:{got.port}/jobs")
        driver.nudge()
        delivery = await told.until(lambda one: one.status is DeliveryStatus.DELIVERED)
    async with told.driven():
        await asyncio.sleep(0)
        await told.database.read(lambda session: None)
    (head,), (body,) = got.heads, got.bodies
    assert head["webhook-id"] == delivery.id
    assert body == delivery.body
    signature = signing.sign(told.secret, delivery.id, int(head["webhook-timestamp"]), body)
    assert head["webhook-signature"] == signature
    assert delivery.attempts == 1


async def test_links_are_told_whole_and_signed_as_they_are_told(told: Told) -> None:
    driver = Callbacks(told.database, SystemClock(), told.sealer, Sender(HERE), "https://ai.example.org")
    async with receiver() as got:
        job = await told.end(f"http://127.0.0.1:{got.port}/jobs")
        await look(driver)
    (head,), (body,) = got.heads, got.bodies
    assert json.loads(body)["data"]["links"]["result"] == f"https://ai.example.org/api/v1/jobs/{job}/result"
    signature = signing.sign(told.secret, head["webhook-id"], int(head["webhook-timestamp"]), body)
    assert head["webhook-signature"] == signature


async def test_what_was_not_told_when_control_ended_is_told_afterwards_under_the_same_id(told: Told) -> None:
    async with receiver(b"") as got:
        async with told.driven() as driver:
            await told.end(f"http://127.0.0.1:{got.port}/jobs")
            driver.nudge()
            failed = await told.until(lambda one: one.attempts == 1)
        assert failed.status is DeliveryStatus.WAITING
        got.answer, now = Receiver.answer, SystemClock().now()

        def due_now(session: Session) -> None:
            session.get_one(Delivery, failed.id).due_at = now

        await told.database.write(due_now)
        async with told.driven():
            await told.until(lambda one: one.status is DeliveryStatus.DELIVERED)
    assert [head["webhook-id"] for head in got.heads] == [failed.id] * 2
    assert len(set(got.bodies)) == 1


async def test_a_receiver_that_hangs_keeps_no_other_waiting(told: Told) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, receiver() as got:
        for _ in range(50):
            await told.end(f"http://127.0.0.1:{port}/")
        await told.end(f"http://2130706433:{got.port}/")  # another host by its name
        async with told.driven():
            await told.until(lambda one: one.status is DeliveryStatus.DELIVERED)
        waiting = await told.database.read(lambda s: [one.status for one in s.query(Delivery) if not one.attempts])
        server.close()
    assert len(waiting) == 50


async def look(driver: Callbacks) -> float:
    """Have the ledger looked at once, what is due sent, and return how long the next is waited for."""
    async with asyncio.TaskGroup() as group:
        await driver._look(group)
    async with asyncio.TaskGroup() as group:
        return await driver._look(group)


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
async def test_a_clock_that_is_set_neither_delays_nor_hastens_what_is_tried_again(told: Told, by_s: float) -> None:
    clock = ManualClock(SystemClock().now())
    driver = Callbacks(told.database, clock, told.sealer, Sender(HERE))
    async with receiver(b"") as got:
        url = f"http://127.0.0.1:{got.port}/jobs"
        await told.end(url)
        await look(driver)
        assert got.connections == 1
        await clock.advance(10)
        wait_s = await look(driver)
        assert got.connections == 2
        assert 225 <= wait_s <= 375, "the second pause"
        clock.set_by(by_s)
        assert await look(driver) == pytest.approx(wait_s, abs=0.01)
        assert got.connections == 2, "it is not hastened"
        await clock.advance(wait_s + 0.1)
        await look(driver)
        assert got.connections == 3, "it is not delayed"


async def test_what_was_never_tried_is_sent_at_once_where_the_clock_was_set_back(told: Told) -> None:
    clock = ManualClock(SystemClock().now() - timedelta(hours=1))
    driver = Callbacks(told.database, clock, told.sealer, Sender(HERE))
    async with receiver() as got:
        await told.end(f"http://127.0.0.1:{got.port}/jobs")
        await look(driver)
    assert got.connections == 1
