"""Which name somebody may have meant, of models, apps and what else they may see."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, may_see
from fairlead.apps import versions as apps
from fairlead.bundles.reading import closest
from fairlead.store.records import Model

AMONG = 1000
"""So many models are searched."""


def hint(session: Session, caller: Caller, name: str, hint: str, more: Iterable[str] = ()) -> str:
    """Return ``hint`` after ``did you mean …?``, where a model or app that ``caller`` may see, or one of ``more``, is
    called nearly as ``name``; what follows an ``@`` stays."""
    known = select(Model.name, Model.owner, Model.visibility).where(Model.removed_at.is_(None)).limit(AMONG)
    names = [one.name for one in session.execute(known) if may_see(caller, one.owner, one.visibility)]
    names += (app.name for app in apps.list_apps(session, caller)[:AMONG])
    meant, at, ref = name[:80].partition("@")
    near = closest(meant, [*names, *more])
    return f"{near.removesuffix('?')}{at}{ref}? {hint}" if near else hint
