"""What a model says of itself: signature, OpenAPI, and a small page for people."""

from __future__ import annotations

import html
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.messages import ModelSpec
from fairlead.modelserver.protocols.exact import is_exact
from fairlead.modelserver.runtimes.port import Endpoint

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b2733}}
pre{{background:#f3f5f7;padding:1rem;border-radius:.5rem;overflow:auto}}
</style><h1>{title}</h1>{parts}<p>FAIRLEAD_URL is where this page came from,
FAIRLEAD_TOKEN one of <code>fairlead tokens new LABEL</code>.</p>
<p><a href="openapi.json">openapi.json</a></p></html>"""


_DEEP, _ITEMS_MAX = 5, 8
"""Of a value that is shown only."""


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
    paths = {}
    for name, endpoint in signature["endpoints"].items():
        media: dict[str, Any] = {
            "schema": {"anyOf": [endpoint["input"], {"type": "array", "items": endpoint["input"]}]}
        }
        if name == "predict" and examples:
            media["examples"] = examples
        shapes = {"application/json": {"schema": endpoint["output"]}}
        if endpoint.get("streams"):
            shapes["text/event-stream"] = {"schema": endpoint["output"].get("items", {})}
        answer = {"description": "the answer", "content": shapes}
        paths[f"/v1/models/{spec.name}/{name}"] = {
            "post": {
                "operationId": name,
                "summary": endpoint["summary"],
                "requestBody": {"required": True, "content": {"application/json": media}},
                "responses": {"200": answer, "default": {"$ref": "#/components/responses/Error"}},
            }
        }
    error = {"description": "what is wrong, why and what next", "content": {"application/json": {"schema": _ERROR}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": spec.name, "version": spec.version},
        "paths": paths,
        "components": {"responses": {"Error": error}},
    }


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


def docs_page(spec: ModelSpec, endpoints: Mapping[str, Endpoint]) -> str:
    """Return a page that shows how to call the model."""
    return page_of(spec, signature_view(spec, endpoints))


def page_of(spec: ModelSpec, signature: Mapping[str, Any]) -> str:
    """Return the page of a model from its stored signature; everything in it is escaped; needs no running model."""
    parts = []
    for name, endpoint in signature["endpoints"].items():
        schema = msgspec.json.format(msgspec.json.encode(endpoint["input"]), indent=2).decode()
        parts.append(
            f"<h2>POST /v1/models/{html.escape(spec.name)}/{html.escape(name)}</h2>"
            f"<p>{html.escape(endpoint['summary'])}</p><pre>{html.escape(curl(spec, name, endpoint))}</pre>"
            f"<pre>{html.escape(schema)}</pre>"
        )
    for one in spec.examples:
        shown = msgspec.json.format(msgspec.json.encode(one.input), indent=2).decode()
        parts.append(f"<h3>{html.escape(one.title)}</h3><pre>{html.escape(shown)}</pre>")
    return _PAGE.format(title=html.escape(f"{spec.name} {spec.version}"), parts="".join(parts))


def curl(spec: ModelSpec, name: str, endpoint: Mapping[str, Any]) -> str:
    """Return a command that calls an endpoint: with the first example, else with values that its schema tells."""
    body = spec.examples[0].input if spec.examples and name == "predict" else sample(endpoint["input"])
    head = [f'curl -s "$FAIRLEAD_URL/v1/models/{spec.name}/{name}"', '-H "Authorization: Bearer $FAIRLEAD_TOKEN"']
    files = endpoint["files"]
    if not files:
        text = msgspec.json.encode(body).decode()
        return " \\\n  ".join([*head, "-H 'content-type: application/json'", f"-d {shlex.quote(text)}"])
    fields = [f"-F {one}=@FILE" for one in files]
    for one, value in body.items() if isinstance(body, dict) else ():
        if one in files:
            continue
        said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        fields.append(f"-F {shlex.quote(f'{one}={said}')}")
    return " \\\n  ".join([*head, *fields])


def sample(schema: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value of a JSON Schema as the signature writes them; of an object what must be given."""
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return sample(schema[key][0], depth)
    kind = schema.get("type")
    if depth > _DEEP:
        return None
    if kind == "object":
        required = schema.get("required", ())
        return {one: sample(part, depth + 1) for one, part in schema.get("properties", {}).items() if one in required}
    if kind == "array":
        return [sample(schema.get("items", {}), depth + 1)] * min(schema.get("minItems", 1), _ITEMS_MAX)
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("maximum", 1))
    return {"string": "text", "boolean": True}.get(str(kind))
