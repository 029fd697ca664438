"""A whole platform whose bucket is an S3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

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
