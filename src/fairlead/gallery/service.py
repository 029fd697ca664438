"""Entries of the gallery: kept, found, shown to whom they are for, changed, taken down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from fairlead.accounts import quotas
from fairlead.accounts.policy import Caller, Verb, check, check_owner, may_see
from fairlead.errors import Forbidden, Invalid, NotFound
from fairlead.gallery import content
from fairlead.store.lookup import check_limit
from fairlead.store.move import note
from fairlead.store.records import GalleryEntry
from fairlead.supervisor import bounds

VISIBILITIES = ("private", "team", "public")
TITLE_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A result whose bytes lie in the bucket."""

    id: str
    source: str
    model: str
    version: str
    endpoint: str
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    made_at: datetime
    job: str | None = None
    title: str = ""
    visibility: str = "private"
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


def check_words(title: str | None, visibility: str | None) -> None:
    """Raise :class:`Invalid` for a title that is too long and for what is no visibility; None is not looked at."""
    if title is not None and len(title) > TITLE_MAX:
        said = f"the title has {len(title)} characters"
        raise Invalid(said, code="title_too_long", hint=f"{TITLE_MAX} at most")
    if visibility is not None and visibility not in VISIBILITIES:
        said = f"{visibility[:40]} is no visibility"
        raise Invalid(said, code="visibility_unknown", hint="private, team or public")


def known(session: Session, caller: Caller, source: str) -> GalleryEntry | None:
    """Return what the caller has kept of ``source`` already."""
    query = select(GalleryEntry).where(GalleryEntry.created_by == caller.name, GalleryEntry.source == source)
    return session.scalar(query)


def check_room(session: Session, caller: Caller, size_bytes: int, defaults: quotas.Defaults) -> None:
    """Raise :class:`Invalid` (``storage_exceeded``) unless the caller has room for so many bytes more."""
    quotas.check_room(session, caller.name, "the result", size_bytes, defaults, "fairlead gallery rm ID")


def keep(
    session: Session, caller: Caller, kept: Kept, defaults: quotas.Defaults, now: datetime
) -> tuple[GalleryEntry, bool]:
    """Return the entry and whether it is new; the same person keeps the same source once.

    Raises :class:`Forbidden` and :class:`Invalid` (``storage_exceeded``).
    """
    check(caller, Verb.CALL_MODELS)
    check_words(kept.title, kept.visibility)
    if (before := known(session, caller, kept.source)) is not None:
        return before, False
    check_room(session, caller, kept.size_bytes, defaults)
    entry = GalleryEntry(
        id=kept.id,
        source=kept.source,
        job=kept.job,
        model=kept.model,
        version=kept.version,
        endpoint=kept.endpoint,
        title=bounds.text(kept.title, TITLE_MAX),
        prompt=content.prompt_of(kept.inputs),
        seed=content.seed_of(kept.inputs, kept.outputs),
        inputs=kept.inputs,
        outputs=kept.outputs,
        key=kept.key,
        content_type=kept.content_type,
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        visibility=kept.visibility,
        created_by=caller.name,
        created_at=now,
        made_at=kept.made_at,
    )
    session.add(entry)
    note(session, "gallery", entry.id, f"kept, {entry.visibility}", now, by=caller.name)
    return entry, True


def get(session: Session, caller: Caller | None, name: str) -> GalleryEntry:
    """Return an entry; raises :class:`NotFound`, also for what one may not see, and :class:`Forbidden`
    (``token_required``) to nobody in particular, whether it is there or not."""
    entry = session.get(GalleryEntry, name)
    if entry is not None and may_see(caller, entry.created_by, entry.visibility):
        return entry
    if caller is None:
        raise Forbidden(
            "this needs a token", code="token_required", hint="sign in; whoever keeps it may make it public"
        )
    raise NotFound(f"there is no {name[:40]} in the gallery", code="gallery_not_found", hint="fairlead gallery lists")


def list_of(
    session: Session,
    caller: Caller,
    *,
    model: str | None = None,
    by: str | None = None,
    visibility: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[GalleryEntry]:
    """Return entries that the caller may see, newest first; ``before`` is the last id of the page before."""
    check_limit(limit)
    check_words(None, visibility)
    query = select(GalleryEntry).where(_seen(caller))
    for column, value in (
        (GalleryEntry.model, model),
        (GalleryEntry.created_by, by),
        (GalleryEntry.visibility, visibility),
    ):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(GalleryEntry.id < before)
    return list(session.scalars(query.order_by(GalleryEntry.id.desc()).limit(limit)))


def kept_by(session: Session, caller: Caller) -> tuple[list[str], list[str]]:
    """Return whose models made what the caller may see, and who keeps it: what one can search by."""
    seen = _seen(caller)
    models, people = (
        list(session.scalars(select(column).where(seen).distinct().order_by(column)))
        for column in (GalleryEntry.model, GalleryEntry.created_by)
    )
    return models, people


def change(
    session: Session, caller: Caller, name: str, title: str | None, visibility: str | None, now: datetime
) -> GalleryEntry:
    """Change what an entry is called and who sees it: its owner's, and configurers'."""
    check_words(title, visibility)
    entry = _own(session, caller, name)
    if visibility is not None and visibility != entry.visibility:
        note(session, "gallery", entry.id, f"visibility {entry.visibility} → {visibility}", now, by=caller.name)
        entry.visibility = visibility
    if title is not None:
        entry.title = bounds.text(title, TITLE_MAX)
    return entry


def remove(session: Session, caller: Caller, name: str, now: datetime) -> str:
    """Take an entry down; returns the key of its content, which nobody names any more."""
    entry = _own(session, caller, name)
    note(session, "gallery", entry.id, f"taken down; {entry.created_by} had kept it", now, by=caller.name)
    session.delete(entry)
    return entry.key


def _own(session: Session, caller: Caller, name: str) -> GalleryEntry:
    entry = get(session, caller, name)
    check_owner(caller, entry.created_by, f"{entry.id} in the gallery")
    return entry


def _seen(caller: Caller) -> ColumnElement[bool]:
    if caller.may(Verb.MANAGE_OTHERS):
        return true()
    return or_(GalleryEntry.created_by == caller.name, GalleryEntry.visibility != "private")
