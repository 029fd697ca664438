"""The few pages for people: what this address is, and what the API takes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
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
code{{font-size:.9em}}label{{display:block;margin:.4rem 0}}:root{{color-scheme:light dark}}
td{{padding:.15rem 1rem .15rem 0;vertical-align:top}}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
_SIGN_IN = """
<h2>Models</h2>
<form id="enter"><label>Name <input name="user" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form><p id="said">&nbsp;</p><ul id="models"></ul>
"""
_SCRIPT = """
"use strict";
const form = document.getElementById("enter"), said = document.getElementById("said");
const ask = (path, options) => fetch(path, { credentials: "same-origin", ...options });
async function list() {
  const answer = await ask("/api/v1/models");
  if (!answer.ok) return false;
  const { items } = await answer.json(), list = document.getElementById("models");
  list.replaceChildren(...items.map((one) => {
    const line = document.createElement("li"), link = document.createElement("a");
    link.href = "/v1/models/" + encodeURIComponent(one.name) + "/docs";
    link.textContent = one.name;
    line.append(link, one.summary ? " \u2013 " + one.summary : "");
    return line;
  }));
  form.hidden = true;
  said.textContent = items.length ? "" : "No model is there yet: fairlead push FOLDER";
  return true;
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  try {
    const headers = { "content-type": "application/json" };
    const answer = await ask("/api/v1/login", { method: "POST", headers, body });
    if (!answer.ok) said.textContent = (await answer.json()).error.message;
    else if (!(await list())) said.textContent = "Signed in, but this browser kept no cookie.";
  } catch (error) { said.textContent = error.message; }
});
list();
"""
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    f"frame-ancestors 'none'; script-src 'sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}'"
)
"""Of the front page: its own script alone runs, and speaks with this address alone."""


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
    text = _PAGE.format(title="Fairlead", body=f"{body}{_SIGN_IN}<script>{_SCRIPT}</script>")
    return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


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
