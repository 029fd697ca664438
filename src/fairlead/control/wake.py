"""Wakes a version on request, as a call would, without calling it; and lets one sleep before its time."""

from __future__ import annotations

from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.control.nodes import Nodes
from fairlead.control.waiters import Waiters
from fairlead.errors import Unavailable
from fairlead.messages import ReplicaReport, Rest, Wake
from fairlead.status import ReplicaStatus

LOOK_S = 1.0
REPORTS = "reports"
"""Key of what is told whenever a node has reported."""


async def wake(
    bus: Bus, nodes: Nodes, waiters: Waiters, clock: Clock, model: str, version: str, timeout_s: float
) -> None:
    """Return once a replica of the version answers; raises :class:`Unavailable` with what keeps it from that."""
    node = nodes.has(model, version)
    if node is None:
        raise Unavailable(
            f"no machine has {model}@{version} now",
            code="model_not_ready",
            hint=f"fairlead why {model}@{version}",
            retry_after_s=5,
        )
    end = clock.monotonic() + timeout_s
    with waiters.ticket(REPORTS) as ticket:
        if not _answers(nodes, model, version):
            await bus.publish(Wake(model, version), node=node)
        while not _answers(nodes, model, version):
            left_s = end - clock.monotonic()
            if left_s <= 0:
                raise Unavailable(
                    f"{model}@{version} was not awake after {timeout_s:g} s",
                    code="wake_timed_out",
                    hint=f"fairlead why {model}@{version} tells what keeps it",
                    retry_after_s=5,
                )
            await ticket.wait(min(LOOK_S, left_s))


async def rest(bus: Bus, nodes: Nodes, model: str, version: str) -> None:
    """Have the machine that has the version let it sleep; a call that comes wakes it again."""
    node = nodes.has(model, version)
    if node is not None:
        await bus.publish(Rest(model, version), node=node)


def _answers(nodes: Nodes, model: str, version: str) -> bool:
    """Whether a replica is ready; raises :class:`Unavailable` where the version ends again and again."""
    replicas = [
        one for report in nodes.alive() for one in report.replicas if (one.model, one.version) == (model, version)
    ]
    if any(one.status in (ReplicaStatus.READY, ReplicaStatus.BUSY) for one in replicas):
        return True
    hopeless: ReplicaReport | None = next((one for one in replicas if one.status is ReplicaStatus.CRASH_LOOP), None)
    if hopeless is not None:
        raise Unavailable(
            f"{model}@{version} ends again and again: {hopeless.reason}",
            code="crash_loop",
            hint=f"fairlead logs {model}",
            retry_after_s=5,
        )
    return False
