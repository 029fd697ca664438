"""What the platform writes about runs: pure."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec


class Letter(msgspec.Struct, frozen=True):
    """To be put into the outbox in the same transaction."""

    to: tuple[str, ...]
    subject: str
    text: str
    run: str | None = None


class About(msgspec.Struct, frozen=True):
    """The run that a letter is about."""

    run: str
    app: str
    place: str
    zone: str
    ends: datetime | None
    to: tuple[str, ...]
    address: str | None = None


def up(about: About) -> Letter:
    """Return the letter that says that a run is ready, and where."""
    until = (
        f"until {about.ends.astimezone(ZoneInfo(about.zone)):%Y-%m-%d %H:%M %Z}"
        if about.ends
        else "until it is stopped"
    )
    lines = [f"{about.app} is running at {about.place} {until}."]
    if about.address:
        lines.append(f"Its page: {about.address}")
    lines.append(f"Run: {about.run}")
    return Letter(about.to, f"{about.app} is running at {about.place}", "\n\n".join(lines) + "\n", about.run)


def failed(about: About, reason: str, last_lines: tuple[str, ...]) -> Letter:
    """Return the letter that says that a run failed, and why."""
    lines = [f"{about.app} at {about.place} failed: {reason}"]
    if last_lines:
        lines.append("\n".join(last_lines[-10:]))
    lines.append(f"Run: {about.run}")
    return Letter(about.to, f"{about.app} at {about.place} failed", "\n\n".join(lines) + "\n", about.run)
