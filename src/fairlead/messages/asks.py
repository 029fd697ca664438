"""The bus: what runs ask control through their keeper. ``run`` is filled in by the keeper, never by the app."""

from __future__ import annotations

from typing import Any

from fairlead.messages.wire import Message, Part


class CommandAsk(Message, frozen=True):
    run: str
    role: str
    device: str
    set: dict[str, Any]
    hold_s: float | None = None
    timeout_s: float = 5
    because: tuple[str, ...] = ()
    command: str = ""
    """Id that the keeper chose: the same ask, repeated because no answer came, makes one command."""


class CommandShow(Message, frozen=True):
    """Wait up to ``wait_s`` for a command to reach a final or at least ``applied`` status."""

    run: str
    command: str
    wait_s: float = 0


class ReleaseAsk(Message, frozen=True):
    run: str
    role: str
    device: str
    properties: tuple[str, ...] = ()


class FreshAsk(Message, frozen=True):
    """Ask a device for fresh values of ``properties``."""

    run: str
    role: str
    device: str
    properties: tuple[str, ...]


class StateGet(Message, frozen=True):
    run: str
    key: str


class StatePut(Message, frozen=True):
    run: str
    key: str
    value: bytes
    if_version: int | None = None
    """Write only over this version; 0: only where there is none."""


class ReadingsAsk(Message, frozen=True):
    """Ask for the last values of devices of a run: the answer is a JSON list of ``sdk.wire.Measure``."""

    run: str
    devices: tuple[str, ...]


class Attachment(Part, frozen=True):
    """A file of a mail, put into the bucket beforehand."""

    name: str
    key: str
    content_type: str = "application/octet-stream"


class MailAsk(Message, frozen=True):
    run: str
    subject: str
    text: str
    to: tuple[str, ...] = ()
    attach: tuple[Attachment, ...] = ()


class RunJobSubmit(Message, frozen=True):
    run: str
    role: str
    body: bytes
    content_type: str
    job: str = ""
    """Chosen beforehand where its input lies in the bucket under ``input_key``, in the place of ``body``."""
    input_key: str = ""
    input_hash: str = ""
    """Hex SHA-256."""


class RunJobShow(Message, frozen=True):
    """Wait up to ``wait_s`` for the end of a job of this run: the answer is the view of the job with its
    ``result`` (JSON value, or base64 in ``result_base64``) once it succeeded, or the ``result_key`` of one that lies in
    the bucket, with its ``result_type``. ``cancel``: cancel it."""

    run: str
    job: str
    wait_s: float = 0
    cancel: bool = False
