"""arXiv and Hugging Face asked by their own clients, at a server of this test in their place."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fairlead.errors import NotFound, Unavailable
from fairlead.hub.cards import ARXIV, HUGGINGFACE, Ref
from fairlead.hub.sites import Sites

FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"
 xmlns:arxiv="http://arxiv.org/schemas/atom">
<title>query</title><id>x</id><updated>2026-01-01T00:00:00Z</updated>
<opensearch:totalResults>{count}</opensearch:totalResults><opensearch:startIndex>0</opensearch:startIndex>
<opensearch:itemsPerPage>1</opensearch:itemsPerPage>{entry}</feed>"""
ENTRY = """<entry><id>http://arxiv.org/abs/2112.10752v2</id><updated>2022-04-13T11:38:44Z</updated>
<published>2021-12-20T18:55:25Z</published><title>Latent
 Diffusion</title><summary>By decomposing the image formation.</summary>
<author><name>Robin Rombach</name></author><author><name>Andreas Blattmann</name></author>
<link href="http://arxiv.org/abs/2112.10752v2" rel="alternate" type="text/html"/>
<link title="pdf" href="http://arxiv.org/pdf/2112.10752v2" rel="related" type="application/pdf"/>
<arxiv:primary_category term="cs.CV"/><category term="cs.CV"/></entry>"""
MODEL = {
    "_id": "1",
    "id": "owner/name",
    "author": "owner",
    "sha": "abc",
    "lastModified": "2026-01-02T03:04:05.000Z",
    "private": False,
    "gated": False,
    "disabled": False,
    "downloads": 12,
    "likes": 3,
    "tags": ["diffusers", "license:mit"],
    "pipeline_tag": "text-to-image",
    "library_name": "diffusers",
    "cardData": {"license": "mit", "datasets": "laion", "base_model": ["a/b"]},
    "siblings": [],
}


class World(BaseHTTPRequestHandler):
    """Both sites: ``/api/query`` and ``/api/models/…``."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/query"):
            known = "2112.10752" in self.path
            self._say(200, FEED.format(count=int(known), entry=ENTRY if known else ""), "application/atom+xml")
        elif self.path.startswith("/api/models/owner/name"):
            self._say(200, json.dumps(MODEL), "application/json")
        elif self.path.startswith("/api/models/owner/gone"):
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._say(400, "{}", "application/json")

    def _say(self, status: int, text: str, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def world() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), World)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_arxiv_tells_of_a_paper_and_says_where_there_is_none(world: str) -> None:
    pytest.importorskip("arxiv", reason="the extra hub is not installed")
    sites = Sites(arxiv_url=world)

    found = sites.ask(Ref(ARXIV, "2112.10752"))
    assert (found["id"], found["title"]) == ("2112.10752v2", "Latent Diffusion")
    assert found["authors"] == ["Robin Rombach", "Andreas Blattmann"]
    assert (found["published"][:10], found["categories"]) == ("2021-12-20", ["cs.CV"])
    assert found["pdf"] == "http://arxiv.org/pdf/2112.10752v2"

    with pytest.raises(NotFound) as refused:
        sites.ask(Ref(ARXIV, "9999.99999"))
    assert refused.value.code == "site_unknown"


def test_hugging_face_tells_of_weights_and_says_where_there_are_none(world: str) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    sites = Sites(huggingface_url=world)

    found = sites.ask(Ref(HUGGINGFACE, "owner/name"))
    assert (found["id"], found["author"], found["task"]) == ("owner/name", "owner", "text-to-image")
    assert (found["license"], found["datasets"], found["base_model"]) == ("mit", ["laion"], "a/b")
    assert (found["downloads"], found["likes"], found["last_modified"][:10]) == (12, 3, "2026-01-02")

    with pytest.raises(NotFound):
        sites.ask(Ref(HUGGINGFACE, "owner/gone"))
    with pytest.raises(Unavailable) as refused:
        sites.ask(Ref(HUGGINGFACE, "owner/broken"))
    assert refused.value.code == "site_down"


@pytest.mark.parametrize(
    "ref", [Ref(ARXIV, "2112.10752"), Ref(HUGGINGFACE, "owner/name")], ids=["arxiv", "huggingface"]
)
def test_a_site_that_is_not_there_is_told_as_that(ref: Ref) -> None:
    pytest.importorskip("arxiv", reason="the extra hub is not installed")
    nowhere = "http://127.0.0.1:1"

    with pytest.raises(Unavailable) as refused:
        Sites(nowhere, nowhere).ask(ref)
    assert refused.value.code == "site_down"


def test_without_the_clients_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("arxiv", "huggingface_hub"):
        monkeypatch.setitem(__import__("sys").modules, name, None)

    for ref in (Ref(ARXIV, "2112.10752"), Ref(HUGGINGFACE, "owner/name")):
        with pytest.raises(Unavailable) as refused:
            Sites().ask(ref)
        assert refused.value.code == "site_extra_missing"
