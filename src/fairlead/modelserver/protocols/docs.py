"""What a model says of itself to programs: signature and OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fairlead.messages import ModelSpec
from fairlead.modelserver.protocols.exact import is_exact
from fairlead.modelserver.runtimes.port import Endpoint


def signature_view(spec: ModelSpec, endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    """Return the signature that is stored with a version: input and output schema of each endpoint."""
    return {
        "endpoints": {
            name: {
                "input": endpoint.signature.schema(),
                "output": endpoint.signature.returns_schema(),
                "files": list(endpoint.signature.files),
                "summary": endpoint.summary,
            }
            | ({"streams": True} if endpoint.streams else {})
            | ({"exact": True} if is_exact(endpoint.signature) else {})
            for name, endpoint in endpoints.items()
        },
        "examples": [
            {"title": one.title, "input": one.input} | ({} if one.expect is msgspec.UNSET else {"expect": one.expect})
            for one in spec.examples
        ],
    }


def openapi_of(spec: ModelSpec, signature: Mapping[str, Any]) -> dict[str, Any]:
    """Return OpenAPI 3.1 of a model from its stored signature; needs no running model."""
    examples = {f"example{index}": {"summary": one["title"], "value": one["input"]}
                for index, one in enumerate(signature["examples"], 1)}  # fmt: skip
    schemas: dict[str, Any] = {}
    paths = {}
    for name, endpoint in signature["endpoints"].items():
        row, answer = (_placed(endpoint[side], f"{name}.{side}", schemas) for side in ("input", "output"))
        media: dict[str, Any] = {"schema": _or_many(row)}
        if name == "predict" and examples:
            media["examples"] = examples
        paths[f"/v1/models/{spec.name}/{name}"] = {
            "post": {
                "operationId": name,
                "summary": endpoint["summary"],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": media, **_forms(row, endpoint["files"])},
                },
                "responses": {
                    "200": {"description": "the answer", "content": _answers(answer, bool(endpoint.get("streams")))},
                    "default": {"$ref": "#/components/responses/Error"},
                },
            }
        }
    error = {"description": "what is wrong, why and what next", "content": {"application/json": {"schema": _ERROR}}}
    token = {"type": "http", "scheme": "bearer", "description": "fl_..., of: fairlead tokens new LABEL"}
    return {
        "openapi": "3.1.0",
        "info": {"title": spec.name, "version": spec.version},
        "paths": paths,
        "components": {"responses": {"Error": error}, "securitySchemes": {"token": token}, "schemas": schemas},
        "security": [{"token": []}],
    }


def _placed(schema: Any, prefix: str, schemas: dict[str, Any]) -> Any:
    """Return ``schema`` with its own definitions moved to ``schemas``: in one document they have one place."""
    names = {f"#/$defs/{key}": f"{prefix}.{key}" for key in schema.get("$defs") or {}}
    if not names:
        return schema

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        found = {key: moved(one) for key, one in value.items() if key != "$defs"}
        if (name := names.get(str(found.get("$ref")))) is not None:
            found["$ref"] = f"#/components/schemas/{name}"
        return found

    schemas.update((f"{prefix}.{key}", moved(one)) for key, one in schema["$defs"].items())
    return moved(schema)


def _or_many(one: Any) -> dict[str, Any]:
    """Return the schema of one, or of a list of them: many rows are answered by as many answers."""
    return {"anyOf": [one, {"type": "array", "items": one}]}


_BINARY = {"type": "string", "format": "binary"}


def _forms(row: Mapping[str, Any], files: Sequence[str]) -> dict[str, Any]:
    """Return the other bodies of an endpoint that takes files: a form, and the file itself where there is one."""
    if not files:
        return {}
    fields = row.get("properties", {})
    form = {"type": "object", "properties": {**fields, **dict.fromkeys(files, _BINARY)}}
    if row.get("required"):
        form["required"] = row["required"]
    found: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if len(files) == 1:
        found[_media_type(fields.get(files[0], {})) or "*/*"] = {"schema": _BINARY}
    return found


def _answers(answer: Mapping[str, Any], streams: bool) -> dict[str, Any]:
    """Return the media types that an endpoint answers in."""
    shapes: dict[str, Any] = {"application/json": {"schema": _or_many(answer) if answer else answer}}
    if streams:
        shapes["text/event-stream"] = {"schema": answer.get("items", {})}
    elif (kind := _media_type(answer)) is not None:
        shapes[kind] = {"schema": _BINARY}
    return shapes


def _media_type(schema: Mapping[str, Any]) -> str | None:
    """Return the kind of file that ``schema`` describes, of the first member of a union that is one."""
    members = [schema, *schema.get("anyOf", ())]
    return next((str(one["contentMediaType"]) for one in members if "contentMediaType" in one), None)


_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": _TEXT,
                "message": _TEXT,
                "hint": _TEXT,
                "id": _TEXT,
                "problems": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"path": _TEXT, "rule": _TEXT, "message": _TEXT, "hint": _TEXT},
                    },
                },
            },
        }
    },
}


def openapi_body(spec: ModelSpec, endpoints: Mapping[str, Endpoint]) -> bytes:
    return msgspec.json.encode(openapi_of(spec, signature_view(spec, endpoints)))
