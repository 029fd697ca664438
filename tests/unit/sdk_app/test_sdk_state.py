"""The bound of a value that an app keeps is one, in the app, in the keeper and in control."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fairlead.errors import Invalid
from fairlead.sdk.channel import Channel
from fairlead.sdk.state import State
from fairlead.sdk.wire import STATE_MAX_BYTES


class Taking(Channel):
    """A channel that takes everything."""

    async def call(self, *_: Any, **__: Any) -> httpx.Response:
        return httpx.Response(200, headers={"etag": '"1"'})


async def test_a_value_that_control_would_refuse_is_not_sent() -> None:
    state = State(Taking())

    assert await state.set("k", "x" * (STATE_MAX_BYTES - 2)) == 1
    with pytest.raises(Invalid, match=f"{STATE_MAX_BYTES + 1} bytes are more than 256000") as raised:
        await state.set("k", "x" * (STATE_MAX_BYTES - 1))
    assert raised.value.code == "state_too_large"
