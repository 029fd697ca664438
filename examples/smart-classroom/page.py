"""The page: today's list and the room, which follows by itself (server-sent events). Plain ASGI, no library."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
PING_S = 15.0
"""Something is said so often, so that nobody between takes the connection for dead."""
HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'"
MARKS = {"present": "✓", "late": "late", "absent": "absent", "not taken": "not taken", "pending": "…"}


@dataclass(frozen=True)
class View:
    """What the page shows."""

    place: str = ""
    date: str = ""
    time: str = ""
    lessons: Sequence[str] = ()
    rows: Sequence[tuple[str, str, str, str]] = ()
    """Lesson, name, status, and when first seen."""
    people: Sequence[str] = ()
    guests: Mapping[str, int] = field(default_factory=dict)
    celsius: float | None = None
    lux: float | None = None
    occupied: bool = False
    lamps: bool | None = None
    cooler: bool | None = None
    trouble: str = ""
    days: Sequence[str] = ()


class Site:
    """Serves the newest view."""

    def __init__(self) -> None:
        self.view = View()
        self.tables: dict[str, str] = {}
        """Attendance by date, as CSV."""
        self._changed = asyncio.Event()
        self._closed = False

    def show(self, view: View) -> None:
        if view != self.view:
            self.view = view
            self._wake()

    def close(self) -> None:
        """End the streams."""
        self._closed = True
        self._wake()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, query = scope["path"], parse_qs(scope.get("query_string", b"").decode())
        if scope["method"] not in ("GET", "HEAD"):
            await answer(send, 405, "text/plain", "GET only\n", [(b"allow", b"GET, HEAD")])
        elif path == "/healthz":
            await answer(send, 200, "text/plain", "ok\n")
        elif path == "/":
            await answer(send, 200, "text/html", document(self.view))
        elif path in ("/page.js", "/page.css"):
            kind = "text/javascript" if path.endswith("js") else "text/css"
            await answer(send, 200, kind, (HERE / path[1:]).read_text(encoding="utf-8"))
        elif path == "/events":
            await self._follow(receive, send)
        elif path == "/attendance.csv":
            await self._table(send, query.get("date", [max(self.tables, default="")])[0])
        else:
            await answer(send, 404, "text/plain", "there is /, /attendance.csv and /events\n")

    async def _table(self, send: Send, date: str) -> None:
        if date not in self.tables:
            await answer(send, 404, "text/plain", f"there is no list of {date}; there are {sorted(self.tables)}\n")
            return
        name = f'attachment; filename="attendance-{date}.csv"'.encode()
        await answer(send, 200, "text/csv", self.tables[date], [(b"content-disposition", name)])

    async def _follow(self, receive: Receive, send: Send) -> None:
        """Send the view now and each time it changes, until the reader leaves."""
        await send(start(200, "text/event-stream"))
        gone = asyncio.create_task(left(receive))
        shown: View | None = None
        try:
            while not gone.done() and not self._closed:
                changed, text = self._changed, ": still here\n\n"
                if self.view is not shown:
                    shown = self.view
                    text = f"data: {json.dumps(main(shown))}\n\n"
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                news = asyncio.create_task(changed.wait())
                await asyncio.wait({gone, news}, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def start(status: int, kind: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
    usual = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-security-policy", POLICY.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return {"type": "http.response.start", "status": status, "headers": [*usual, *headers]}


async def answer(send: Send, status: int, kind: str, text: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    body = text.encode()
    await send(start(status, kind, [(b"content-length", str(len(body)).encode()), *headers]))
    await send({"type": "http.response.body", "body": body})


def document(view: View) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(view.place)}</title><link rel="stylesheet" href="page.css">'
        '<noscript><meta http-equiv="refresh" content="30"></noscript></head>'
        f'<body><main>{main(view)}</main><p id="link" role="status"></p>'
        '<script src="page.js"></script></body></html>'
    )


def main(view: View) -> str:
    """Return what changes of the page."""
    trouble = f'<p class="trouble">{escape(view.trouble)}</p>' if view.trouble else ""
    return f"<h1>{escape(view.place)}</h1><p>{escape(view.date)}, {view.time}</p>{room(view)}{trouble}{listed(view)}"


def room(view: View) -> str:
    """Return the tiles of the room."""
    tiles = [("Room", "occupied" if view.occupied else "empty")]
    if view.celsius is not None:
        tiles.append(("Temperature", f"{view.celsius:.1f} °C"))
    if view.lux is not None:
        tiles.append(("Light", f"{view.lux:.0f} lx"))
    tiles += [
        (name, "on" if value else "off")
        for name, value in (("Lamps", view.lamps), ("Air conditioner", view.cooler))
        if value is not None
    ]
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles) + "</dl>"


def listed(view: View) -> str:
    """Return the table of people and lessons."""
    if not view.lessons:
        return "<p>No lesson has begun today.</p>"
    cells = {(lesson, name): (status, seen) for lesson, name, status, seen in view.rows}
    head = "".join(f'<th scope="col">{lesson}</th>' for lesson in view.lessons)
    body = ""
    for name in view.people:
        body += f'<tr><th scope="row">{escape(name)}</th>'
        for lesson in view.lessons:
            status, seen = cells.get((lesson, name), ("", ""))
            kind = "pending" if status == "not taken" else status
            body += f'<td class="{kind}" aria-label="{status} {seen}">{MARKS.get(status, "")}<small>{seen}</small></td>'
        body += "</tr>"
    guests = "".join(f"<td>{view.guests.get(lesson, 0) or ''}</td>" for lesson in view.lessons)
    foot = f'<tr><th scope="row">Guests</th>{guests}</tr>' if any(view.guests.values()) else ""
    links = ", ".join(f'<a href="attendance.csv?date={day}">{day}</a>' for day in reversed(view.days))
    return (
        f'<div class="scroll"><table><thead><tr><th scope="col">Name</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div><p>As CSV: {links}</p>"
    )
