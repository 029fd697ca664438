"""The gallery: results kept on purpose, each with a permanent link."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller, Verb, check
from fairlead.api import results
from fairlead.api.deps import TheHouse, Who, token_of
from fairlead.api.errors import request_id
from fairlead.api.limits import BODY_MAX_BYTES
from fairlead.api.views.base import Body, Page, page
from fairlead.api.views.gallery import FacetsView, GalleryView, gallery_view
from fairlead.control.gallery import Answered, Said
from fairlead.errors import Forbidden, Invalid, NotFound
from fairlead.gallery import service
from fairlead.gallery.content import INLINE
from fairlead.identity.tokens import verify
from fairlead.store.records import GalleryEntry
from fairlead.supervisor import bounds

router = APIRouter(tags=["gallery"])


class Visitor:
    """Who looks at an entry: somebody who is signed in, or nobody in particular and why that is so."""

    def __init__(self, caller: Caller | None, refused: Forbidden | None = None) -> None:
        self._caller, self._refused = caller, refused

    def find(self, session: Session, name: str) -> GalleryEntry:
        """Return an entry that the visitor may see; raises as the service does, or what is wrong with the token."""
        try:
            return service.get(session, self._caller, name)
        except Forbidden as error:
            raise self._refused or error from None


async def visitor(request: Request, house: TheHouse) -> Visitor:
    """Return who looks: what is public is read without a token, and with one that is over."""
    try:
        claims = verify(token_of(request), keys=house.keys, now=house.clock.now(), denied=house.denied)
        return Visitor(await house.directory.caller(claims))
    except Forbidden as error:
        return Visitor(None, error)


Anyone = Annotated[Visitor, Depends(visitor)]


class KeepBody(Body):
    """A job whose result is kept; or a model, and what it answered to which inputs."""

    job: str | None = None
    model: str | None = None
    """`name`, or `name@ref`."""
    endpoint: str = "predict"
    inputs: dict[str, Any] = {}
    answer: Any = None
    """As the model gave it; a file is a `data:` URL. The one file in it is kept, else all of it."""
    title: str = ""
    visibility: str = "private"


class EntryChange(Body):
    title: str | None = None
    visibility: str | None = None


@router.post("/gallery", status_code=201)
async def keep(body: KeepBody, response: Response, house: TheHouse, who: Who) -> GalleryView:
    """Keep a result until somebody takes it down: 201, or 200 where the same person keeps the same already."""
    check(who, Verb.CALL_MODELS)
    said = Said(body.title, body.visibility)
    if (body.job is None) == (body.model is None):
        raise Invalid("name what is to be kept", code="gallery_source", hint="send either job, or model and answer")
    if body.job is not None:
        entry, is_new = await house.gallery.keep_job(who, body.job, said)
    else:
        entry, is_new = await house.gallery.keep_answer(who, _answered(body), said)
    response.status_code = 201 if is_new else 200
    view = gallery_view(entry, house.settings.url)
    response.headers["Location"] = view.links["self"]
    return view


@router.get("/gallery")
async def list_entries(
    house: TheHouse,
    who: Who,
    model: str | None = None,
    by: str | None = None,
    visibility: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> Page[GalleryView]:
    """Return what one may see, newest first: one's own, and what others show to the team or to all."""
    found = await house.database.read(
        lambda s: service.list_of(s, who, model=model, by=by, visibility=visibility, before=before, limit=limit)
    )
    views = [gallery_view(entry, house.settings.url) for entry in found]
    return page(views, found[-1].id if len(found) == limit else None)


@router.get("/gallery/facets")
async def facets(house: TheHouse, who: Who) -> FacetsView:
    """Return what the list can be searched by: models, and people."""
    models, people = await house.database.read(lambda session: service.kept_by(session, who))
    return FacetsView(models=models, people=people)


@router.get("/gallery/{entry}")
async def show(entry: str, house: TheHouse, who: Anyone) -> GalleryView:
    """Return an entry; one that is public without a token."""
    found = await house.database.read(lambda session: who.find(session, entry))
    return gallery_view(found, house.settings.url)


@router.get("/gallery/{entry}/content")
async def content(entry: str, request: Request, house: TheHouse, who: Anyone) -> Response:
    """Return the picture, or whatever it is: as an attachment unless browsers show the type and run nothing of it."""
    found = await house.database.read(lambda session: who.find(session, entry))
    kind = found.content_type.partition(";")[0].strip().lower()
    headers = {
        **results.UNTRUSTED,
        "Cache-Control": "private, no-cache",  # who takes it down, or makes it private, is heeded at once
        "Content-Disposition": f'{"inline" if kind in INLINE else "attachment"}; filename="{found.id}"',
        "ETag": f'"{found.sha256}"',
        "X-Request-Id": request_id(request),
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        return await results.stored(house, found.key, found.content_type, request, headers)
    except NotFound as error:
        hint = f"restore the bucket from a backup, or: fairlead gallery rm {found.id}"
        raise NotFound(f"the content of {found.id} is gone", code="result_gone", hint=hint) from error


@router.patch("/gallery/{entry}")
async def change(entry: str, body: EntryChange, house: TheHouse, who: Who) -> GalleryView:
    """Change the title, or who sees it: private, team or public, which is read without a token."""
    if body.title is None and body.visibility is None:
        raise Invalid("nothing to change", code="nothing_to_change", hint="send title or visibility")
    now = house.clock.now()
    found = await house.database.write(lambda s: service.change(s, who, entry, body.title, body.visibility, now))
    return gallery_view(found, house.settings.url)


@router.delete("/gallery/{entry}", status_code=204, response_class=Response)
async def remove(entry: str, house: TheHouse, who: Who) -> Response:
    """Take an entry down, one's own or any for a configurer: the link leads nowhere from then on."""
    await house.gallery.remove(who, entry)
    return Response(status_code=204)


def _answered(body: KeepBody) -> Answered:
    name, at, ref = str(body.model).partition("@")
    if "answer" not in body.model_fields_set:
        raise Invalid("answer: is missing", code="gallery_source", hint="send what the model answered")
    for said, value in (("answer", body.answer), ("inputs", body.inputs)):
        if wrong := bounds.json_problem(value, BODY_MAX_BYTES):
            raise Invalid(f"{said} {wrong}", code="gallery_source", hint="send JSON as the model gave it")
    if not ids.is_word(body.endpoint):
        raise Invalid(f"{body.endpoint[:40]!r} is no endpoint", code="gallery_source", hint="predict")
    return Answered(name, body.answer, body.inputs, **({"ref": ref} if at else {}), endpoint=body.endpoint)
