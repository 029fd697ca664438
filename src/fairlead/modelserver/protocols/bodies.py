"""From requests to rows: JSON, forms, raw files and queries."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from fairlead.errors import Invalid
from fairlead.modelserver.calls import Call
from fairlead.sdk.files import File
from fairlead.sdk.inputs import Signature

_FORM = "application/x-www-form-urlencoded"
_QUOTED = re.compile(r';\s*(name|filename)="((?:[^"\\]|\\.)*)"')
_INSTANCES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def rows_of(call: Call, signature: Signature) -> tuple[list[Any], bool]:
    """Return the rows of ``call`` and whether it sent a list; raises :class:`Invalid` with every fault."""
    body = call.body
    first = body[:1]
    if first == b"{":
        return [signature.decode(body)], False
    if first == b"[":
        return signature.decode_many(body), True
    return _other(call, signature)


def instance_rows(call: Call, signature: Signature) -> list[Any]:
    """Return the rows of ``{"instances": […]}``; a sole input needs no key. Raises :class:`Invalid`."""
    try:
        instances = _INSTANCES.decode(call.body).get("instances")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON: {error}", code="invalid_json", hint='{"instances": […]}') from error
    if instances is None:
        raise Invalid("instances: is missing", hint='send {"instances": [row, …]}')
    raw = bytes(instances)
    if len(signature.parameters) == 1 and not signature.single and not raw.lstrip(b"[ \r\n\t").startswith(b"{"):
        name = signature.parameters[0].name
        values = msgspec.json.decode(raw)
        return signature.check_many([{name: value} for value in values] if isinstance(values, list) else values)
    return signature.decode_many(raw)


def _other(call: Call, signature: Signature) -> tuple[list[Any], bool]:
    kind = call.content_type.partition(";")[0].strip().lower()
    stripped = call.body.lstrip()
    if not call.body and call.query:
        return [signature.check(_fields(call.query, signature), lax=True)], False
    if kind == "multipart/form-data":
        return [signature.check(_multipart(call, signature), lax=True)], False
    if signature.only_file is not None and kind not in ("application/json", _FORM):
        values = _fields(call.query, signature) | {signature.only_file: File(call.body, media_type=kind or None)}
        return [signature.check(values, lax=True)], False
    if kind == _FORM and stripped[:1] not in (b"{", b"["):
        return [signature.check(_fields(call.body.decode("utf-8", "replace"), signature), lax=True)], False
    if stripped[:1] == b"[":
        return signature.decode_many(call.body), True
    if not call.body and not signature.parameters:
        return [signature.decode(b"{}")], False
    if kind in ("", "application/json", _FORM) or kind.endswith("+json"):
        return [signature.decode(call.body)], False
    raise Invalid(
        f"{kind}: bodies of this type are not understood here",
        code="unsupported_media_type",
        hint="send application/json" + (f", or a file as the body: {signature.files}" if signature.files else ""),
    )


def _fields(text: str, signature: Signature) -> dict[str, Any]:
    """Return the fields of a query or form; a key that comes several times is a list."""
    found: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key in found:
            found[key] = [*found[key], value] if isinstance(found[key], list) else [found[key], value]
        else:
            found[key] = value
    return found


def _multipart(call: Call, signature: Signature) -> dict[str, Any]:
    """Return the fields of a form with files (RFC 7578); raises :class:`Invalid` where it is broken."""
    match = re.search(r'boundary="?([^";,]+)"?', call.content_type)
    if match is None:
        raise Invalid("the form's content type names no boundary", code="form_invalid", hint="let your client set it")
    found: dict[str, Any] = _fields(call.query, signature)
    parts = (b"\r\n" + call.body).split(b"\r\n--" + match[1].encode("latin-1"))
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise Invalid("the form does not end with its boundary", code="form_invalid", hint="was it cut off?")
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        headers = head.decode("utf-8", "replace")
        words = dict(_QUOTED.findall(headers))
        if "name" not in words:
            raise Invalid(
                "a part of the form has no name", code="form_invalid", hint='Content-Disposition: …; name="…"'
            )
        name = words["name"]
        if "filename" in words or name in signature.files:
            kind = re.search(r"(?im)^content-type:\s*([^;\r\n]+)", headers)
            found[name] = File(content, words.get("filename"), kind[1].strip() if kind else None)
        else:
            found[name] = content.decode("utf-8", "replace")
    return found
