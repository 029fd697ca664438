"""Which subject carries which message, and who may use it. The only place with subject strings.

A device's MQTT topic ``dev/t1/state/temperature`` is the subject ``dev.t1.state.temperature``
(https://docs.nats.io/running-a-nats-service/configuration/mqtt: a slash is a dot, a dot two slashes; our topics have
no dot).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from fairlead import ids
from fairlead.errors import Invalid
from fairlead.messages import (
    JobMoved,
    JobOrder,
    JobPartial,
    JobStop,
    Measured,
    Message,
    NodeReport,
    NodeWanted,
    Rest,
    Wake,
)

CALLOUT = "$SYS.REQ.USER.AUTH"
"""Where nats-server asks who may sign in."""
CONNECTIONS = "$SYS.REQ.SERVER.PING.CONNZ"
"""Where nats-server tells its connections, to the system account."""

RETAINED = "$JS.API.STREAM.MSG.GET.$MQTT_rmsgs"
"""Where nats-server is asked for what it keeps as MQTT's retained messages."""
RETAINED_STATE = "$JS.API.STREAM.INFO.$MQTT_rmsgs"
RETAINED_PURGE = "$JS.API.STREAM.PURGE.$MQTT_rmsgs"

_PATTERNS: Mapping[type[Message], str] = {
    NodeWanted: "fl.node.{node}.wanted",
    JobOrder: "fl.node.{node}.job",
    JobStop: "fl.node.{node}.stop",
    Wake: "fl.node.{node}.wake",
    Rest: "fl.node.{node}.rest",
    NodeReport: "fl.report.{node}",
    JobMoved: "fl.moved",
    JobPartial: "fl.partial",
    Measured: "fl.measured.{device}",
}
"""All other classes are asked of control: ``fl.ask.<class>``."""
_TAIL = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")
_DEVICE_HEARS = ("cmd", "error")


class Permissions(msgspec.Struct, frozen=True):
    """Subjects that a user may publish to and subscribe to; all others are refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    publish_not: tuple[str, ...] = ()
    """Refused of what ``publish`` allows."""


def of(message: Message, node: str | None = None) -> str:
    """Return the subject that ``message`` is sent on; raises :class:`Invalid` where it needs a node."""
    return _of(type(message), node or getattr(message, "node", None), getattr(message, "device", None))


@lru_cache(maxsize=16_384)
def _of(kind: type[Message], node: str | None, device: str | None) -> str:
    return _fill(_pattern(kind), node=_token(node, "node"), device=_token(device, "device"))


def every(kind: type[Message], *, node: str | None = None, device: str | None = None) -> str:
    """Return the subject to subscribe to for messages of ``kind``, of one node or device or of all."""
    return _fill(_pattern(kind), node=_token_or_any(node, "node"), device=_token_or_any(device, "device"))


def device(name: str, tail: str) -> str:
    """Return the subject of ``dev/<name>/<tail>``; raises :class:`Invalid` for what is no name or tail."""
    if _TAIL.fullmatch(tail) is None:
        raise Invalid(f"{tail!r} is no topic of a device", hint="for example state/temperature")
    return f"dev.{_token(name, 'device')}.{tail.replace('/', '.')}"


def devices(name: str | None = None) -> str:
    """Return the subject of all traffic of devices (or one); one, so that its order holds."""
    return f"dev.{_token_or_any(name, 'device')}.>"


def retained(subject: str) -> str:
    """Return under which subject the retained message of ``subject``, a pattern too, is kept."""
    return f"$MQTT.rmsgs.{subject}"


def retained_status(name: str) -> str:
    """Return under which subject the retained ``status`` of a device is kept."""
    return retained(device(name, "status"))


def is_from_platform(tail: str) -> bool:
    """Whether messages with this tail are the platform's own, on their way to a device."""
    return tail in _DEVICE_HEARS


def device_and_tail(subject: str) -> tuple[str, str]:
    """Return device and tail of a device's subject."""
    _, name, tail = subject.split(".", 2)
    return name, tail.replace(".", "/")


def kick(server: str) -> str:
    """Return where the server of id ``server`` is told to close a connection."""
    return f"$SYS.REQ.SERVER.{server}.KICK"


def inbox(user: str) -> str:
    """Return the prefix of a user's own inbox: nobody else may listen there."""
    return f"_INBOX.{user}"


def control_permissions() -> Permissions:
    """What control may do: all but what keepers say."""
    return Permissions(
        publish=(
            *("fl.node.>", "fl.measured.*", "fl.queue.*", "dev.*.cmd", "dev.*.error"),
            *("_INBOX.>", "$JS.API.>", "$JS.ACK.>"),
        ),
        subscribe=("fl.report.*", "fl.moved", "fl.partial", "fl.ask.*", "dev.>", f"{inbox('control')}.>"),
    )


def keeper_permissions(node: str) -> Permissions:
    """What the keeper of ``node`` may do: report and ask as itself, hear what is meant for it and readings."""
    name = _token(node, "node")
    return Permissions(
        publish=(f"fl.report.{name}", "fl.moved", "fl.partial", "fl.ask.*"),
        subscribe=(f"fl.node.{name}.*", "fl.measured.*", f"{inbox(f'keeper-{name}')}.>"),
    )


def device_permissions(name: str) -> Permissions:
    """What a device may do: send what is its own, hear its own commands.

    What it sends to a topic of its own that is none of the contract's arrives too, so that it can be told.
    """
    hears = tuple(f"dev.{_token(name, 'device')}.{tail}" for tail in _DEVICE_HEARS)
    return Permissions(publish=(f"dev.{name}.>",), subscribe=hears, publish_not=hears)


def warden_permissions() -> Permissions:
    """What the one who closes connections of devices may do, in the system account."""
    return Permissions(publish=(CONNECTIONS, kick("*")), subscribe=(f"{inbox('warden')}.>",))


def callout_permissions() -> Permissions:
    """What those who answer nats-server's question may do, in an account of their own."""
    return Permissions(publish=("_INBOX.>", "$SYS._INBOX.>"), subscribe=(CALLOUT, f"{inbox('callout')}.>"))


def queue(name: str) -> str:
    """Return the subject of the queue called ``name``."""
    return f"fl.queue.{_token(name, 'queue')}"


def _pattern(kind: type[Message]) -> str:
    return _PATTERNS.get(kind, f"fl.ask.{kind.__name__}")


def _fill(pattern: str, *, node: str, device: str) -> str:
    subject = pattern.format(node=node, device=device)
    if ".." in subject or subject.endswith("."):
        raise Invalid(f"{pattern} needs a node or device", hint="pass node=")
    return subject


def _token(text: str | None, what: str) -> str:
    """Return ``text`` if it can be one token of a subject, ``""`` for None; raises :class:`Invalid`."""
    if text is None or ids.is_name(text):
        return text or ""
    raise Invalid(f"{text!r} is no name of a {what}", hint="lower-case letters, digits and -")


def _token_or_any(text: str | None, what: str) -> str:
    return "*" if text is None else _token(text, what)
