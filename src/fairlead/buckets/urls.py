"""Decides what a bucket's URL says: which store, and where. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.buckets.failures import FORMS
from fairlead.errors import Invalid

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az", "abfss": "az"}
"""As written, and as shown."""
MEMORY = "memory://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": (),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_ALLOW = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}


@dataclass(frozen=True, slots=True)
class Where:
    """Where a bucket is: a folder, or a store by network."""

    folder: str = ""
    url: str = ""
    place: str = ""
    """The URL as it is shown, or the folder."""


def where(url: str) -> Where:
    """Return what ``url`` says; raises :class:`Invalid` (``bad_bucket``)."""
    if url.startswith("file://"):
        url = url.removeprefix("file://")
        if not url.startswith("/"):
            raise _bad(f"file://{url}", "a folder after file:// begins with /")
    scheme, mark, rest = url.partition("://")
    if not mark:
        if not url or re.match(r"[a-z0-9]{2,5}:", url):
            raise _bad(url, "it is neither a folder nor a URL")
        return Where(folder=url, place=url)
    if url == MEMORY:
        return Where(url=url, place=url)
    known = SCHEMES.get(scheme.lower())
    if known is None:
        raise _bad(f"{scheme}://…", f"{scheme[:20]} is no store that is known here")
    if "?" in rest or "#" in rest or "@" in rest.partition("/")[0]:
        raise _bad(f"{known}://…", "credentials and options go into the environment, not into the URL")
    bucket = rest.partition("/")[0]
    if not _NAME.fullmatch(bucket):
        raise _bad(f"{known}://{bucket[:80]}", "that is no name of a bucket")
    path = rest.rstrip("/")
    return Where(url=f"{scheme.lower()}://{path}", place=f"{known}://{path}")


def allows_http(place: str, environ: Mapping[str, str]) -> bool:
    """Whether the store at ``place`` may be spoken to without TLS: whoever says where it is says so."""
    scheme = place.partition("://")[0]
    if environ.get(_ALLOW.get(scheme, ""), "").lower() in ("1", "true"):
        return True
    return any(environ.get(name, "").startswith("http://") for name in _ENDPOINTS.get(scheme, ()))


def _bad(url: str, why: str) -> Invalid:
    return Invalid(f"bucket {url or '(empty)'}: {why}", code="bad_bucket", hint=FORMS)
