"""The few pages for people: what this address is, and what the API takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from fairlead.api.deps import TheHouse

router = APIRouter(include_in_schema=False)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
code{{font-size:.9em}}td{{padding:.15rem 1rem .15rem 0;vertical-align:top}}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


@router.get("/")
async def front(house: TheHouse) -> HTMLResponse:
    """Say what this address is and where to go on."""
    url = escape(house.settings.url)
    body = (
        f"<p>Fairlead {escape(house.version)} runs here.</p>"
        f"<ul><li>On the command line: <code>fairlead login {url}</code></li>"
        f"<li>Models answer at <code>{url}/v1/models/NAME/predict</code>, their pages are at"
        f" <code>{url}/v1/models/NAME/docs</code></li>"
        '<li><a href="/docs/api">All that the API takes</a></li></ul>'
    )
    return HTMLResponse(_PAGE.format(title="Fairlead", body=body))


@router.get("/docs")
async def docs() -> RedirectResponse:
    return RedirectResponse("/docs/api")


@router.get("/docs/api")
async def docs_api(request: Request) -> HTMLResponse:
    """List every path of the API, with what it takes."""
    schema = request.app.openapi()
    rows = "\n".join(_rows(schema))
    intro = (
        "<p>Calls need <code>Authorization: Bearer fl_…</code>; machines read <code>/api/v1/openapi.json</code>.</p>"
    )
    return HTMLResponse(_PAGE.format(title="API of Fairlead", body=f"{intro}<table>{rows}</table>"))


def _rows(schema: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in sorted(schema["paths"].items()):
        for method, told in methods.items():
            says = escape(told.get("description") or told.get("summary") or "").partition("\n")[0]
            takes = escape(", ".join((*_parameters(told), *_fields(schema, told))))
            yield (
                f"<tr><td><code>{method.upper()}</code></td><td><code>{escape(path)}</code></td>"
                f"<td>{says}{f'<br><small>takes {takes}</small>' if takes else ''}</td></tr>"
            )


def _parameters(told: Mapping[str, Any]) -> list[str]:
    return [one["name"] for one in told.get("parameters", ()) if one["in"] == "query"]


def _fields(schema: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """Return the fields of a JSON body; those that are needed have a star."""
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = str(body.get("$ref", "")).rpartition("/")[2]
    found = schema.get("components", {}).get("schemas", {}).get(name, {})
    needed = set(found.get("required", ()))
    return [f"{field}*" if field in needed else field for field in found.get("properties", {})]
