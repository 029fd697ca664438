"""The web page is served whole, packed, and strictly; what is not its own is not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from fairlead.keeper.doors.webdoor import WebDoor

PAGE, SCRIPT, PACKED = "<!doctype html><title>Fairlead</title>", "export default 1\n", b"\x1f\x8bpacked"


class Rig:
    def __init__(self, folder: Path) -> None:
        self.dist, self.socket = folder / "dist", folder / "web.sock"
        self.door = WebDoor(self.socket, "http://*.apps.localhost:8080", self.dist)
        (folder / "secret.txt").write_text("not yours")

    def build(self, page: str = PAGE) -> None:
        assets = self.dist / "assets"
        assets.mkdir(parents=True, exist_ok=True)
        (assets / "index-abc.js").write_text(SCRIPT)
        (assets / "index-abc.js.gz").write_bytes(PACKED)
        index = self.dist / "index.html"
        before = index.stat().st_mtime_ns if index.exists() else 0
        index.write_text(page)
        os.utime(index, ns=(before + 1_000_000_000, before + 1_000_000_000))

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connector = aiohttp.UnixConnector(path=str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
            session.get(f"http://door{path}", headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, {key.lower(): value for key, value in answer.headers.items()}, await answer.read()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="fl") as folder:
        made = Rig(Path(folder))
        await made.door.open()
        yield made
        await made.door.close()


async def test_any_place_in_the_page_is_its_one_document(rig: Rig) -> None:
    rig.build()
    for path in ("/ui/", "/ui/models", "/ui/models/flowers/versions", "/ui/a.b%20c"):
        status, headers, body = await rig.get(path)
        assert (status, body.decode()) == (200, PAGE)
        assert headers["cache-control"] == "no-cache"
        assert headers["content-type"] == "text/html; charset=utf-8"


async def test_the_policy_lets_no_script_and_no_style_run_that_is_not_a_file_of_ours(rig: Rig) -> None:
    rig.build()
    headers = (await rig.get("/ui/"))[1]

    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["frame-src"] == "http://*.apps.localhost:8080"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_what_has_a_hash_in_its_name_is_kept_for_good_and_sent_as_it_was_packed(rig: Rig) -> None:
    rig.build()
    status, headers, body = await rig.get("/ui/assets/index-abc.js", **{"Accept-Encoding": "gzip, br"})
    assert (status, body, headers["content-encoding"]) == (200, PACKED, "gzip")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["content-type"].startswith("text/javascript")

    status, headers, body = await rig.get("/ui/assets/index-abc.js", **{"Accept-Encoding": "identity"})
    assert (status, body.decode()) == (200, SCRIPT)
    assert "content-encoding" not in headers


@pytest.mark.parametrize("path", ["/ui/assets/index-old.js", "/ui/assets/", "/other"])
async def test_what_is_not_there_is_404(rig: Rig, path: str) -> None:
    rig.build()
    assert (await rig.get(path))[0] == 404


@pytest.mark.parametrize("path", ["/ui/../secret.txt", "/ui/%2e%2e/secret.txt", "/ui/assets/..%2f..%2fsecret.txt"])
async def test_no_path_leads_out_of_the_build(rig: Rig, path: str) -> None:
    rig.build()
    assert b"not yours" not in (await rig.get(path))[2]


async def test_a_document_that_one_has_is_not_sent_again_until_there_is_another_build(rig: Rig) -> None:
    rig.build()
    tag = (await rig.get("/ui/"))[1]["etag"]
    assert (await rig.get("/ui/", **{"If-None-Match": tag}))[::2] == (304, b"")

    rig.build("<!doctype html>another")
    assert (await rig.get("/ui/models", **{"If-None-Match": tag}))[::2] == (200, b"<!doctype html>another")


async def test_the_bare_path_leads_in_and_a_page_that_was_not_built_says_so(rig: Rig) -> None:
    assert (await rig.get("/ui"))[1]["location"] == "/ui/"
    status, headers, body = await rig.get("/ui/")
    assert (status, headers["cache-control"]) == (404, "no-store")
    assert b"make web" in body
