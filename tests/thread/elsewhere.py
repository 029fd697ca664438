"""The page's built files as a bucket serves them: another origin, plain files, headers that the guide asks for."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fairlead.keeper.doors.webdoor import policy
from fairlead.web import BELOW, DIST


class Files(SimpleHTTPRequestHandler):
    """Serves a folder with the policy of the page, which may ask one platform besides."""

    def __init__(self, *args: Any, platforms: list[str], **named: Any) -> None:
        self._platforms = platforms
        super().__init__(*args, **named)

    def translate_path(self, path: str) -> str:
        """Answer what is no file with the document, as the "error document" of a bucket."""
        found = Path(super().translate_path(path))
        return str(found if found.exists() else Path(self.directory, BELOW.strip("/"), "index.html"))

    def end_headers(self) -> None:
        connect = " ".join(["connect-src 'self'", *self._platforms])
        self.send_header(
            "Content-Security-Policy", policy("http://*.apps.localhost").replace("connect-src 'self'", connect)
        )
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Bucket:
    """Files at an origin of their own."""

    def __init__(self, server: ThreadingHTTPServer, folder: Path, platforms: list[str]) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self._folder, self._platforms = folder, platforms

    def point_at(self, platform: str) -> None:
        """Put the built files there, and say beside them where their platform is."""
        shutil.copytree(DIST, self._folder / BELOW.strip("/"), dirs_exist_ok=True)
        (self._folder / BELOW.strip("/") / "settings.json").write_text(json.dumps({"api": platform}))
        self._platforms.append(platform)


@contextmanager
def bucket(folder: Path) -> Iterator[Bucket]:
    """Yield a server of what is put into ``folder``."""
    platforms: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder), platforms=platforms))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Bucket(server, folder, platforms)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
