"""The app: what a file of handlers is written against."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import msgspec

from fairlead import ticks
from fairlead.clock import Clock, SystemClock, from_text
from fairlead.errors import Invalid, NotFound
from fairlead.sdk import cause
from fairlead.sdk.bindings import Bindings
from fairlead.sdk.calls import decode_answer, encode_call
from fairlead.sdk.channel import Channel
from fairlead.sdk.devices import Device, Devices, Properties, Property, Reading
from fairlead.sdk.events import pieces_as_they_come
from fairlead.sdk.files import File
from fairlead.sdk.runjob import RunJob, parse_job
from fairlead.sdk.state import Files, State
from fairlead.sdk.wire import Attached, MailBody, Welcome

__all__ = ["App", "Files", "Params", "Run", "RunModel", "State"]

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)
Source = Device | Devices | Property | Properties
Attachable = File | Path | Reading | bytes
_MODEL_TIMEOUT_S = 300.0


class Run(msgspec.Struct, frozen=True):
    """This run of the app."""

    id: str
    place: str
    starts: datetime
    ends: datetime | None
    """None: until it is stopped."""
    user: str
    zone: str = "UTC"
    """Time zone of the place (IANA name)."""


class Params(Mapping[str, Any]):
    """The parameters of the schedule: ``app.params.comfort_c`` or ``app.params["comfort_c"]``."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __getitem__(self, name: str) -> Any:
        return self._channel.welcome.params[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channel.welcome.params)

    def __len__(self) -> int:
        return len(self._channel.welcome.params)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self:
            raise AttributeError(f"no param {name}; there are {', '.join(sorted(self)) or 'none'}")
        return self[name]


class RunModel:
    """The model of a role."""

    def __init__(self, channel: Channel, role: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._role = role
        self._monotonic = monotonic

    async def predict(self, *args: Any, **fields: Any) -> Any:
        """Return the model's answer; raises :class:`Error`. One row or file, or the fields of a row by name."""
        body, content_type = encode_call(args, fields)
        return self._noted(await self._sent(body, content_type))

    async def stream(self, *args: Any, **fields: Any) -> AsyncIterator[Any]:
        """Yield the pieces of the answer as they come; of a model that answers at once, its answer.

        Raises :class:`Error`, also in the middle. Stop reading to have the call canceled.
        """
        body, content_type = encode_call(args, fields)
        headers = {"content-type": content_type, "accept": "text/event-stream, */*;q=0.9"}
        path, count = f"/models/{self._role}/predict", 0
        async with self._channel.opened(
            "POST", path, content=body, headers=headers, silence_s=_MODEL_TIMEOUT_S
        ) as response:
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                await response.aread()
                yield self._noted(response)
                return
            async for piece in pieces_as_they_come(response.aiter_raw()):
                count += 1
                yield piece
        cause.add(f"prediction {self._by(response)}: {count} pieces")

    async def submit(self, *args: Any, **fields: Any) -> RunJob:
        """Return the job that this call became; it is kept and will be done. Raises :class:`Error`."""
        body, content_type = encode_call(args, fields)
        response = await self._channel.call(
            "POST", f"/models/{self._role}/jobs", content=body, headers={"content-type": content_type}
        )
        return RunJob(self._channel, parse_job(response.content), self._monotonic)

    async def _sent(self, body: bytes, content_type: str) -> httpx.Response:
        return await self._channel.call(
            "POST",
            f"/models/{self._role}/predict",
            content=body,
            headers={"content-type": content_type, "accept": "*/*"},
            timeout_s=_MODEL_TIMEOUT_S,
        )

    def _noted(self, response: httpx.Response) -> Any:
        """Return the answer, noted as a reason of what is done next."""
        answer = decode_answer(response.content, response.headers.get("content-type", ""))
        cause.add(f"prediction {self._by(response)}: {cause.short(answer)}")
        return answer

    def _by(self, response: httpx.Response) -> str:
        """Return who answered, and the request's id."""
        version = response.headers.get("x-fairlead-version", "")
        request = response.headers.get("x-request-id", "")
        return " ".join(filter(None, (f"{self._role}@{version}" if version else self._role, request)))


@dataclass(frozen=True)
class Reaction:
    """A handler and the readings it is for."""

    function: Handler
    role: str
    property: str | None
    device: str | None
    every: bool


@dataclass
class Registered:
    """What the decorators of an app collected, for the program that runs it."""

    reactions: list[Reaction] = field(default_factory=list)
    periodic: list[tuple[float, Handler]] = field(default_factory=list)
    timed: list[tuple[str, Handler]] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    """Roles of devices that were asked for."""
    models: set[str] = field(default_factory=set)
    starters: list[Handler] = field(default_factory=list)
    stoppers: list[Handler] = field(default_factory=list)


class App:
    """An app: handlers of readings and times, devices and models by role, and maybe a page (``web``, ASGI)."""

    def __init__(self, web: Callable[..., Awaitable[None]] | None = None) -> None:
        self.web = web
        self.channel = Channel()
        self.clock: Clock = SystemClock()
        """The time (``now()``, in UTC) for handlers: on a stage it is the stage's."""
        self.log: logging.Logger = logging.getLogger("fairlead.app")
        self.params = Params(self.channel)
        self.bindings = Bindings(self.channel)
        self.state = State(self.channel)
        self.files = Files(self.channel)
        self.registered = Registered()

    @property
    def run(self) -> Run:
        """This run; raises :class:`Error` in a program that is no run."""
        welcome = self.channel.welcome
        ends = from_text(welcome.ends) if welcome.ends else None
        return Run(welcome.run, welcome.place, from_text(welcome.starts), ends, welcome.user, welcome.zone)

    def device(self, role: str) -> Device:
        """Return the device of a role of count 1."""
        self.registered.devices.add(role)
        return Device(self.channel, role)

    def devices(self, role: str) -> Devices:
        """Return the devices of a role of any count; maybe none."""
        self.registered.devices.add(role)
        return Devices(self.channel, role)

    def model(self, role: str) -> RunModel:
        """Return the model of a role."""
        self.registered.models.add(role)
        return RunModel(self.channel, role, lambda: self.clock.monotonic())  # on a stage it is another clock

    def on(self, source: Source, every: bool = False) -> Callable[[H], H]:
        """Have the function called with each :class:`Reading` of ``source``, one at a time for each device.

        A newer reading replaces one that waits, and one that comes late, measured before the last, is left out; with
        ``every`` all are kept, up to a bound.
        """
        role, name, device = _parts(source)

        def register(function: H) -> H:
            self.registered.reactions.append(Reaction(function, role, name, device, every))
            return function

        return register

    def every(self, seconds: float) -> Callable[[H], H]:
        """Have the function called every ``seconds``; a call that takes longer skips the ones it missed."""
        if not seconds > 0:
            raise Invalid(f"every {seconds} s is never", code="invalid_input", hint="give seconds above 0")

        def register(function: H) -> H:
            self.registered.periodic.append((float(seconds), function))
            return function

        return register

    def at(self, expression: str) -> Callable[[H], H]:
        """Have the function called at the times of a cron expression, in the zone of the place.

        Where clocks are set it means what it means in a schedule: see :mod:`fairlead.ticks`.
        """
        if wrong := ticks.problem(expression):
            hint = 'for example "0 8 * * mon-fri"'
            raise Invalid(f"{expression[:80]!r}: {wrong}", code="cron_invalid", hint=hint)

        def register(function: H) -> H:
            self.registered.timed.append((expression, function))
            return function

        return register

    def start(self, function: H) -> H:
        """Have the function called before the first reading; if it raises, the run fails to start."""
        self.registered.starters.append(function)
        return function

    def stop(self, function: H) -> H:
        """Have the function called at the end of the run, within ten seconds."""
        self.registered.stoppers.append(function)
        return function

    async def mail(
        self, subject: str, text: str, *, to: str | Iterable[str] = (), attach: Iterable[Attachable] = ()
    ) -> None:
        """Send a mail, by default to whom the schedule notifies. Raises :class:`Error`."""
        attached = tuple(_attached(item, number) for number, item in enumerate(attach, 1))
        body = MailBody(subject, text, (to,) if isinstance(to, str) else tuple(to), attached)
        await self.channel.call("POST", "/mail", content=msgspec.json.encode(body))


def zone_of(welcome: Welcome) -> ZoneInfo:
    """Return the zone of the run's place; UTC where this machine does not know it."""
    try:
        return ZoneInfo(welcome.zone)
    except (ZoneInfoNotFoundError, ValueError):
        logging.getLogger("fairlead.app").warning("zone %s is not known here; using UTC", welcome.zone)
        return ZoneInfo("UTC")


def check(registered: Registered, welcome: Welcome) -> None:
    """Raise :class:`Error` when the app asks for a role, or a handler for a property, that this run does not have."""
    for table, asked, there in (
        ("devices", registered.devices, welcome.bindings.keys()),
        ("models", registered.models, welcome.models.keys()),
    ):
        for role in sorted(asked - there):
            raise NotFound(
                f"the app asks for role {role}, which [{table}] of its fairlead.toml does not name",
                code="role_unknown",
                hint=f"roles: {', '.join(sorted(there)) or 'none'}",
            )
    for reaction in registered.reactions:
        binding = welcome.bindings[reaction.role]
        if reaction.property and not binding.has(reaction.property):
            raise NotFound(
                f"{name_of(reaction.function)} waits for {reaction.role}.{reaction.property}; {binding.type} has none",
                code="property_unknown",
                hint=f"it has {binding.names}",
            )


def name_of(function: Handler) -> str:
    """Return the function's name as logs write it."""
    return getattr(function, "__qualname__", repr(function))


def _parts(source: Source) -> tuple[str, str | None, str | None]:
    """Return role, property and device that ``source`` stands for; None: all."""
    if isinstance(source, Property):
        return source.role, source.name, source._device
    if isinstance(source, Properties):
        return source.role, source.name, None
    if isinstance(source, Device):
        return source._role, None, source._device
    if isinstance(source, Devices):
        return source._role, None, None
    raise Invalid(
        f"@on needs a device or a property, not {type(source).__name__}",
        code="invalid_input",
        hint='for example @app.on(app.device("sensor").temperature)',
    )


def _attached(item: Attachable, number: int) -> Attached:
    if isinstance(item, Reading):
        item = item.value if isinstance(item.value, File) else File(str(item.value).encode(), media_type="text/plain")
    if isinstance(item, Path | bytes):
        item = File(item)
    if not isinstance(item, File):
        raise Invalid(f"{type(item).__name__} cannot be attached", code="invalid_input", hint="attach files or bytes")
    return Attached(item.name or f"file-{number}", item.read(), item.media_type)
