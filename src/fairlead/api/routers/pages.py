"""The few pages for people: what this address is, and what the API takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.orm import Session

from fairlead import web
from fairlead.accounts.policy import Caller
from fairlead.api import html
from fairlead.api.deps import TheHouse
from fairlead.api.routers import signin
from fairlead.api.views import modelstate
from fairlead.apps.pages import list_pages
from fairlead.control.house import House
from fairlead.models import queries

router = APIRouter(include_in_schema=False)
_QUOTED = re.compile("``([^`]+)``")
_SHOWN = 200
"""So many models and pages of apps are listed."""


@router.get("/", response_model=None)
async def front(request: Request, house: TheHouse) -> HTMLResponse | RedirectResponse:
    """Lead people to the web page; without one say what is where: to those signed in also what they may call."""
    if html.is_for_people(request) and web.is_built():
        return RedirectResponse(f"{web.BELOW}/", 303, headers={"Cache-Control": "no-store"})
    who = await signin.known(request, house)
    url = escape(house.settings.url)
    found = await house.database.read(lambda session: _what_is_there(session, who, house)) if who is not None else ""
    body = (
        f"<header><h1>Fairlead</h1>{_signed_in(who)}</header>{found}"
        f"<h2>From programs</h2><ul><li>On the command line: <code>fairlead login {url}</code></li>"
        f"<li>Models answer at <code>{url}/v1/models/NAME/predict</code>, their pages are at"
        f" <code>{url}/v1/models/NAME/docs</code></li>"
        '<li><a href="/docs/api">All that the API takes</a></li></ul>'
        f'<p class="soft">Fairlead {escape(house.version)}</p>'
    )
    return html.page("Fairlead", body)


def _signed_in(who: Caller | None) -> str:
    if who is None:
        return f'<a href="{signin.PATH}?next=/">Sign in</a>'
    return (
        f'<form method="post" action="/sign-out"><span class="soft">{escape(who.name)}'
        f" ({escape(', '.join(sorted(who.roles)))})</span><button>Sign out</button></form>"
    )


def _what_is_there(session: Session, who: Caller, house: House) -> str:
    models = queries.list_all(session, who)
    names = [one.name for one in models]
    versions, named = queries.versions_of_all(session, names), queries.aliases_of_all(session, names)
    alive = house.nodes.alive()
    rows = []
    for one in models[:_SHOWN]:
        state, what = modelstate.of(one.name, versions[one.name], named[one.name], alive)
        link = (
            f'<a href="/v1/models/{escape(one.name)}/docs">{escape(one.name)}</a>'
            if state.answers
            else escape(one.name)
        )
        tone = "good" if state.answers else "bad" if state.is_bad else "soft"
        rows.append((link, f'<span class="{tone}">{escape(state.word)}</span>', _told(one.summary, what)))
    pages = [
        (f'<a href="{escape(house.runs.address(one.name))}">{escape(one.name)}</a>',)
        for one in list_pages(session, who)
    ]
    return _listed("Models", rows, len(models), "none yet: fairlead push FOLDER") + _listed(
        "Pages of apps", pages[:_SHOWN], len(pages), "none now"
    )


def _told(summary: str, what: str) -> str:
    """Return the words beside a model: what it is, and what to do where it does not answer."""
    return "<br>".join(filter(None, (escape(summary), f"<small>{escape(what)}</small>" if what else "")))


def _listed(title: str, rows: Sequence[Sequence[str]], count: int, none: str) -> str:
    """Return a table of ``rows``, which are HTML, of ``count`` in all."""
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    more = f"<p>and {count - len(rows)} more</p>" if count > len(rows) else ""
    return f"<h2>{title}</h2>" + (f"<table>{lines}</table>{more}" if rows else f'<p class="soft">{escape(none)}</p>')


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
    return html.page("API of Fairlead", f"<h1>API of Fairlead</h1>{intro}<table>{rows}</table>")


def _rows(schema: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in sorted(schema["paths"].items()):
        for method, told in methods.items():
            says = _QUOTED.sub(r"<code>\1</code>", escape(_about(told)))
            takes = escape(", ".join((*_parameters(told), *_fields(schema, told))))
            yield (
                f"<tr><td><code>{method.upper()}</code></td><td><code>{escape(path)}</code></td>"
                f"<td>{says}{f'<br><small>takes {takes}</small>' if takes else ''}</td></tr>"
            )


def _about(told: Mapping[str, Any]) -> str:
    """Return what a route does, in its first sentence; one without words is called by its name."""
    return str(told.get("description") or told.get("summary") or "").partition("\n")[0]


def _parameters(told: Mapping[str, Any]) -> list[str]:
    return [one["name"] for one in told.get("parameters", ()) if one["in"] == "query"]


def _fields(schema: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """Return the fields of a JSON body; those that are needed have a star."""
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = str(body.get("$ref", "")).rpartition("/")[2]
    found = schema.get("components", {}).get("schemas", {}).get(name, {})
    needed = set(found.get("required", ()))
    return [f"{field}*" if field in needed else field for field in found.get("properties", {})]
