"""Device types, locations, devices, what they said and what they were told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.status import CommandStatus, DeviceStatus
from fairlead.store.records.base import WORDS, Base, JsonOf, Moment, status_of

VALUES: JsonOf[dict[str, Any]] = JsonOf(dict[str, Any])
BIG_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys up by itself


class DeviceType(Base, kw_only=True):
    """A version of a device type; immutable."""

    __tablename__ = "device_types"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[str] = mapped_column(Text, primary_key=True)
    major: Mapped[int]
    """First number of the version: what roles and devices name."""
    title: Mapped[str] = mapped_column(Text, default="")
    source: Mapped[str] = mapped_column(Text)
    """The TOML as it was registered."""
    definition: Mapped[str] = mapped_column(Text)
    """The same, checked, as JSON."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    deprecated: Mapped[str | None] = mapped_column(Text, default=None)
    """Why no device shall get it any more; empty: nobody said why. None: it is not deprecated."""


class Location(Base, kw_only=True):
    """A place: up to six names joined by ``/``."""

    __tablename__ = "locations"

    path: Mapped[str] = mapped_column(Text, primary_key=True)
    zone: Mapped[str] = mapped_column(Text)
    """IANA time zone."""
    title: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(Moment)


class Simulation(Base, kw_only=True):
    """A place whose devices have a simulated body; which have one stands in :attr:`Device.simulated`."""

    __tablename__ = "simulations"

    at: Mapped[str] = mapped_column(ForeignKey("locations.path"), primary_key=True)
    speed: Mapped[float]
    """Seconds of its rooms in a second."""
    faults: Mapped[dict[str, str]] = mapped_column(JsonOf(dict[str, str]), default_factory=dict)
    """Device to its fault."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    media: Mapped[dict[str, tuple[str, ...]]] = mapped_column(JsonOf(dict[str, tuple[str, ...]]), default_factory=dict)
    """Device to the keys of what it shows or plays."""


class Device(Base, kw_only=True):
    """A registered device."""

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    type_version: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(ForeignKey("locations.path"), index=True)
    """Path of its location."""
    title: Mapped[str] = mapped_column(Text, default="")
    password_hash: Mapped[str] = mapped_column(Text)
    """Hex SHA-256 of ``device:password``, see ``messages.DeviceAccess``."""
    status: Mapped[DeviceStatus] = mapped_column(status_of(DeviceStatus), default=DeviceStatus.PROVISIONED)
    reason: Mapped[str] = mapped_column(Text, default="")
    last_seen_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    online_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """Since when it is connected or speaks."""
    simulated: Mapped[bool] = mapped_column(default=False)
    """The platform gives it a body; its own password does not count meanwhile."""
    description: Mapped[dict[str, Any] | None] = mapped_column(VALUES, default=None)
    """What it says of itself in ``dev/<id>/desc``."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)

    __table_args__ = (ForeignKeyConstraint(["type", "type_version"], ["device_types.name", "device_types.version"]),)


class LastValue(Base, kw_only=True):
    """The newest reading of a property."""

    __tablename__ = "last_values"

    device: Mapped[str] = mapped_column(ForeignKey("devices.id"), primary_key=True)
    property: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    """JSON; ``null`` for media."""
    media_key: Mapped[str] = mapped_column(Text, default="")
    content_type: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(Moment)


class Reading(Base, kw_only=True):
    """History of a property's values."""

    __tablename__ = "readings"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, autoincrement=True, default=None)
    device: Mapped[str] = mapped_column(Text)
    property: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Moment)
    value: Mapped[str] = mapped_column(Text)
    """JSON; for media its key in the bucket, as a JSON string."""

    __table_args__ = (Index("readings_device_property_at", "device", "property", "at"),)


class ReadingHour(Base, kw_only=True):
    """What the readings of an hour came to that were removed; those that are still there are not in it."""

    __tablename__ = "reading_hours"

    device: Mapped[str] = mapped_column(Text, primary_key=True)
    property: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment, primary_key=True)
    """When the hour began."""
    count: Mapped[int] = mapped_column(BigInteger)
    first: Mapped[str] = mapped_column(Text)
    """JSON, as ``last``."""
    first_at: Mapped[datetime] = mapped_column(Moment)
    last: Mapped[str] = mapped_column(Text)
    last_at: Mapped[datetime] = mapped_column(Moment)
    low: Mapped[float | None] = mapped_column(default=None)
    """None, as ``high`` and ``total``: not all were numbers."""
    high: Mapped[float | None] = mapped_column(default=None)
    total: Mapped[float | None] = mapped_column(default=None)
    counts: Mapped[dict[str, int] | None] = mapped_column(JsonOf(dict[str, int]), default=None)
    """How often each value was there, by its JSON; None: numbers, or too many different ones."""

    __table_args__ = (Index("reading_hours_at", "at"),)


class Command(Base, kw_only=True):
    """A command to a device; its history is in the journal, kind ``command``."""

    __tablename__ = "commands"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    set: Mapped[dict[str, Any]] = mapped_column(VALUES, default_factory=dict)
    """Property to value."""
    get: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    """Properties of which fresh values are asked for."""
    tier: Mapped[str] = mapped_column(Text)
    """safety, human, app or default."""
    run: Mapped[str | None] = mapped_column(Text, default=None)
    user: Mapped[str] = mapped_column(Text, default="")
    because: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    status: Mapped[CommandStatus] = mapped_column(status_of(CommandStatus), default=CommandStatus.ACCEPTED)
    reason: Mapped[str] = mapped_column(Text, default="")
    hold_until: Mapped[datetime | None] = mapped_column(Moment, default=None)
    due_at: Mapped[datetime] = mapped_column(Moment)
    """When it fails unless the device answered."""
    timeout_s: Mapped[float] = mapped_column(default=5)
    """How long the device has to answer once it was sent."""
    epoch: Mapped[int] = mapped_column(default=0)
    """How often it was sent."""
    resend_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When it is sent again unless the device answered."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    sent_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    finished_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    origin: Mapped[str | None] = mapped_column(Text, default=None)
    """The command whose claim this one tells the device again; it has that claim now."""
    key: Mapped[str | None] = mapped_column(Text, default=None)
    """Idempotency key that its user gave."""
    key_digest: Mapped[str | None] = mapped_column(Text, default=None)
    """Hex SHA-256 of what was asked with it: the same key with something else is refused."""

    __table_args__ = (
        Index("commands_user_key", "user", "key", unique=True),
        Index("commands_device_created_at", "device", "created_at"),
        Index("commands_run_created_at", "run", "created_at"),
        *(
            Index(name, column, sqlite_where=text(where), postgresql_where=text(where))
            for name, column, where in (
                ("commands_open", "due_at", "finished_at IS NULL"),
                ("commands_device_open", "device", "finished_at IS NULL"),
                ("commands_finished_at", "finished_at", "finished_at IS NOT NULL"),
                ("commands_origin", "origin", "origin IS NOT NULL"),
            )
        ),
    )


class Hold(Base, kw_only=True):
    """A claim on a property: the highest tier holds, within one the latest; others come back on release."""

    __tablename__ = "holds"

    command: Mapped[str] = mapped_column(ForeignKey("commands.id"), primary_key=True)
    property: Mapped[str] = mapped_column(Text, primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    value: Mapped[str] = mapped_column(Text)
    """JSON."""
    tier: Mapped[str] = mapped_column(Text)
    run: Mapped[str | None] = mapped_column(Text, default=None, index=True)
    user: Mapped[str] = mapped_column(Text, default="")
    since: Mapped[datetime] = mapped_column(Moment)
    until: Mapped[datetime | None] = mapped_column(Moment, default=None, index=True)

    __table_args__ = (Index("holds_device_property", "device", "property"),)
