"""What is wrong with a machine."""

from __future__ import annotations

import asyncio
import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.buckets.obstore import open_bucket
from fairlead.control import bucketlook, condition
from fairlead.messages import NodeReport, ProgramReport
from fairlead.settings import Home
from fairlead.store.records import SloAlert
from fairlead.testing.store import memory

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "said"), [(0, "has 0 MB left"), (110 * 1024**2, "has 110 MB left"), (10**12, "")])
def test_a_disk_that_is_nearly_full_is_a_trouble(
    free: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    (tmp_path / "lock").touch()
    found = [one for one in condition.keeper(Home(tmp_path)) if "disk" in one]
    assert bool(found) is bool(said)
    assert all(said in one for one in found)


def test_an_objective_that_is_missed_is_one_trouble_with_what_to_do_next() -> None:
    began = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
    with memory() as session:
        for name, model, sli, resolved_at in (
            ("fast", "faces", "latency", None),
            ("slow", "faces", "latency", None),
            ("fast", "faces", "availability", began),
            ("fast", "hidden", "latency", None),
        ):
            since = began + timedelta(minutes=name == "slow")
            session.add(SloAlert(model=model, sli=sli, name=name, since=since, resolved_at=resolved_at))
        session.flush()
        found = condition.alerts(session, {"faces"})
    said = "faces misses its objective latency since 2026-11-20T14:03:00Z: alert fast, slow fires; fairlead slo faces"
    assert found == (said,)


async def test_a_bucket_that_does_not_answer_is_a_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses, one that hangs, and one that is there."""
    monkeypatch.setattr(bucketlook, "ANSWER_S", 0.5)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "x")

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        (said,) = await bucketlook.trouble(open_bucket("s3://lab/here"), "s3://lab/here")
        server.close()
    assert "the bucket s3://lab/here is away" in said
    assert said.endswith("fairlead doctor")
    assert await bucketlook.trouble(open_bucket("memory://"), "memory://") == ()


async def test_a_bucket_on_a_disk_without_room_is_a_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = open_bucket(str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
    assert await bucketlook.trouble(bucket, str(tmp_path)) == ()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 7 * 1024**2))
    (said,) = await bucketlook.trouble(bucket, str(tmp_path))
    assert "has 7 MB left" in said
    assert said.endswith("free some space")
    assert await bucketlook.trouble(bucket, None) == (), "the disk of the home is looked at as a whole"


def test_a_program_that_was_stopped_on_purpose_is_no_trouble() -> None:
    def told(status: str) -> tuple[str, ...]:
        report = NodeReport("local", 1, "2026-11-20T14:03:00Z", programs=(ProgramReport("simulator", status),))
        return condition.troubles([report], [report], ())

    assert (told("stopped"), told("running")) == ((), ())
    assert told("crashed") == ("simulator on local is crashed",)
