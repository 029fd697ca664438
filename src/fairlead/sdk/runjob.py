"""A job that an app submitted, followed over the run's channel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from fairlead.errors import Error, Invalid, Unavailable
from fairlead.sdk.calls import decode_answer
from fairlead.sdk.channel import Channel

_WAIT_S = 10.0
_FINAL = ("succeeded", "failed", "canceled")


class JobState(msgspec.Struct, frozen=True):
    """What the channel tells of a job."""

    id: str
    status: str = "queued"
    reason: str | None = None
    error: dict[str, Any] | None = None
    result: Any = msgspec.UNSET
    result_base64: bytes | msgspec.UnsetType = msgspec.UNSET
    """What is no JSON; may be empty."""
    result_type: str = ""

    @property
    def has_result(self) -> bool:
        return self.result is not msgspec.UNSET or self.result_base64 is not msgspec.UNSET


class RunJob:
    """A durable call; it goes on when the app ends."""

    def __init__(self, channel: Channel, state: JobState, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._state = state
        self._monotonic = monotonic

    @property
    def id(self) -> str:
        return self._state.id

    @property
    def status(self) -> str:
        """queued, running, succeeded, failed or canceled, as last heard of."""
        return self._state.status

    async def result(self, timeout_s: float | None = None) -> Any:
        """Return the result once it is there; raises :class:`Error` when the job failed or time is up."""
        deadline = None if timeout_s is None else self._monotonic() + timeout_s
        while self._state.status not in _FINAL or (self._state.status == "succeeded" and not self._state.has_result):
            left = _WAIT_S if deadline is None else deadline - self._monotonic()
            if left <= 0:
                raise Unavailable(f"{self.id} is {self.status}", code="timed_out", hint="wait longer, or ask later")
            await self._ask("GET", min(left, _WAIT_S))
        if self._state.status == "succeeded":
            if self._state.result_base64 is not msgspec.UNSET:
                return decode_answer(self._state.result_base64, self._state.result_type)
            return self._state.result
        raise _failure(self._state)

    async def cancel(self) -> None:
        """Cancel the job; fine when it ended already."""
        await self._ask("DELETE", 0)

    async def _ask(self, method: str, wait_s: float) -> None:
        response = await self._channel.call(method, f"/jobs/{self.id}", params={"wait": wait_s}, timeout_s=wait_s + 20)
        self._state = parse_job(response.content)


def parse_job(body: bytes) -> JobState:
    """Return the job that ``body`` tells of; raises :class:`Invalid`."""
    try:
        return msgspec.json.decode(body, type=JobState)
    except msgspec.DecodeError as error:
        raise Invalid(f"the answer is no job: {error}", code="bad_answer") from error


def _failure(state: JobState) -> Error:
    said = state.error or {}
    message = said.get("message") or state.reason or f"{state.id} is {state.status}"
    return Error(str(message), code=str(said.get("code") or f"job_{state.status}"), hint=str(said.get("hint") or ""))
