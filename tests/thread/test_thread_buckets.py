"""A whole platform whose bucket is an S3."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests import stores
from tests.thread.kit import model
from tests.thread.rig import Platform, platform

pytestmark = pytest.mark.timeout(300)
ECHO = """
import hashlib
import os

import fairlead


class M(fairlead.Model):
    def predict(self, file: fairlead.File) -> fairlead.File:
        data = file.read()
        if data == b"who":
            return fairlead.File(str(sorted(os.environ)).encode(), media_type="text/plain")
        return fairlead.File(data[::-1], media_type="image/x-test")
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[stores.S3]:
    with stores.s3() as store:
        yield store


@pytest.fixture(scope="module")
def house(s3: stores.S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    url = s3.make("cloud")
    with platform(start=False) as made:
        made.more_env = dict(s3.env)
        made.home.mkdir()
        (made.home / "settings.toml").write_text(f'bucket = "{url}/lab"\n')
        made.up()
        made.ok("push", str(model(tmp_path_factory.mktemp("m") / "echo", ECHO, more="[scale]\nmin = 1\nmax = 1\n")))
        yield made


def test_pushed_called_and_kept_in_s3(house: Platform, s3: stores.S3, tmp_path: Path) -> None:
    assert len(s3.keys("cloud", "lab/bundles/")) == 1
    data = bytes(range(256)) * 40_000
    with house.client() as client:
        answer = client.post("/v1/models/echo/predict", content=data, headers={"Content-Type": "image/png"})
        assert answer.content == data[::-1]
        headers = {"Content-Type": "image/png", "Content-Disposition": 'attachment; filename="a b.png"'}
        job = client.post("/v1/models/echo/jobs", content=data, headers=headers).json()["id"]
        view = client.get(f"/api/v1/jobs/{job}", params={"wait": 60}).json()
        assert view["status"] == "succeeded", view
        result = client.get(f"/api/v1/jobs/{job}/result")
    assert hashlib.sha256(result.content).digest() == hashlib.sha256(data[::-1]).digest()
    assert result.headers["content-type"] == "image/x-test"
    assert s3.keys("cloud", "lab/in/") == [f"lab/in/echo/{job}/a%20b.png"]
    assert s3.keys("cloud", "lab/out/") == [f"lab/out/echo/{job}/1"]
    assert list((house.home / "bucket").rglob("*")) == []


def test_bundles_do_not_learn_how_the_platform_signs_in(house: Platform) -> None:
    with house.client() as client:
        said = client.post("/v1/models/echo/predict", content=b"who", headers={"Content-Type": "image/png"}).text
    assert "PATH" in said
    assert "AWS_" not in said


MB = 1024**2


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("folder", 96 * MB),
        pytest.param("folder", 200 * MB, marks=pytest.mark.long),
        pytest.param("s3", 200 * MB, marks=pytest.mark.long),
    ],
)
def test_large_payloads_are_never_whole_in_the_platform(kind: str, size: int, s3: stores.S3, tmp_path: Path) -> None:
    with platform(start=False) as house:
        house.home.mkdir()
        lines = [f"body_max_bytes = {size + 1024}"]
        if kind == "s3":
            house.more_env = dict(s3.env)
            lines.append(f'bucket = "{s3.make("large")}"')
        (house.home / "settings.toml").write_text("\n".join(lines) + "\n")
        house.up()
        more = "[resources]\nmemory_mb = 2000\n[scale]\nmin = 1\nmax = 1\n"
        house.ok("push", str(model(tmp_path / "echo", ECHO, more=more)))
        assert house.process is not None
        pids = {"keeper": house.process.pid, "control": house.pids()["control"]}
        block, count = os.urandom(MB), size // MB
        mirrored, sent = hashlib.sha256(), hashlib.sha256()
        for _ in range(count):
            mirrored.update(block[::-1])
            sent.update(block)
        # what is sent once makes the programs as large as they are at work
        assert _through(house, [block] * 12) != ""
        with _peaks(pids) as peaks:
            assert _through(house, [block] * count) == mirrored.hexdigest()
        grown = {name: peak - first for name, (first, peak) in peaks.items()}
        assert max(grown.values()) < size // 2, {name: f"{size / 1e6:.0f} MB" for name, size in grown.items()}
        assert not list((house.home / "keeper" / "results").glob("*")), "what is in the bucket lies nowhere else"


def _through(house: Platform, blocks: list[bytes]) -> str:
    """Keep a call with ``blocks`` as its input; returns the SHA-256 of what came of it."""
    size = sum(map(len, blocks))
    headers = {"Content-Type": "image/png", "Content-Length": str(size)}
    with house.client(timeout_s=120) as client:
        kept = client.post("/v1/models/echo/jobs", content=iter(blocks), headers=headers)
        assert kept.status_code == 202, kept.text
        job = kept.json()["id"]
        view = client.get(f"/api/v1/jobs/{job}", params={"wait": 120}).json()
        assert view["status"] == "succeeded", view
        found, length = hashlib.sha256(), 0
        with client.stream("GET", f"/api/v1/jobs/{job}/result") as answer:
            assert answer.headers["content-length"] == str(size)
            for part in answer.iter_bytes():
                found.update(part)
                length += len(part)
    assert length == size
    return found.hexdigest()


@contextmanager
def _peaks(pids: Mapping[str, int]) -> Iterator[dict[str, tuple[int, int]]]:
    """Yield what will hold the memory of processes before, and the most that they had meanwhile."""
    found: dict[str, tuple[int, int]] = {}
    over = threading.Event()

    def watch() -> None:
        processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        for name, process in processes.items():
            size = process.memory_info().rss
            found[name] = (size, size)
        while not over.wait(0.02):
            for name, process in processes.items():
                first, peak = found[name]
                found[name] = (first, max(peak, process.memory_info().rss))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
