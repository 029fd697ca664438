"""The front door: which request goes where, as files for Envoy."""

from fairlead.gateway.door import DoorSettings, DoorState, door_settings, version_key
from fairlead.gateway.envoy import Gateway
from fairlead.gateway.routes import served_versions
from fairlead.gateway.snapshot import DoorFiles, Snapshot, snapshot
from fairlead.gateway.traffic import DURATIONS, DoorStats, VersionTraffic

__all__ = [
    "DURATIONS",
    "DoorFiles",
    "DoorSettings",
    "DoorState",
    "DoorStats",
    "Gateway",
    "Snapshot",
    "VersionTraffic",
    "door_settings",
    "served_versions",
    "snapshot",
    "version_key",
]
