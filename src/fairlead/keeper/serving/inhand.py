"""What the keeper has of jobs: orders that wait in line, and attempts that are in hand. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fairlead import messages
from fairlead.keeper.serving.version import Key


@dataclass(slots=True)
class InHand:
    """One attempt."""

    order: messages.JobOrder
    key: Key
    replica: str
    ends_by: float
    """The keeper ends it then (monotonic)."""
    is_begun: bool = False
    """It was given to its replica, here or by an earlier keeper."""
    has_ended: bool = False
    """It stays in hand until control knows how."""
    is_unknown: bool = False
    """Nobody here gave it to its replica."""


@dataclass(slots=True)
class Waiting:
    """The orders of one version that wait."""

    orders: deque[messages.JobOrder] = field(default_factory=deque)

    def stand(self, order: messages.JobOrder) -> None:
        """Put an order in line: those of ``batch`` behind all others."""
        at = len(self.orders)
        if order.priority != "batch":
            while at and self.orders[at - 1].priority == "batch":
                at -= 1
        self.orders.insert(at, order)

    def leave(self, job: str) -> None:
        """Take a job out of the line."""
        self.orders = deque(order for order in self.orders if order.job != job)
