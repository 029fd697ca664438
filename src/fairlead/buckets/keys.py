"""Names of objects in the bucket, and which names are allowed."""

from __future__ import annotations

import re
import urllib.parse

from fairlead.errors import Invalid

KEY_MAX_BYTES = 900
"""S3 allows 1,024 with the bucket's own prefix."""
_SEGMENT = re.compile(r"[A-Za-z0-9_%=@+-][A-Za-z0-9._%=@+-]{0,199}")
"""No leading dot: neither ``..`` nor our own sidecars; no space, ``#`` or control character that a URL would bend."""


def bundle_key(digest: str) -> str:
    """Return where the zip of the bundle with ``digest`` lies."""
    return checked(f"bundles/{file_name(digest)}.zip")


def input_key(model: str, job: str, filename: str = "body") -> str:
    """Return where the input of ``job`` lies; ``filename`` is the user's and may be anything."""
    return checked(f"in/{model}/{job}/{file_name(filename)}")


def result_key(model: str, job: str, epoch: int) -> str:
    """Return where the result of one attempt at ``job`` lies: a late one never overwrites the one that counts."""
    return checked(f"out/{model}/{job}/{epoch}")


def gallery_key(entry: str) -> str:
    """Return where the content of an entry of the gallery lies."""
    return checked(f"gallery/{entry}")


def file_name(text: str) -> str:
    """Return ``text`` as one segment of a key: what is not allowed is percent-encoded, what is too long cut."""
    quoted = urllib.parse.quote(text, safe="@=+") or "_"
    quoted = quoted.replace("~", "%7E")
    if quoted.startswith("."):
        quoted = f"%2E{quoted[1:]}"
    if len(quoted) > 200:
        quoted = re.sub(r"%[0-9A-F]?$", "", quoted[-200:].lstrip(".")) or "_"
    return quoted


def checked(key: str) -> str:
    """Return ``key``; raises :class:`Invalid` (``bad_key``) for what could leave the bucket or clash in it."""
    if len(key) > KEY_MAX_BYTES or not all(map(_SEGMENT.fullmatch, key.split("/"))):
        raise Invalid(
            f"{key[:100]!r} cannot name an object",
            code="bad_key",
            hint="letters, digits and ._-%=@+ in parts joined by /, none beginning with a dot",
        )
    return key


def checked_prefix(prefix: str) -> str:
    """Return ``prefix`` without its last slash; raises as :func:`checked` does, but may be empty."""
    bare = prefix.rstrip("/")
    return checked(bare) if bare else ""
