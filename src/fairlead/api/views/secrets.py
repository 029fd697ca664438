"""Secrets of bundles, without their values."""

from __future__ import annotations

from fairlead.api.views.base import View, moment
from fairlead.store.records import Secret


class SecretView(View):
    bundle: str
    name: str
    set_by: str
    set_at: str | None
    warnings: list[str] = []


def secret_view(record: Secret, warning: str = "") -> SecretView:
    return SecretView(
        bundle=record.bundle,
        name=record.name,
        set_by=record.set_by,
        set_at=moment(record.set_at),
        warnings=[warning] if warning else [],
    )
