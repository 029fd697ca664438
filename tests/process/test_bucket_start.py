"""What ``up`` and ``doctor`` say of a bucket that cannot be used; nothing is started then."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests import stores
from tests.thread.rig import FAIRLEAD, free_ports

from fairlead.buckets import claim
from fairlead.buckets.obstore import open_bucket
from fairlead.errors import Unavailable
from fairlead.keeper import storage
from fairlead.settings import Home, Settings

CLOUDS = ("AWS_", "GOOGLE_", "AZURE_", "FAIRLEAD_")
UNKNOWN = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist in our records.</Message></Error>"


@pytest.fixture(scope="module")
def s3() -> Iterator[stores.S3]:
    with stores.s3() as store:
        yield store


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """Yield the address of a store that knows nobody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"] or 0))
            self.send_response(403)
            self.send_header("content-length", str(len(UNKNOWN)))
            self.end_headers()
            self.wfile.write(UNKNOWN)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def run(home: Path, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CLOUDS)}
    own = {"FAIRLEAD_CONFIG": str(home.parent / "config"), "FAIRLEAD_HOME": str(home)}
    return subprocess.run(
        [FAIRLEAD, *arguments], env=kept | own | dict(env), capture_output=True, text=True, timeout=100, check=False
    )


def refused(home: Path, url: str, env: Mapping[str, str], exit_code: int, code: str, said: str, hint: str) -> None:
    """Check what ``up`` and ``doctor`` say, and that nothing was started."""
    front, mqtt = free_ports(2)
    at = ("--listen", f"127.0.0.1:{front}", "--devices", f"127.0.0.1:{mqtt}")
    done = run(home, "up", "--bucket", url, *at, env=env)
    assert done.returncode == exit_code, done.stderr
    error, told = done.stderr.strip().splitlines()[-2:]
    assert said in error
    assert hint in told
    assert f"({code}" in told
    assert not list((home / "children").glob("*")) if home.exists() else True
    looked = run(home, "--json", "doctor", env={**env, "FAIRLEAD_BUCKET": url})
    (found,) = [one for one in json.loads(looked.stdout)["checks"] if one["name"] == "bucket"]
    assert not found["ok"]
    assert said in found["said"]
    assert hint in found["hint"]


def test_a_bucket_that_is_not_there_is_named(s3: stores.S3, tmp_path: Path) -> None:
    refused(tmp_path / "home", "s3://nowhere-to-be", s3.env, 6, "bucket_missing", "no bucket nowhere-to-be", "make it")


def test_credentials_that_are_refused_are_named(tmp_path: Path) -> None:
    with refusing() as address:
        env = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "eu",
        }
        said = "s3://pictures refuses us: InvalidAccessKeyId: The key does not exist in our records."
        refused(tmp_path / "home", "s3://pictures", env, 6, "bucket_refused", said, "AWS_ACCESS_KEY_ID")


def test_credentials_that_are_missing_are_named(tmp_path: Path) -> None:
    # where a machine of AWS would be asked for its role nobody listens
    env = {"AWS_METADATA_ENDPOINT": "http://127.0.0.1:1", "AWS_REGION": "eu-central-1"}
    refused(tmp_path / "home", "s3://pictures", env, 6, "bucket_no_credentials", "no credentials", "AWS_ACCESS_KEY_ID")


def test_a_store_that_cannot_be_reached_is_named(s3: stores.S3, tmp_path: Path) -> None:
    env = {**s3.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    refused(tmp_path / "home", "s3://pictures", env, 6, "bucket_down", "nobody listens there", "AWS_ENDPOINT_URL")


def test_what_is_no_bucket_at_all_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "home", "ftp://pictures", {}, 5, "bad_bucket", "ftp is no store", "s3://BUCKET/PREFIX")


def test_a_bucket_of_another_installation_is_left_alone(
    s3: stores.S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    url = s3.make("shared")
    first, second = (Home(tmp_path / name) for name in ("one", "two"))
    for home in (first, second):
        home.keeper.mkdir(parents=True)
    storage.take(Settings(home=first.root, bucket=f"{url}/a"), first)
    storage.take(Settings(home=first.root, bucket=f"{url}/a"), first)
    assert s3.keys("shared") == [f"a/{claim.OWNER_KEY}"]
    front, mqtt = free_ports(2)
    at = ("--listen", f"127.0.0.1:{front}", "--devices", f"127.0.0.1:{mqtt}")
    done = run(tmp_path / "other", "up", "--bucket", f"{url}/a", *at, env=s3.env)
    assert done.returncode == 4
    assert "belongs to another installation" in done.stderr
    assert "(bucket_in_use" in done.stderr
    storage.take(Settings(home=second.root, bucket=f"{url}/b"), second)


def test_a_known_bucket_that_is_away_for_a_while_keeps_nobody_from_starting(
    s3: stores.S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    home = Home(tmp_path / "home")
    home.keeper.mkdir(parents=True)
    settings = Settings(home=home.root, bucket=s3.make("known"))
    storage.take(settings, home)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    storage.take(settings, home)
    assert "s3://known cannot be reached" in caplog.text
    with pytest.raises(Unavailable):
        storage.take(Settings(home=home.root, bucket="s3://another"), home)
    assert open_bucket(settings.bucket or "").place == home.bucket_known.read_text()
