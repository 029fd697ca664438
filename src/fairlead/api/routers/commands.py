"""Commands by hand: sent, let go of, looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi import Body as BodyParameter
from pydantic import Field
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Verb, check, check_owner
from fairlead.api.deps import TheHouse, Who
from fairlead.api.routers.devices import view_of
from fairlead.api.views.base import Body, Page, page
from fairlead.api.views.devices import CommandView, DeviceView, command_view
from fairlead.apps import sight
from fairlead.apps.asks import BECAUSE_MAX, BECAUSES_MAX
from fairlead.control.house import House
from fairlead.control.waiters import Ticket
from fairlead.devices import commands, holds, keyed, registry
from fairlead.devices.commands import Asked
from fairlead.devices.sending import Author, Outgoing
from fairlead.devices.types import SET_MAX
from fairlead.errors import Invalid
from fairlead.store import journal
from fairlead.store.lookup import check_limit
from fairlead.store.records import Command

router = APIRouter(tags=["devices"])
HOLD_MAX_S = 366 * 24 * 3600
TIMEOUT_MAX_S = 300
SETTLE_S = 1.0
"""A command that times out is failed by the sweep: so much longer is waited for its word on it."""
ANSWERS_S = 0.5
"""A command is looked at when something is told of it, and after so long in any case."""


Cause = Annotated[str, Field(max_length=BECAUSE_MAX)]


class CommandBody(Body):
    set: dict[str, Any] = Field(default_factory=dict, max_length=SET_MAX)
    get: list[str] = Field(default_factory=list, max_length=SET_MAX)
    hold_s: float | None = Field(default=None, gt=0, le=HOLD_MAX_S)
    timeout_s: float = Field(default=5, gt=0, le=TIMEOUT_MAX_S)
    because: Cause | Annotated[list[Cause], Field(max_length=BECAUSES_MAX)] | None = None


class ReleaseBody(Body):
    properties: list[str] = Field(default_factory=list, max_length=SET_MAX)
    of: str | None = None
    """Whose: another person's takes a configurer; unless said, the caller's."""


@router.post("/devices/{device}/commands")
async def send(
    device: str,
    body: CommandBody,
    house: TheHouse,
    who: Who,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> CommandView:
    """Command a device by hand (tier human), or ask it for fresh values; answers with what became of it. The same
    ``Idempotency-Key`` with the same body is the same command: it is not sent anew."""
    check(who, Verb.SEND_COMMANDS)
    if bool(body.set) == bool(body.get):
        raise Invalid("a command sets properties or gets them", code="command_invalid", hint='{"set": {"on": true}}')
    now = house.clock.now()
    because = (body.because,) if isinstance(body.because, str) else tuple(body.because or ())
    author = Author("human", who.name, because=because)
    until = now + timedelta(seconds=body.hold_s) if body.hold_s is not None else None
    key, digest = idempotency_key, keyed.digest_of(device, body.model_dump())
    if key is not None:
        keyed.check_key(key)

    def write(session: Session) -> Asked:
        if key is None:
            return ask(session)
        there = keyed.known(session, who.name, key, digest)
        if there is not None:
            return Asked(there)
        asked = ask(session)
        asked.command.key, asked.command.key_digest = key, digest
        return asked

    def ask(session: Session) -> Asked:
        if body.get:
            return commands.ask_fresh(session, device, body.get, now, author, timeout_s=body.timeout_s)
        return commands.ask(session, device, body.set, now, author, hold_until=until, timeout_s=body.timeout_s)

    asked = await house.database.write(write)
    with house.waiters.ticket(f"commands/{asked.command.id}") as ticket:
        await house.devices.send(asked.outgoing)
        house.devices.nudge()
        if asked.command.finished_at is None:
            await ticket.wait(min(ANSWERS_S, body.timeout_s))
        return await _outcome(house, ticket, asked.command.id, body.timeout_s + SETTLE_S)


@router.post("/devices/{device}/release")
async def release(
    device: str, house: TheHouse, who: Who, body: Annotated[ReleaseBody | None, BodyParameter()] = None
) -> DeviceView:
    """Let go of what the caller, or another person, holds: earlier claims come back, else the safe values."""
    check(who, Verb.SEND_COMMANDS)
    now = house.clock.now()
    properties = tuple(body.properties) if body else ()
    holder = (body.of if body else None) or who.name
    check_owner(who, holder, f"what {holder} holds of {device}", "release it")

    def write(session: Session) -> tuple[tuple[Outgoing, ...], DeviceView]:
        record = registry.show_device(session, device)
        out = holds.release(session, device, now, f"{who.name} released it", user=holder, properties=properties)
        session.flush()
        return out, view_of(session, record, now)

    outgoing, view = await house.database.write(write)
    await house.devices.send(outgoing)
    house.devices.nudge()
    return view


@router.get("/devices/{device}/commands")
async def list_commands(device: str, house: TheHouse, who: Who, limit: int = 50) -> Page[CommandView]:
    """Return a device's commands, newest first."""
    check(who, Verb.SEE_DEVICES)
    check_limit(limit)

    def read(session: Session) -> list[CommandView]:
        registry.show_device(session, device)
        rows = commands.list_commands(session, device, limit, seen=sight.commands(who))
        told = journal.histories(session, "command", [row.id for row in rows])
        return [command_view(row, told[row.id]) for row in rows]

    return page(await house.database.read(read))


@router.get("/commands/{command}")
async def show_command(command: str, house: TheHouse, who: Who) -> CommandView:
    check(who, Verb.SEE_DEVICES)
    return await house.database.read(lambda session: _shown(session, sight.show_command(session, who, command).id)[1])


async def _outcome(house: House, ticket: Ticket, command: str, wait_s: float) -> CommandView:
    """Return the command once it is over, or after ``wait_s``: by then the sweep has told what was not observed."""
    deadline = house.clock.monotonic() + wait_s
    while True:
        row, view = await house.database.read(lambda session: _shown(session, command))
        now = house.clock.monotonic()
        if row.finished_at is not None or now >= deadline or house.closing.is_set():
            return view
        await ticket.wait(deadline - now)


def _shown(session: Session, command: str) -> tuple[Command, CommandView]:
    row = commands.show(session, command)
    return row, command_view(row, journal.history(session, "command", row.id))
