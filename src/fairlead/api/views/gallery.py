"""Entries of the gallery."""

from __future__ import annotations

from typing import Any

from fairlead.api.views.base import View, moment
from fairlead.store.records import GalleryEntry

BASE = "/api/v1/gallery"
PAGE = "/ui/gallery"


class GalleryView(View):
    """A result that somebody keeps."""

    id: str
    title: str
    prompt: str
    seed: int | None
    model: str
    version: str
    endpoint: str
    job: str | None
    """Which made it; it may be gone by now."""
    inputs: dict[str, Any]
    """What was asked, without files; empty where it was no JSON, or too long."""
    outputs: dict[str, Any]
    """What was answered beside the content."""
    content_type: str
    size_bytes: int
    sha256: str
    visibility: str
    created_by: str
    created_at: str | None
    made_at: str | None
    url: str
    """The permanent link."""
    links: dict[str, str]
    """``self``; ``content``; ``page``, which is for people, on the web page."""


class FacetsView(View):
    """What the gallery can be searched by: the models that made what one may see, and who keeps it."""

    models: list[str]
    people: list[str]


def gallery_view(entry: GalleryEntry, url: str) -> GalleryView:
    own = f"{BASE}/{entry.id}"
    return GalleryView(
        id=entry.id,
        title=entry.title,
        prompt=entry.prompt,
        seed=entry.seed,
        model=entry.model,
        version=entry.version,
        endpoint=entry.endpoint,
        job=entry.job,
        inputs=entry.inputs,
        outputs=entry.outputs,
        content_type=entry.content_type,
        size_bytes=entry.size_bytes,
        sha256=entry.sha256,
        visibility=entry.visibility,
        created_by=entry.created_by,
        created_at=moment(entry.created_at),
        made_at=moment(entry.made_at),
        url=f"{url}{own}",
        links={"self": own, "content": f"{own}/content", "page": f"{PAGE}/{entry.id}"},
    )
