"""Every table as a mapped dataclass, one module per group of nouns."""

from fairlead.store.records.accounts import FormerSecret, Secret, Token, User
from fairlead.store.records.base import Base, JsonOf, Moment, status_of
from fairlead.store.records.deliveries import CallbackSecret, Delivery
from fairlead.store.records.devices import (
    Command,
    Device,
    DeviceType,
    Hold,
    LastValue,
    Location,
    Reading,
    ReadingHour,
    Simulation,
)
from fairlead.store.records.facts import CardFact
from fairlead.store.records.gallery import GalleryEntry
from fairlead.store.records.jobs import Job, Progress
from fairlead.store.records.journal import Event, Node
from fairlead.store.records.mails import Mail
from fairlead.store.records.models import Alias, App, AppAlias, AppVersion, Bundle, BundleFile, Model, ModelVersion
from fairlead.store.records.objectives import SloAlert, SloMark, SloSlice, SloTarget
from fairlead.store.records.scaling import ScalingDecision
from fairlead.store.records.schedules import Dst, Run, RunState, Schedule, Window
from fairlead.store.records.usage import CallMark, StoredBundle, Usage

__all__ = [
    "Alias",
    "App",
    "AppAlias",
    "AppVersion",
    "Base",
    "Bundle",
    "BundleFile",
    "CallMark",
    "CallbackSecret",
    "CardFact",
    "Command",
    "Delivery",
    "Device",
    "DeviceType",
    "Dst",
    "Event",
    "FormerSecret",
    "GalleryEntry",
    "Hold",
    "Job",
    "JsonOf",
    "LastValue",
    "Location",
    "Mail",
    "Model",
    "ModelVersion",
    "Moment",
    "Node",
    "Progress",
    "Reading",
    "ReadingHour",
    "Run",
    "RunState",
    "ScalingDecision",
    "Schedule",
    "Secret",
    "Simulation",
    "SloAlert",
    "SloMark",
    "SloSlice",
    "SloTarget",
    "StoredBundle",
    "Token",
    "Usage",
    "User",
    "Window",
    "status_of",
]
