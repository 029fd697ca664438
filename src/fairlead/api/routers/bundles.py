"""Pushing bundles."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter, Request, Response

from fairlead.accounts.policy import Verb, check
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.bundles import PushView
from fairlead.errors import Invalid

router = APIRouter(tags=["bundles"])
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


@router.post("/bundles", status_code=202)
async def push(request: Request, response: Response, house: TheHouse, who: Who, alias: str = "production") -> PushView:
    """Take a zip in (a ``Content-Digest``, RFC 9530, is checked): 202 while it is prepared, 200 if it was there."""
    if not who.may(Verb.PUSH_APPS):
        check(who, Verb.PUSH_MODELS)  # what it is nobody knows yet, but who may push nothing fills no disk
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/zip":
        raise Invalid(
            f"a bundle is application/zip, not {kind or 'nothing'}", code="not_a_zip", hint="fairlead push FOLDER"
        )
    file = house.pushes.incoming()
    try:
        await _receive(request, file, house.settings.bundle_max_bytes)
        pushed = await house.pushes.take(file, who, alias)
    finally:
        file.unlink(missing_ok=True)
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


async def _receive(request: Request, file: Path, most: int) -> None:
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
