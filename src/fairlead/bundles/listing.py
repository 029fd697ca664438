"""The list of a bundle's files that stands for them while they travel one by one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from fairlead.bundles import names
from fairlead.bundles.archive import File
from fairlead.bundles.limits import Limits
from fairlead.bundles.pack import IGNORE_FILE
from fairlead.errors import Invalid, Problem

MAX_BYTES = 16 * 1024**2
"""Longest list, as JSON: what ten thousand of the longest paths take."""


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file, as a client tells of it."""

    path: str
    size: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    executable: bool = False


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All files of a bundle."""

    files: list[Listed]


def read(data: bytes, limits: Limits) -> tuple[File, ...]:
    """Return the files of the list ``data`` (JSON), by path; raises :class:`Invalid` for what could be no bundle."""
    try:
        told = msgspec.json.decode(data, type=Listing).files
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = '{"files": [{"path": "…", "size": 12, "sha256": "…", "executable": false}]}'
        raise Invalid(f"this is no list of files: {error}", code="bundle_invalid", hint=hint) from error
    files = tuple(sorted((File(one.path, one.size, one.sha256, one.executable) for one in told), key=_path))
    sizes: dict[str, int] = {}
    found = (
        [Problem("bundle", "empty", "it has no files", "fairlead init KIND NAME writes some; KIND is model or app")]
        if not files
        else []
    )
    found += faults(files, limits)
    for file in files:
        if sizes.setdefault(file.sha256, file.size) != file.size:
            found.append(Problem(file.path, "sizes", "another file of the same content has another size"))
    if found:
        first = found[0]
        message = f"{first.path}: {first.message}"
        raise Invalid(message, code="bundle_invalid", hint=first.hint, problems=tuple(found[:100]))
    return files


def _path(file: File) -> str:
    return file.path


def faults(files: Sequence[File], limits: Limits) -> Iterator[Problem]:
    """Yield why no archive could hold these files."""
    total = sum(file.size for file in files)
    if total > limits.total_bytes:
        largest = max(files, key=lambda file: file.size)
        hint = f"largest: {largest.path}; name what is not needed in {IGNORE_FILE}"
        yield Problem("bundle", "too_large", f"its {total} bytes are more than {limits.total_bytes}", hint)
    if len(files) > limits.entries:
        hint = f"name what is not needed in {IGNORE_FILE}"
        yield Problem("bundle", "too_many", f"its {len(files)} files are more than {limits.entries}", hint)
    for file in files:
        if fault := names.fault(file.path):
            yield Problem(ascii(file.path)[1:-1], *fault, "rename it")
    if clash := names.clash(file.path for file in files):
        yield Problem(ascii(clash[0])[1:-1], clash[1], clash[2], "rename one of them")
