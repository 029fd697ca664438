"""What a model says of itself: signature, OpenAPI, and a small page for people."""

from __future__ import annotations

import html
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
</style><h1>{title}</h1>{parts}<p><a href="openapi.json">openapi.json</a></p></html>"""


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
            f"<p>{html.escape(endpoint['summary'])}</p><pre>{html.escape(schema)}</pre>"
        )
    for one in spec.examples:
        shown = msgspec.json.format(msgspec.json.encode(one.input), indent=2).decode()
        parts.append(f"<h3>{html.escape(one.title)}</h3><pre>{html.escape(shown)}</pre>")
    return _PAGE.format(title=html.escape(f"{spec.name} {spec.version}"), parts="".join(parts))
