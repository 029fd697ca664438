"""Where replicas run. ``port`` is the agreement, ``local`` this machine's processes, ``link`` the way to a replica."""

from fairlead.engines.launch import Launch, launch
from fairlead.engines.link import ReplicaLink
from fairlead.engines.port import Engine, Observed

__all__ = ["Engine", "Launch", "Observed", "ReplicaLink", "launch"]
