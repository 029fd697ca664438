"""What control wants of this machine: kept on its disk first, then carried out, one state after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fairlead.bus.port import Bus
from fairlead.errors import Unavailable
from fairlead.keeper.memory import Memory
from fairlead.keeper.serving.targets import Targets
from fairlead.messages import NodeWanted, WantedAsk, decode

ASK_S = 1.0
"""Longest wait for control's answer at the start."""


class Wanting:
    """The newest state that was heard of. ``carry_out`` has all parts follow it; then ``after`` is called."""

    def __init__(
        self,
        memory: Memory,
        node: str,
        carry_out: Callable[[NodeWanted], Awaitable[None]],
        after: Callable[[], None],
    ) -> None:
        self._memory, self._node, self._carry_out, self._after = memory, node, carry_out, after
        self.now = memory.load(node)
        self.targets = Targets(self.now.routes, self.now.versions)
        """Of the state ``now``."""
        self._taking = asyncio.Lock()
        self._due = asyncio.Event()

    async def begin(self) -> None:
        """Carry out what was wanted when the keeper before this one ended."""
        await self._take(self.now)

    async def ask(self, bus: Bus) -> None:
        """Ask control once what is wanted: what it published while this keeper was away was not heard."""
        try:
            answer = await bus.request(WantedAsk(node=self._node), timeout_s=ASK_S)
        except Unavailable:
            return  # control publishes on every report of an older generation
        if answer.ok and answer.value != b"null":
            await self.hear(decode(answer.value, NodeWanted))

    async def hear(self, wanted: NodeWanted) -> None:
        """Take ``wanted``, unless a newer one was heard of."""
        async with self._taking:  # the answer to our question and a message of control may come at once
            if wanted.generation > self.now.generation:
                await asyncio.to_thread(self._memory.keep, wanted)
                await self._take(wanted)

    def again(self) -> None:
        """Have ``now`` carried out once more: what was not ready for it may be."""
        self._due.set()

    async def run(self) -> None:
        """Carry out again what is due until canceled."""
        while True:
            await self._due.wait()
            async with self._taking:
                await self._converge()

    async def _take(self, wanted: NodeWanted) -> None:
        self.now, self.targets = wanted, Targets(wanted.routes, wanted.versions)
        try:
            await self._converge()
        finally:
            self._after()

    async def _converge(self) -> None:
        """Where a part fails (a full disk) all is done again in a while: control thinks it done, and says it once."""
        self._due.clear()
        try:
            await self._carry_out(self.now)
        except Exception:
            self._due.set()
            raise
