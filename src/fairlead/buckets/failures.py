"""Decides what a store's failure is, from what it says. Pure.

The stores tell most failures apart by the text alone: what a cloud answered stands in it as XML or JSON, and without
credentials each client asks the metadata service that only machines of that cloud have.
"""

from __future__ import annotations

import re

from fairlead.errors import Error, Invalid, Unavailable

_METADATA = re.compile(
    r"169\.254\.169\.254|/latest/(?:api/token|meta-data)|metadata\.google\.internal|computeMetadata|/metadata/identity/",
    re.I,
)
_NO_SUCH = re.compile(r"NoSuchBucket|ContainerNotFound|The specified (?:bucket|container) does not exist", re.I)
_REFUSED = re.compile(
    r"\b40[013] (?:Bad Request|Unauthorized|Forbidden)|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|AuthenticationFailed|AuthorizationHeaderMalformed|PermanentRedirect|privileges|InvalidToken",
    re.I,
)
_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error (?:28|122)\b|StorageFull", re.I)
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
FORMS = "a folder, s3://BUCKET/PREFIX, gs://BUCKET/… or az://CONTAINER/…"
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT (the file of a service account)",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""By scheme: the variables that sign us in."""
ADDRESS = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_SERVICE_ACCOUNT", "az": "AZURE_STORAGE_ENDPOINT"}
"""By scheme: the variable that says where another store than the cloud's own is."""


def meaning(text: str, place: str, key: str) -> Error:
    """Return the error for a failure at ``key`` of the store at ``place`` (``s3://BUCKET``, or a folder)."""
    if _FULL.search(text):
        return Unavailable(
            f"the disk of the bucket is full ({place})",
            code="disk_full",
            hint="free space there; nothing needs a restart",
            retry_after_s=30,
        )
    scheme, is_away, bucket = place.partition("://")
    if not is_away:
        said = f"the bucket failed at {key}: {_first_line(text)}"
        return Unavailable(said, code="bucket_down", hint="look at its folder and its disk", retry_after_s=1)
    signs, address = CREDENTIALS.get(scheme, "its credentials"), ADDRESS.get(scheme, "see the guide")
    if _NO_SUCH.search(text):
        return Unavailable(
            f"{place}: there is no bucket {bucket.partition('/')[0]}",
            code="bucket_missing",
            hint=f"make it, or correct the setting bucket; where the store is: {address}",
            retry_after_s=30,
        )
    if _METADATA.search(text):
        return Unavailable(
            f"{place}: there are no credentials for it",
            code="bucket_no_credentials",
            hint=f"start the platform with {signs} in the environment",
            retry_after_s=30,
        )
    if _REFUSED.search(text):
        return Unavailable(
            f"{place} refuses us: {_answered(text)}",
            code="bucket_refused",
            hint=f"check {signs}, and what they may do" + (", and AWS_REGION" if scheme == "s3" else ""),
            retry_after_s=30,
        )
    hint = f"is the network up, and the store? where it is: {address}"
    return Unavailable(f"{place} cannot be reached: {_reason(text)}", code="bucket_down", hint=hint, retry_after_s=1)


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
