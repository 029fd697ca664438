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
