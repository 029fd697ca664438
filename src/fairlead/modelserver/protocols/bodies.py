"""From requests to rows: JSON, forms, raw files and queries."""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.errors import Invalid
from fairlead.modelserver.calls import Call
from fairlead.modelserver.protocols.forms import fields_of, parts_of
from fairlead.sdk.files import File
from fairlead.sdk.inputs import Signature, why_no_json
from fairlead.sdk.tensors import TensorShape

_JSON = ("", "application/json")
_FORM = "application/x-www-form-urlencoded"
_INSTANCES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def rows_of(call: Call, signature: Signature) -> tuple[list[Any], bool]:
    """Return the rows of ``call`` and whether it sent a list; raises :class:`Invalid` with every fault."""
    first = call.body[:1]
    if first in (b"{", b"[") and (signature.only_file is None or _is_json(_kind(call))):
        if first == b"{":
            return [signature.decode(call.body)], False
        return signature.decode_many(call.body), True
    return _other(call, signature)


def instance_rows(call: Call, signature: Signature) -> list[Any]:
    """Return the rows of ``{"instances": […]}``; a sole input needs no key. Raises :class:`Invalid`."""
    hint = 'send {"instances": [row, …]}'
    try:
        instances = _INSTANCES.decode(call.body).get("instances")
    except msgspec.ValidationError as error:
        raise Invalid("the body is not an object", hint=hint) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {why_no_json(error)}", code="invalid_json", hint=hint) from error
    if instances is None:
        raise Invalid("instances: is missing", hint=hint)
    raw = bytes(instances)
    if raw[:1] != b"[":
        raise Invalid("instances: is not a list", hint=hint)
    if len(signature.parameters) == 1 and not signature.single and not raw.lstrip(b"[ \r\n\t").startswith(b"{"):
        name = signature.parameters[0].name
        return signature.check_many([{name: value} for value in signature.parse(raw)])
    return signature.decode_many(raw)


def _kind(call: Call) -> str:
    """Return the media type of the body without its parameters."""
    return call.content_type.partition(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind in _JSON or kind == _FORM or kind.endswith("+json")  # curl -d says form whatever it sends


def _other(call: Call, signature: Signature) -> tuple[list[Any], bool]:
    kind, body = _kind(call), call.body
    if not body and call.query:
        return [signature.check(fields_of(call.query), lax=True)], False
    if not body and (not signature.parameters or (signature.only_file is not None and not kind)):
        return [signature.decode(b"{}")], False
    if kind == "multipart/form-data":
        values = fields_of(call.query) | parts_of(body, call.content_type, signature.files)
        return [signature.check(values, lax=True)], False
    # a form is ASCII: what is not is a file from a client (curl --data-binary) that calls everything a form
    is_form = kind == _FORM and body.isascii()
    if signature.only_file is not None and kind != "application/json" and not is_form:
        file = File(body, media_type=None if kind == _FORM else kind or None)
        values = fields_of(call.query) | {signature.only_file: file}
        return [signature.check(values, lax=True)], False
    stripped = body.lstrip()
    if is_form and stripped[:1] not in (b"{", b"["):
        return [signature.check(fields_of(body.decode("ascii")), lax=True)], False
    if stripped[:1] == b"[":
        return signature.decode_many(body), True
    if _is_json(kind):
        return [signature.decode(body)], False
    raise Invalid(
        f"{kind}: bodies of this type are not understood here",
        code="unsupported_media_type",
        hint=f"send application/json{_or(signature)}",
    )


def _or(signature: Signature) -> str:
    """Return what else may be sent than JSON."""
    if signature.files:
        return f", or a form with {', '.join(signature.files)}"
    tensors = any(isinstance(shape, TensorShape) for shape in signature.shapes)
    return "; tensors as bytes go to /v2/models/NAME/infer" if tensors else ""
