"""Decides what a store's failure is, from what it says. Pure.

The stores tell most failures apart by the text alone: what a cloud answered stands in it as XML or JSON, and without
credentials each client asks the metadata service that only machines of that cloud have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fairlead.errors import Error, Invalid, Unavailable

FORMS = "a folder, s3://BUCKET/PREFIX, gs://BUCKET/… or az://CONTAINER/…"
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT (the file of a service account)",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""By scheme: the variables that sign us in."""
ADDRESS = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_SERVICE_ACCOUNT", "az": "AZURE_STORAGE_ENDPOINT"}
"""By scheme: the variable that says where another store than the cloud's own is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One meaning: how it is known, and what is told of it, with what stands in braces (see :func:`meaning`)."""

    known_by: re.Pattern[str]
    code: str
    said: str
    hint: str
    retry_after_s: float = 30
    is_anywhere: bool = False
    """A folder fails so too, not only a store of a cloud."""


_NO_SUCH = re.compile(r"NoSuchBucket|ContainerNotFound|The specified (?:bucket|container) does not exist", re.I)
_ALL = re.compile("")
LINES = (
    Line(
        re.compile(r"No space left on device|Disk quota exceeded|os error (?:28|122)\b|StorageFull", re.I),
        "disk_full",
        "the disk of the bucket is full ({place})",
        "free space there; nothing needs a restart",
        is_anywhere=True,
    ),
    Line(
        _NO_SUCH,
        "bucket_missing",
        "{place}: there is no bucket {bucket}",
        "make it, or correct the setting bucket; where the store is: {address}",
    ),
    Line(
        re.compile(
            r"169\.254\.169\.254|/latest/(?:api/token|meta-data)|metadata\.google\.internal|computeMetadata"
            r"|/metadata/identity/",
            re.I,
        ),
        "bucket_no_credentials",
        "{place}: there are no credentials for it",
        "start the platform with {signs} in the environment",
    ),
    Line(
        re.compile(
            r"\b40[013] (?:Bad Request|Unauthorized|Forbidden)|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch"
            r"|AuthenticationFailed|AuthorizationHeaderMalformed|PermanentRedirect|privileges|InvalidToken",
            re.I,
        ),
        "bucket_refused",
        "{place} refuses us: {answered}",
        "check {signs}, and what they may do{region}",
    ),
    Line(
        _ALL,
        "bucket_down",
        "{place} cannot be reached: {reason}",
        "is the network up, and the store? where it is: {address}",
        retry_after_s=1,
    ),
)
"""The first line that fits is taken."""
_FOLDER_DOWN = Line(
    _ALL, "bucket_down", "the bucket failed at {key}: {first}", "look at its folder and its disk", retry_after_s=1
)
_SAID = re.compile(r"<Message>([^<]{1,300})</Message>")
_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_NETWORK = (
    ("Connection refused", "nobody listens there"),
    ("dns error", "its name is not known here"),
    ("failed to lookup address", "its name is not known here"),
    ("certificate", "its certificate is not trusted"),
    ("Network is unreachable", "the network is not reachable"),
    ("No route to host", "there is no route to it"),
    ("operation timed out", "it did not answer in time"),
    ("TimedOut", "it did not answer in time"),
    ("scheme is not http", "it is http, which is not allowed unless the address of the store says so"),
)


def meaning(text: str, place: str, key: str) -> Error:
    """Return the error for a failure at ``key`` of the store at ``place`` (``s3://BUCKET``, or a folder)."""
    scheme, is_away, bucket = place.partition("://")
    lines = LINES if is_away else [line for line in LINES if line.is_anywhere]
    line = next((line for line in lines if line.known_by.search(text)), _FOLDER_DOWN)
    told = {
        "place": place,
        "key": key,
        "bucket": bucket.partition("/")[0],
        "address": ADDRESS.get(scheme, "see the guide"),
        "signs": CREDENTIALS.get(scheme, "its credentials"),
        "region": ", and AWS_REGION" if scheme == "s3" else "",
        "answered": _answered(text),
        "reason": _reason(text),
        "first": _first_line(text),
    }
    said, hint = line.said.format_map(told), line.hint.format_map(told)
    return Unavailable(said, code=line.code, hint=hint, retry_after_s=line.retry_after_s)


def unusable(text: str, place: str) -> Invalid:
    """Return the error for a store at ``place`` that cannot even be set up."""
    said = re.sub(r"^Generic \w+ error: ", "", _first_line(text))
    scheme = place.partition("://")[0]
    if scheme in CREDENTIALS and re.search(r"credential|Account must be specified", text, re.I):
        hint = f"start the platform with {CREDENTIALS[scheme]} in the environment"
        return Invalid(f"{place}: {said}", code="bucket_no_credentials", hint=hint)
    return Invalid(f"bucket {place}: {said}", code="bad_bucket", hint=FORMS)


def is_missing_bucket(text: str) -> bool:
    """Whether an answer of "not found" means the whole bucket."""
    return _NO_SUCH.search(text) is not None


def _answered(text: str) -> str:
    """Return what the store itself answered, without addresses and signatures."""
    said, code = _SAID.search(text), _CODE.search(text)
    if said or code:
        return " ".join(part for part in (code and f"{code[1]}:", said and said[1].strip()) if part).rstrip(":")
    status = re.search(r"\b(40[013] [A-Z][A-Za-z ]+)", text)
    return status[1].strip() if status else _first_line(text)


def _reason(text: str) -> str:
    for sign, meant in _NETWORK:
        if sign.lower() in text.lower():
            return meant
    return _answered(text)


def _first_line(text: str) -> str:
    return text.partition("\n")[0].split("?", 1)[0][:300]
