"""Identifiers: prefixed, lower-case ULIDs, and the grammar of names.

A ULID is 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32 (26 characters), so ids sort by time.
Source: https://github.com/ulid/spec.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_AHEAD = 256
_ahead: deque[bytes] = deque()
os.register_at_fork(after_in_child=_ahead.clear)  # else parent and child would give the same ids
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""Models, apps, types, devices, schedules, users."""
ALIAS = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[0-9][A-Za-z0-9._+-]{0,62}")
TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
WORD = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Roles, params, properties."""
_LOCATION_DEPTH = 6
MAIL_ADDRESS_MAX = 254
"""Characters (RFC 5321 §4.5.3.1.3, less the angle brackets)."""


def ulid(now_ms: int | None = None) -> str:
    """Return a new lower-case ULID of 26 characters."""
    value = (now_ms if now_ms is not None else time.time_ns() // 1_000_000) << 80 | _random()
    pairs = _PAIRS
    return "".join([pairs[value >> shift & 1023] for shift in range(120, -1, -10)])


def made_at(ulid: str) -> datetime:
    """Return when ``ulid`` was made; raises :class:`ValueError` for what is none."""
    milliseconds = 0
    for letter in ulid[:10]:
        milliseconds = milliseconds * 32 + _ALPHABET.index(letter)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _random() -> int:
    """Return 80 random bits. They are asked for in advance: each look at the system has threads change places."""
    try:
        return int.from_bytes(_ahead.popleft())
    except IndexError:
        many = os.urandom(10 * _AHEAD)
        _ahead.extend(many[at : at + 10] for at in range(0, len(many), 10))
        return int.from_bytes(os.urandom(10))


def new(prefix: str) -> str:
    """Return a new id such as ``job-01k9…``; prefixes: job run sch cmd req rep bun ver tok."""
    return f"{prefix}-{ulid()}"


def is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def is_alias(text: str) -> bool:
    return ALIAS.fullmatch(text) is not None


def is_version(text: str) -> bool:
    return VERSION.fullmatch(text) is not None


def is_word(text: str) -> bool:
    return WORD.fullmatch(text) is not None


def is_trace(text: str) -> bool:
    """Whether ``text`` is a W3C ``traceparent`` of version 00."""
    return TRACE.fullmatch(text) is not None


def trace_id(traceparent: str) -> str:
    """Return the trace that a ``traceparent`` belongs to, nothing where it is none."""
    return traceparent.split("-")[1] if is_trace(traceparent) else ""


def is_location(text: str) -> bool:
    """Whether ``text`` is one to six names joined by ``/``."""
    parts = text.split("/")
    return len(parts) <= _LOCATION_DEPTH and all(map(is_name, parts))


def is_mail_address(text: str) -> bool:
    """Whether ``text`` could be a mail address; only the server knows whether it is one."""
    local, _, host = text.rpartition("@")
    plain = all(32 < ord(character) != 127 and character not in ',;<>"()[]\\' for character in text)
    return bool(local) and bool(host) and plain and "@" not in local and len(text) <= MAIL_ADDRESS_MAX
