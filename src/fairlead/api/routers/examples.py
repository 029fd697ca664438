"""Files that the examples of a model name: who tries one on a page sends what the bundle has."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.orm import Session

from fairlead.api.deps import TheHouse, Who
from fairlead.api.results import UNTRUSTED
from fairlead.buckets.keys import bundle_key
from fairlead.buckets.members import member
from fairlead.errors import NotFound
from fairlead.models import queries

router = APIRouter(tags=["models"])
FILE_MAX_BYTES = 16 * 1024**2


@router.get("/models/{name}/examples/{number}/{path:path}", response_class=Response)
async def example_file(name: str, number: int, path: str, house: TheHouse, who: Who) -> Response:
    """Return a file that an example (counted from 0) of the version that answers names; no other file of its bundle."""

    def read(session: Session) -> str:
        version = queries.version_of(session, name, queries.resolve(session, who, name))
        examples = queries.manifest_of(version).examples
        if not 0 <= number < len(examples) or path not in _texts(examples[number].input):
            said, hint = f"no example {number} of {name} names {path[:200]!r}", f"fairlead models show {name}"
            raise NotFound(said, code="file_missing", hint=hint)
        return version.digest

    digest = await house.database.read(read)
    content = await member(house.bucket, bundle_key(digest), path, max_bytes=FILE_MAX_BYTES)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers=dict(UNTRUSTED))


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in ``value``, as those of an example that are names of files stand for them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
