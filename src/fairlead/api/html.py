"""What all pages for people share: their frame, and what a browser may do with them."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.responses import HTMLResponse

_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,">
<style>
:root{{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#0f6b8a}}
@media(prefers-color-scheme:dark){{:root{{--accent:#5db9d8}}}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2.5rem auto;padding:0 1.25rem}}
body.narrow{{max-width:22rem;margin-top:12vh}}
h1{{font-size:1.5rem;margin:0 0 1rem}}h2{{font-size:1.05rem;margin:2rem 0 .5rem}}
a{{color:var(--accent)}}code{{font-size:.9em}}table{{border-collapse:collapse}}
td{{padding:.2rem 1rem .2rem 0;vertical-align:top}}
label{{display:block;margin:.9rem 0 .25rem;font-size:.95rem}}
input,button{{font:inherit;padding:.5rem 1rem;border:1px solid var(--line);border-radius:.4rem}}
input{{box-sizing:border-box;width:100%;padding:.5rem .6rem}}
button{{background:var(--soft);cursor:pointer}}
button.main{{width:100%;margin-top:1.25rem;border-color:var(--accent);background:var(--accent);color:Canvas}}
.wrong{{border-left:3px solid #d33;background:#d331;padding:.5rem .75rem;border-radius:.2rem}}
.soft{{opacity:.75;font-size:.9rem}}header{{display:flex;flex-wrap:wrap;justify-content:space-between;
align-items:baseline;gap:0 1rem}}
header button{{margin-left:.75rem;padding:.2rem .7rem}}
.good{{color:#1a7f37}}.bad{{color:#c2392b}}@media(prefers-color-scheme:dark){{.good{{color:#4cc38a}}.bad{{color:#ff8a7a}}}}
body,td{{overflow-wrap:anywhere}}
@media(max-width:40rem){{body{{margin-top:1rem}}table,tbody,tr,td{{display:block}}td{{padding:0}}
tr{{padding:.6rem 0;border-bottom:1px solid var(--line)}}}}
</style></head>
<body{kind}>
{body}
</body></html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer: with that a form's own Origin would be null
    "Referrer-Policy": "same-origin",
}
"""Pages of apps are other sites to a browser, though they are below the same domain: none may frame these."""


def page(title: str, body: str, *, status: int = 200, narrow: bool = False, leads_to: str = "") -> HTMLResponse:
    """Return a page of HTML ``body``; ``leads_to``: where else than here its forms may end."""
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self' {leads_to}".rstrip()
    text = _FRAME.format(title=escape(title), body=body, kind=' class="narrow"' if narrow else "")
    headers = _HEADERS | {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'; base-uri 'none'"}
    return HTMLResponse(text, status_code=status, headers=headers)


def is_for_people(request: Request) -> bool:
    """Whether a browser shows the answer to a person."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
