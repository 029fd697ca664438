"""What may stand in the headers of a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NEVER = re.compile(r"[\x00-\x1f\x7f\"\\]")


def unsendable(headers: Mapping[str, str]) -> str:
    """Return the name of the first header with a value that no request can hold, or nothing."""
    return next((name for name, value in headers.items() if not _is_plain(value)), "")


def _is_plain(value: str) -> bool:
    return all((" " <= one <= "\xff" and one != "\x7f") or one == "\t" for one in value)


def attachment(name: str) -> str:
    """Return a ``Content-Disposition`` for the file ``name``; what a header cannot hold is replaced: the name is for
    people alone."""
    said = _NEVER.sub("_", name.encode("latin-1", "replace").decode("latin-1"))
    return f'attachment; filename="{said}"'
