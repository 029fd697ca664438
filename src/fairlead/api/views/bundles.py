"""What a push answers."""

from __future__ import annotations

from fairlead.api.views.base import View


class PushView(View):
    kind: str
    name: str
    version: str
    digest: str
    status: str
    url: str | None
    """Where it is called; null for apps, which answer where their runs are."""
    warnings: list[str]


class MissingView(View):
    path: str
    """One of the paths that have this content."""
    sha256: str
    size: int
    offset: int
    """So many bytes of it are here."""
    url: str
    """Where it is sent, by ``PATCH``."""


class PlanView(View):
    digest: str
    """Of the bundle."""
    total_bytes: int
    missing_bytes: int
    chunk_bytes: int
    """What to send at once at most."""
    missing: list[MissingView]
