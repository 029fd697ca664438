"""Reports that no message carries: shortened, with the reason, and never silent."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.bus import parts
from fairlead.keeper.report import report
from fairlead.messages import NodeReport, Prepared, RunReport, VersionReport
from fairlead.status import RunStatus, VersionStatus
from fairlead.testing.bus import MemoryBus

GOOD = VersionReport("good", "1", VersionStatus.READY)


async def reported(made: NodeReport) -> NodeReport:
    """Return what control hears of ``made``."""
    bus, heard = MemoryBus(), asyncio.Queue[NodeReport]()
    await bus.subscribe(NodeReport, heard.put)
    task = asyncio.create_task(report(bus, lambda: made, asyncio.Event()))
    try:
        async with asyncio.timeout(30):
            return await heard.get()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await bus.close()


async def test_a_report_that_is_too_long_leaves_out_texts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PACKED_MAX_BYTES", 1000)
    lines = tuple(f"{number:x}" for number in range(300_000))
    run = RunReport("run-1", RunStatus.READY, last_lines=lines)
    heard = await reported(NodeReport("local", 7, "", versions=(GOOD,), runs=(run,)))
    assert (heard.generation, heard.versions, heard.runs[0].last_lines) == (7, (GOOD,), ())
    assert "NodeReport has" in heard.trouble


async def test_what_cannot_be_encoded_is_left_out_alone_and_named() -> None:
    bad = Prepared("model", "bad", "1", "sha256:0", "done", signature={"most": 10**30})
    fine = Prepared("model", "fine", "1", "sha256:1", "done")
    heard = await reported(NodeReport("local", 7, "", prepared=(bad, fine), versions=(GOOD,)))
    assert (heard.prepared, heard.versions) == ((fine,), (GOOD,))
    assert heard.trouble.startswith("bad: ")
