"""Serves the built web page on a Unix socket that only the front door reaches (ADR 36).

Files are read once, whole and packed as the build left them, and answered from memory; a build that comes while the
platform runs is taken at the next look. What is no file below ``assets`` is a place in the page: its script decides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from fairlead.supervisor.aside import aside
from fairlead.web import BELOW, DIST

_INDEX = "index.html"
_ASSETS = "assets/"
"""Their names hold a hash of what is in them."""
_KINDS: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_PACKED = {"br": ".br", "gzip": ".gz"}
"""Encodings in the order we like them, and how the build names files that are packed so."""
_NOT_BUILT = "the web page is not built: run make web, or use the command line\n"


@dataclass
class _File:
    kind: str
    plain: bytes = b""
    packed: dict[str, bytes] = field(default_factory=dict)
    tag: str = ""


def policy(apps: str) -> str:
    """Return the ``Content-Security-Policy`` of the page; ``apps``: where pages of apps are, which it may frame."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; manifest-src 'self'; worker-src 'self'; "
        f"frame-src {apps}; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )


class WebDoor:
    """Answers the page's files, and its one document for every other path below it."""

    def __init__(self, socket: Path, apps: str, dist: Path = DIST) -> None:
        """``apps`` is where pages of apps are, as a source of a policy."""
        self._socket, self._dist = socket, dist
        self._files: dict[str, _File] = {}
        self._read_at = -1
        self._runner: web.AppRunner | None = None
        self._headers = {
            "Content-Security-Policy": policy(apps),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }

    async def open(self) -> None:
        """Begin to listen."""
        self._socket.unlink(missing_ok=True)
        app = web.Application()
        app.router.add_get(BELOW, self._lead_in)
        app.router.add_get(BELOW + "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()
        os.chmod(self._socket, 0o600)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _lead_in(self, request: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": f"{BELOW}/"})

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        found = self._files.get(path) if path.startswith(_ASSETS) else None
        if found is None:  # what has a hash in its name is never another, all else may have been built anew
            await aside(self._look)
            found = self._files.get(path or _INDEX)
        if found is None and not path.startswith(_ASSETS):
            found = self._files.get(_INDEX)
        if found is None:
            why = "no such file\n" if self._files else _NOT_BUILT
            return web.Response(status=404, text=why, headers={"Cache-Control": "no-store"})
        return self._of_file(request, found, lasts=path.startswith(_ASSETS))

    def _of_file(self, request: web.Request, found: _File, *, lasts: bool) -> web.Response:
        headers = dict(self._headers)
        headers["Cache-Control"] = "public, max-age=31536000, immutable" if lasts else "no-cache"
        headers |= {"ETag": found.tag, "Vary": "Accept-Encoding"}
        if any(one.value == found.tag.strip('"') for one in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        body, accepted = found.plain, request.headers.get("Accept-Encoding", "")
        for name, packed in found.packed.items():
            if name in accepted:
                headers["Content-Encoding"], body = name, packed
                break
        return web.Response(body=body, headers=headers | {"Content-Type": found.kind})

    def _look(self) -> None:
        """Read all files where there is another build than was read last."""
        try:
            made_at = (self._dist / _INDEX).stat().st_mtime_ns
        except FileNotFoundError:
            return
        if made_at == self._read_at:
            return
        found: dict[str, _File] = {}
        for path in sorted(self._dist.rglob("*")):
            if path.suffix in _KINDS and path.is_file():
                found[path.relative_to(self._dist).as_posix()] = _read(path)
        self._files, self._read_at = found, made_at


def _read(path: Path) -> _File:
    plain = path.read_bytes()
    beside = {name: path.with_name(path.name + ending) for name, ending in _PACKED.items()}
    packed = {name: file.read_bytes() for name, file in beside.items() if file.is_file()}
    return _File(_KINDS[path.suffix], plain, packed, f'"{sha256(plain).hexdigest()[:32]}"')
