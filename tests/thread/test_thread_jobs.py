"""Jobs on a whole platform: what is told of them, and what they do to each other."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.guide import Section
from tests.thread import kit
from tests.thread.rig import Platform, platform, until

from fairlead import Client

_WORK = """
import os
import time
import fairlead

class M(fairlead.Model):
    def predict(self, n: int, nap_s: float = 0, die: bool = False) -> int:
        if die:
            time.sleep(0.2)  # others are in hand by then
            os._exit(7)
        time.sleep(nap_s)
        return n
"""
_STORY = """
import time
from collections.abc import Iterator
import fairlead

class M(fairlead.Model):
    def predict(self, words: int) -> Iterator[str]:
        for number in range(words):
            yield f"word {number}"
            time.sleep(0.4)
"""
_DRAW = """
import time
import fairlead
from fairlead import Image

PNG = b"\\x89PNG\\r\\n\\x1a\\n"

class M(fairlead.Model):
    def predict(self, prompt: str, steps: int = 3) -> dict:
        for step in range(1, steps + 1):
            fairlead.progress(step, steps, preview=Image(PNG + bytes([step]), media_type="image/png"))
            time.sleep(0.4)
        return {"picture": Image(PNG + prompt.encode(), media_type="image/png"), "seed": 7}
"""
_BOAT = '[[examples]]\ntitle = "A boat"\ninput = { prompt = "a boat", steps = 1 }\nexpect = { seed = 7 }\n'
LATE_S = 90


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that may call back a private host, with one model."""
    with platform(start=False) as made:
        made.home.mkdir(mode=0o711)
        (made.home / "settings.toml").write_text('callback_hosts = "127.0.0.1"\n')
        made.up()
        made.ok("push", str(kit.model(tmp_path_factory.mktemp("bundles") / "counts", _WORK, "[scale]\nmax = 1")))
        yield made


class Receiver(ThreadingHTTPServer):
    """Takes callbacks, and answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.came: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Taking)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/jobs"


class _Taking(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()


def submit(house: Platform, body: dict[str, Any], **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def ask() -> httpx.Response | None:
        with house.client() as client:
            answer = client.post("/v1/models/counts/jobs", json=body, headers=named)
        return None if answer.status_code == 503 else answer  # control was just killed

    answer = until(ask, "an answer", LATE_S)
    assert answer is not None
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(house: Platform, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        view = dict(house.get(f"/jobs/{job}", wait=10))
        return view if view["finished_at"] else {}

    return until(look, f"{job} ended", LATE_S)


def test_a_callback_into_the_machine_is_refused_at_the_door(house: Platform) -> None:
    with house.client() as client:
        for host in ("localhost", "10.0.0.1", "[::1]", "169.254.169.254", "0x7f000002"):
            headers = {"X-Callback-Url": f"http://{host}/"}
            answer = client.post("/v1/models/counts/jobs", json={"n": 1}, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "callback_private")


def test_the_end_of_a_job_is_told_once_signed_and_outlives_control(house: Platform) -> None:
    secret = house.ok("jobs", "secret").strip()
    names: dict[str, Any] = {}
    exec(Section("clients", "When a job has ended").scripts["python"][0], names)
    with receiver() as got:
        job = house.ok("jobs", "submit", "counts", "--set", "n=4", "--callback", got.url, "--deadline", "600").strip()
        until(lambda: got.came, "the callback", LATE_S)
        (headers, body), *others = got.came
        assert others == []
        assert names["is_genuine"](secret, headers, body)
        told = json.loads(body)
        assert (told["type"], told["data"]["id"], told["data"]["status"]) == ("job.succeeded", job, "succeeded")
        with house.client() as client:
            assert client.get(told["data"]["links"]["result"]).json() == 4

        got.status = 503
        job = submit(house, {"n": 5}, X_Callback_Url=got.url)
        until(lambda: len(got.came) == 2, "a first try", LATE_S)
        got.status = 200
        os.kill(house.pids()["control"], signal.SIGKILL)
        until(lambda: len(got.came) >= 3, "a second try, of another control", LATE_S)
        assert len({headers["webhook-id"] for headers, _ in got.came[1:]}) == 1
        assert len({body for _, body in got.came[1:]}) == 1
        until(lambda: _told(house, job) == ["delivered"], "it counts as told", LATE_S)


def _told(house: Platform, job: str) -> list[str]:
    return [one["status"] for one in house.get(f"/jobs/{job}/callbacks")["items"]]


def test_a_job_that_ends_its_replica_takes_others_with_it_once_at_most(house: Platform) -> None:
    began = time.monotonic()
    bad = submit(house, {"n": 0, "die": True})
    good = [submit(house, {"n": n, "nap_s": 0.01}) for n in range(1, 31)]
    done = [ended(house, job) for job in good]
    assert [one["status"] for one in done] == ["succeeded"] * 30
    assert max(one["attempts"] for one in done) <= 2
    assert time.monotonic() - began < LATE_S
    with house.client() as client:
        assert client.delete(f"/api/v1/jobs/{bad}").json()["status"] in {"canceled", "failed"}


def test_the_pieces_of_a_streaming_model_are_told_while_its_job_runs(house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.model(tmp_path / "story", _STORY)))
    with Client(house.url, house.token) as client:
        job = client.model("story").submit(words=6)
        events = list(job.events())
        pieces = [said for name, said in events if name == "partial"]
        assert [one["piece"] for one in pieces] == [f"word {number}" for number in range(6)]
        assert {one["attempt"] for one in pieces} == {1}
        running = [said["status"] for name, said in events if name == "progress"]
        assert "running" in running
        assert [name for name, _ in events][-1] == "done"
        assert job.result(timeout_s=LATE_S) == [f"word {number}" for number in range(6)]


def test_a_picture_is_followed_while_it_is_made_kept_and_shown_by_its_link(house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.model(tmp_path / "draw", _DRAW, examples=_BOAT)))
    until(lambda: house.get("/models/draw/versions/1")["evidence"], "it is told how the example went")
    evidence = house.get("/models/draw")["versions"][0]["evidence"]
    assert (evidence["ok"], [one["title"] for one in evidence["examples"]]) == (True, ["A boat"])
    with Client(house.url, house.token) as client:
        job = client.model("draw").submit(prompt="a boat")
        told = [said["piece"] for name, said in job.events() if name == "partial"]
    assert [one["step"] for one in told] == [1, 2, 3]
    assert all(one["preview"].startswith("data:image/png;base64,") for one in told)

    view = house.view("gallery", "keep", job.id, "--title", "Boat", "--visibility", "public")
    assert (view["model"], view["prompt"], view["seed"], view["job"]) == ("draw", "a boat", 7, job.id)
    file = tmp_path / "boat.png"
    house.ok("gallery", "get", view["id"], "-o", str(file))
    assert file.read_bytes() == b"\x89PNG\r\n\x1a\na boat"
    assert "Boat" in house.ok("gallery", "--model", "draw")

    with house.client(token="") as anybody:
        shown = anybody.get(view["links"]["content"])
        assert (shown.status_code, shown.content) == (200, file.read_bytes())
        assert anybody.get(httpx.URL(view["url"]).path).json()["title"] == "Boat"
        assert anybody.get("/api/v1/gallery").status_code == 401
        house.ok("gallery", "set", view["id"], "--visibility", "team")
        assert anybody.get(view["links"]["content"]).status_code == 401
    house.ok("gallery", "rm", view["id"])
    added = house.view("gallery", "add", "draw", str(file), "--set", "prompt=a boat", "--title", "By hand")
    assert (added["content_type"], added["prompt"], added["job"]) == ("image/png", "a boat", None)
    assert house.cli("gallery", "show", view["id"]).returncode == 3
