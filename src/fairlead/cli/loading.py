"""What ``fairlead bench load`` does: makes a plan of its options, has it sent, and shows what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from fairlead.cli import session, terminal
from fairlead.cli.api import Api, named
from fairlead.cli.calling import check_output, pairs
from fairlead.errors import Invalid
from fairlead.measure import arrivals, load, loadreport, workload

_TOLD_EVERY_S = 10.0
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were given."""

    model: str
    images: Path | None
    rows: Path | None
    expect: Path | None
    requests: int
    workers: int
    predict: bool
    rate: float
    trace: Path | None
    seed: int
    timeout: float
    settle: float


def plan(asked: Asked, key: str, settings: list[str]) -> load.Plan:
    """Return what is to be sent; raises what a person mistook before anything is."""
    if (asked.images is None) == (asked.rows is None):
        raise typer.BadParameter("name either --images FOLDER or --rows FILE")
    if asked.rate and asked.trace is not None:
        raise typer.BadParameter("--rate and --trace both say when calls are sent: give one of them")
    if asked.rows is not None and settings:
        raise typer.BadParameter("--set stands beside files; rows are whole bodies")
    named("model", asked.model)
    items = workload.rows(asked.rows) if asked.rows is not None else workload.images(asked.images or Path())
    header = ""
    if asked.expect is not None:
        right = workload.table(asked.expect, items)
        items, header = workload.expecting(items, right), right.field
    moments = _moments(asked, len(items))
    here = session.current()
    return load.Plan(
        url=here.url,
        token=here.token,
        model=asked.model,
        items=items,
        requests=len(moments) if moments is not None else asked.requests or len(items),
        workers=asked.workers,
        moments=moments,
        jobs=not asked.predict,
        params=pairs(settings),
        field=key,
        header=header,
        timeout_s=asked.timeout,
        settle_s=asked.settle,
    )


def _moments(asked: Asked, items: int) -> list[float] | None:
    """Return when calls are due; None where each worker sends on as it has its answer."""
    if asked.rate:
        return load.poisson(asked.rate, asked.requests or items, asked.seed)
    if asked.trace is None:
        return None
    found = [call.at for call in arrivals.trace(asked.trace, arrivals.Shape()).calls]
    found = found[: asked.requests] if asked.requests else found
    if len(found) > workload.ITEMS_MAX:
        message = f"{asked.trace}: has {len(found):,} moments, {workload.ITEMS_MAX:,} are the most"
        raise Invalid(message, code="trace_invalid", hint="--requests takes the first of them")
    return found


def carry_out(plan: load.Plan, chart: Path | None) -> int:
    """Send ``plan``, print what came of it and write the chart; returns the exit code."""
    check_output(chart)
    with Api() as api:
        api.get(f"/models/{plan.model.partition('@')[0]}")  # who is not signed in, or mistook the name, is told once
    shown = _progress(plan)
    measured = asyncio.run(_sent(plan, shown))
    if sys.stderr.isatty():
        terminal.progress("")
    terminal.result(loadreport.summary(plan, measured), loadreport.view(plan, measured))
    if chart is not None:
        chart.write_text(loadreport.picture(plan, measured), encoding="utf-8")
        terminal.note(f"wrote {chart}")
    if measured.cut:
        terminal.note("ended early: what was not answered is not counted as failed")
        return _INTERRUPTED
    return 0 if loadreport.is_good(measured, plan) else 1


async def _sent(plan: load.Plan, shown: Callable[[load.Measured], None]) -> load.Measured:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            loop.add_signal_handler(number, stop.set)
    return await load.run(plan, stop, shown)


def _progress(plan: load.Plan) -> Callable[[load.Measured], None]:
    """Return what tells how far it is: in place on a terminal, else a line now and then."""
    told = time.monotonic()

    def show(measured: load.Measured) -> None:
        nonlocal told
        counts = Counter(call.outcome for call in measured.calls)
        ready = measured.looks[-1].ready if measured.looks else None
        replicas = "" if ready is None else f", {ready} replica{'' if ready == 1 else 's'}"
        ended = len(measured.calls) - counts["unanswered"]
        if ended >= plan.requests and plan.settle_s:
            replicas += f"; waits {plan.settle_s:g} s at most for all to leave"
        text = f"{ended:,} of {plan.requests:,} ended, {counts['wrong']:,} wrong, {counts['failed']:,} failed{replicas}"
        if sys.stderr.isatty():
            terminal.progress(text)
        elif time.monotonic() - told >= _TOLD_EVERY_S:
            told = time.monotonic()
            terminal.step(text)

    return show
