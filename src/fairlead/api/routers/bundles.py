"""Pushing bundles."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response

from fairlead.accounts.policy import Caller, Verb, check_any
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.bundles import MissingView, PlanView, PushView
from fairlead.bundles.listing import MAX_BYTES
from fairlead.control.house import House
from fairlead.control.registering import Pushed
from fairlead.control.uploads import CHUNK_BYTES, translated
from fairlead.errors import Invalid

router = APIRouter(tags=["bundles"])
Content = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file.")]
_HEADERS_BYTES = 32 * 1024**2
"""What a zip may have beside its files, which alone are bounded: headers, twice, of ten thousand long paths."""
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


@router.post("/bundles", status_code=202)
async def push(request: Request, response: Response, house: TheHouse, who: Who, alias: str = "production") -> PushView:
    """Take a bundle in: 202 while it is prepared, 200 if it was there.

    The body is its zip (``application/zip``; a ``Content-Digest``, RFC 9530, is checked), or the list of its files
    (``application/json``, as for the plan) where all of them were sent before.
    """
    _check_may_push(who)
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":
        pushed = await house.pushes.put_together(house.pushes.read(await _listing(request)), who, alias)
        return _view(pushed, house, response)
    if kind != "application/zip":
        raise Invalid(
            f"a bundle is application/zip, not {kind or 'nothing'}", code="not_a_zip", hint="fairlead push FOLDER"
        )
    file = house.pushes.incoming()
    try:
        await _receive(request, file, house.settings.bundle_max_bytes + _HEADERS_BYTES)
        pushed = await house.pushes.take(file, who, alias)
    except OSError as error:
        raise translated(error) from error
    finally:
        file.unlink(missing_ok=True)
    return _view(pushed, house, response)


@router.post("/bundles/plan")
async def plan(request: Request, house: TheHouse, who: Who) -> PlanView:
    """Tell which files of a bundle must be sent: those that the caller has sent neither now nor in a bundle before.

    The body is ``{"files": [{"path", "size", "sha256", "executable"}]}``.
    """
    _check_may_push(who)
    found = await house.pushes.plan(house.pushes.read(await _listing(request)), who)
    missing = [
        MissingView(
            path=file.path,
            sha256=file.sha256,
            size=file.size,
            offset=offset,
            url=f"{house.settings.url}/api/v1/bundles/files/{file.sha256}",
        )
        for file, offset in found.missing
    ]
    return PlanView(
        digest=found.digest,
        total_bytes=found.total_bytes,
        missing_bytes=sum(one.size - one.offset for one in missing),
        chunk_bytes=CHUNK_BYTES,
        missing=missing,
    )


@router.head("/bundles/files/{content}", status_code=200, response_class=Response)
async def how_much(content: Content, house: TheHouse, who: Who) -> Response:
    """Tell by ``Upload-Offset`` how many bytes of a file the caller has sent."""
    _check_may_push(who)
    return Response(headers=_offset(house.pushes.uploads.offset(who.name, content)))


@router.patch("/bundles/files/{content}", status_code=204)
async def send(
    request: Request,
    content: Content,
    house: TheHouse,
    who: Who,
    offset: Annotated[int, Header(alias="Upload-Offset", ge=0)],
    length: Annotated[int, Header(alias="Upload-Length", ge=0)],
) -> Response:
    """Add the body to a file at ``Upload-Offset``; ``Upload-Length`` is how long all of it is.

    What came before a connection was cut stays for a day. The last byte has the whole checked against its SHA-256.
    """
    _check_may_push(who)
    house.pushes.incoming()
    at = await house.pushes.uploads.append(who.name, content, length, offset, request.stream())
    return Response(status_code=204, headers=_offset(at))


def _offset(at: int) -> dict[str, str]:
    return {"Upload-Offset": str(at), "Cache-Control": "no-store"}


def _check_may_push(who: Caller) -> None:
    """Refuse who may push nothing before anything comes: what it is nobody knows yet."""
    check_any(who, (Verb.PUSH_MODELS, Verb.PUSH_APPS))


def _view(pushed: Pushed, house: House, response: Response) -> PushView:
    if pushed.again:
        response.status_code = 200
    url = f"{house.settings.url}/v1/models/{pushed.name}/predict" if pushed.kind == "model" else None
    return PushView(
        kind=pushed.kind,
        name=pushed.name,
        version=pushed.version,
        digest=pushed.digest,
        status=pushed.status,
        url=url,
        warnings=list(pushed.warnings),
    )


async def _listing(request: Request) -> bytes:
    """Return the body, which is a list of files."""
    found = bytearray()
    async for block in request.stream():
        found += block
        if len(found) > MAX_BYTES:
            hint = "a bundle has at most as many files as GET /api/v1/system says"
            raise Invalid("the list of files is too long", code="too_large", hint=hint)
    return bytes(found)


async def _receive(request: Request, file: File, most: int) -> None:
    """Write the body to ``file``; raises :class:`Invalid` when it is too long or not what its digest says."""
    digest, size = hashlib.sha256(), 0
    with file.open("wb") as target:
        async for block in request.stream():
            size += len(block)
            if size > most:
                raise Invalid(
                    f"the bundle has more than {most} bytes", code="too_large", hint="leave out what it does not need"
                )
            digest.update(block)
            await asyncio.to_thread(target.write, block)
    promised = _DIGEST.search(request.headers.get("content-digest", ""))
    if promised and promised[1] != base64.b64encode(digest.digest()).decode():
        raise Invalid("the bytes are not those that Content-Digest names", code="digest_mismatch", hint="send it again")
