"""What nearly every loop of control needs, opened once by ``house``."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.buckets.port import Bucket
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.control.nodes import Nodes
from fairlead.control.waiters import Waiters
from fairlead.settings import Home, Settings
from fairlead.store.database import Database
from fairlead.supervisor.keylocks import KeyLocks


@dataclass(frozen=True, slots=True)
class Parts:
    """Ports and shared state; closed by whoever opened them."""

    settings: Settings
    home: Home
    clock: Clock
    database: Database
    bus: Bus
    bucket: Bucket
    nodes: Nodes
    waiters: Waiters
    keys: KeyLocks = field(default_factory=KeyLocks)
    """Of objects in the bucket that are written before their record, or removed because there is none."""
