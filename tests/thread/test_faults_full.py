"""A full disk for the database, the bucket or the bus, each alone: what was accepted is done, what cannot be kept is
refused and says why, and once there is room again everything goes on by itself."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.thread.kit import model
from tests.thread.rig import Platform, platform, until

pytestmark = pytest.mark.timeout(300)
LARGER = """
import fairlead


class M(fairlead.Model):
    def predict(self, n: int, kb: int = 0, pad: str = "") -> dict:
        return {"n": n, "pad": "x" * (kb * 1024)}
"""
HEALED_S = 60.0


@contextmanager
def small_disk(folder: Path, size: str = "48m") -> Iterator[Path]:
    """Yield ``folder``, which is a disk of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Have no byte left on the disk of ``folder``."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1024**2, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size):
                        pass
        with pytest.raises(OSError) as refused:
            (folder / "more").write_bytes(b"x" * 4096)
        assert refused.value.errno == errno.ENOSPC
        (folder / "more").unlink(missing_ok=True)
        yield
    finally:
        filler.unlink(missing_ok=True)


def begun(house: Platform, tmp_path: Path, settings: str = "") -> None:
    house.home.mkdir(exist_ok=True)
    (house.home / "settings.toml").write_text(settings)
    house.up()
    house.ok("push", str(model(tmp_path / "larger", LARGER, more="[scale]\nmin = 1\nmax = 1\n")))


def submit(client: httpx.Client, key: str, **body: Any) -> httpx.Response:
    return client.post("/v1/models/larger/jobs", json=body, headers={"Idempotency-Key": key})


def predicts(client: httpx.Client) -> bool:
    return client.post("/v1/models/larger/predict", json={"n": 7}).json() == {"n": 7, "pad": ""}


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert error["code"] == "disk_full", error
    assert error["hint"]
    assert int(answer.headers["retry-after"]) >= 1


def ends_well(client: httpx.Client, job: str, n: int) -> None:
    """Wait until a job has ended; its result is the one that its input asks for."""

    def view() -> Any:
        answer = client.get(f"/api/v1/jobs/{job}")
        return answer.json() if answer.status_code == 200 else {"status": f"not told: {answer.text}"}

    until(lambda: view()["status"] in ("succeeded", "failed"), "the job ends", HEALED_S)
    assert view()["status"] == "succeeded", view()
    assert client.get(f"/api/v1/jobs/{job}/result").json()["n"] == n


def ids(client: httpx.Client) -> set[str]:
    return {one["id"] for one in client.get("/api/v1/jobs", params={"limit": 500}).json()["items"]}


def objects(folder: Path, prefix: str) -> list[str]:
    return [str(file.relative_to(folder)) for file in (folder / prefix).rglob("*") if file.is_file()]


def test_a_full_bucket_takes_small_jobs_and_refuses_large_ones(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, platform(start=False) as house:
        bucket = disk / "bucket"
        begun(house, tmp_path, f'bucket = "{bucket}"\n')
        with house.client() as client:
            with full(disk):
                small = submit(client, "small", n=1)
                assert small.status_code == 202, small.text
                ends_well(client, small.json()["id"], 1)
                refused(submit(client, "large", n=2, pad="x" * 8_000_000))
                assert objects(bucket, "in") == []
                assert len(ids(client)) == 1
                waits = submit(client, "result", n=3, kb=4096).json()["id"]
                until(lambda: client.get(f"/api/v1/jobs/{waits}").json()["attempts"] == 1, "it began")
                assert predicts(client)
                assert objects(bucket, "out") == []
                pushed = house.cli("push", str(model(tmp_path / "other", LARGER)))
                assert pushed.returncode == 6, pushed.stderr
                assert "(disk_full" in pushed.stderr
                assert client.get(f"/api/v1/jobs/{waits}").json()["status"] == "running"
            ends_well(client, waits, 3)
            again = submit(client, "large", n=2, pad="x" * 8_000_000)
            assert again.status_code == 202, again.text
            ends_well(client, again.json()["id"], 2)
            assert client.get(f"/api/v1/jobs/{waits}").json()["attempts"] == 1
        house.ok("push", str(tmp_path / "other"))


def test_a_full_disk_of_the_database_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, platform(start=False) as house:
        begun(house, tmp_path, f'store = "sqlite:///{disk}/fairlead.sqlite3"\n')
        with house.client() as client:
            before = {n: submit(client, f"b{n}", n=n).json()["id"] for n in range(5)}
            accepted, said = {}, []
            with full(disk):
                deadline = time.monotonic() + HEALED_S
                while not said and time.monotonic() < deadline:
                    n = 100 + len(accepted)
                    answer = submit(client, f"f{n}", n=n, pad="x" * 20_000)
                    if answer.status_code == 202:
                        accepted[n] = answer.json()["id"]
                    else:
                        said.append(answer)
                refused(said[0])
                assert predicts(client)
                assert client.get("/api/v1/jobs").status_code == 200, "what is there can be read"
            for n, job in (before | accepted).items():
                ends_well(client, job, n)
            until(lambda: submit(client, "after", n=8).status_code == 202, "jobs are taken again", HEALED_S)
            assert len(ids(client)) == len(before) + len(accepted) + 1, "what was refused was not kept"
            refused_before = submit(client, f"f{100 + len(accepted)}", n=100 + len(accepted), pad="x" * 20_000)
            assert refused_before.status_code == 202, "its key stands for nothing"


def test_a_full_disk_of_the_bus_hinders_no_job(tmp_path: Path) -> None:
    with platform(start=False) as house, small_disk(house.home / "bus", "8m") as disk:
        (house.home / "layout").write_text("1\n")  # else a folder that holds something is no home
        begun(house, tmp_path)
        with house.client() as client:
            with full(disk):
                jobs = {n: submit(client, f"f{n}", n=n, kb=100).json()["id"] for n in range(5)}
                for n, job in jobs.items():
                    ends_well(client, job, n)
                os.kill(house.pids()["bus"], 9)
                dead = submit(client, "dead", n=9)
                assert dead.status_code == 202, dead.text
                assert predicts(client)
            ends_well(client, dead.json()["id"], 9)
            assert len(ids(client)) == 6
