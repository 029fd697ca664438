"""Idempotency keys of commands: the same key and call of the same person are one command, as long as it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.errors import Invalid
from fairlead.store.records import Command

KEY_MAX = 255


def check_key(key: str) -> None:
    """Raise :class:`Invalid` (``idempotency_key_invalid``) for what is no key."""
    if not 0 < len(key) <= KEY_MAX:
        said = f"an idempotency key has 1 to {KEY_MAX} characters"
        raise Invalid(said, code="idempotency_key_invalid", hint="a UUID will do: one for each command")


def digest_of(device: str, call: Mapping[str, Any]) -> str:
    """Return what tells two calls apart: hex SHA-256 of the device and of what is asked, in whatever order."""
    return hashlib.sha256(msgspec.json.encode((device, call), order="deterministic")).hexdigest()


def known(session: Session, user: str, key: str, digest: str) -> Command | None:
    """Return the command that ``key`` of ``user`` stands for, or None.

    Raises :class:`Invalid` (``idempotency_key_reused``) where that is another call.
    """
    there = session.scalar(select(Command).where(Command.user == user, Command.key == key))
    if there is not None and there.key_digest != digest:
        raise Invalid(
            f"the idempotency key stands for {there.id}, which is another command",
            code="idempotency_key_reused",
            hint="take a new key for each different command",
        )
    return there
