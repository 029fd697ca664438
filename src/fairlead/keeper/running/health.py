"""Drives the health of one run: ready once it says so, killed when it does not start in time or is frozen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from fairlead.keeper.programs.probe import page_fails
from fairlead.keeper.running import page_port as run_port
from fairlead.keeper.running import policy as run_policy
from fairlead.keeper.running.launch import needs_port
from fairlead.keeper.running.processes import RunProcesses
from fairlead.keeper.running.state import RunState
from fairlead.status import RunStatus
from fairlead.supervisor import linetimes, logfile

LOOK_S = 0.05
"""Between two looks at a run that starts."""
WATCH_S = 1.0
"""Between two looks at a run that is ready."""
ANSWER_S = 5.0


async def look_after(state: RunState, processes: RunProcesses, beat: Callable[[], float | None]) -> None:
    """Move the run to ready and kill what is not well, until canceled. ``beat``: when the SDK last said it is ready."""
    times = linetimes.LineTimes(state.paths.log)
    while True:
        if needs_port(state.wanted):
            await look_at_port(state, processes)
        await _note_sign(state, processes, beat)
        await _judge(state, processes)
        await asyncio.to_thread(times.look, state.ports.clock.monotonic())
        if state.kept.status is RunStatus.READY:
            await asyncio.to_thread(logfile.rotate, state.paths.log)
            await asyncio.sleep(WATCH_S)
        else:
            await asyncio.sleep(LOOK_S)


async def look_at_port(state: RunState, processes: RunProcesses) -> None:
    """See whether the run's own user listens on its port; where another does, start the run again with another."""
    found = await asyncio.to_thread(run_port.listeners, state.kept.port)
    own = os.getuid() if state.uid is None else state.uid
    if found - {own}:
        state.kept.port = run_port.free()
        processes.kill("another user of the machine took the port of its page")
    held = found == {own}
    if held is not state.holds_port:
        state.holds_port = held
        state.ports.changed()


async def _note_sign(state: RunState, processes: RunProcesses, beat: Callable[[], float | None]) -> None:
    """Note the last sign of life: an answer of the page, else the heartbeat."""
    if state.wanted.web is not None and state.page:
        if needs_port(state.wanted) and not state.holds_port:
            return  # nobody is there yet, or somebody else
        asked = state.ports.clock.monotonic()
        processes.page_fails = await page_fails(state.page, state.wanted.web, ANSWER_S)
        if processes.page_fails == "":
            processes.answered = asked
    elif (said := beat()) is not None:
        processes.answered = said


async def _judge(state: RunState, processes: RunProcesses) -> None:
    wanted = state.wanted
    has_probe = wanted.entry is not None or (needs_port(wanted) and wanted.web is not None)
    now, signs = state.ports.clock.monotonic(), processes.signs()
    if state.kept.status is RunStatus.STARTING:
        if run_policy.is_ready(signs, now, has_probe=has_probe):
            state.kept.was_ready = True
            await state.move(RunStatus.READY, "")
        elif signs.alive_since is not None and now - signs.alive_since > wanted.start_timeout_s:
            processes.kill(_late(state, processes))
    elif state.kept.status is RunStatus.READY and run_policy.is_frozen(signs, now, has_probe=has_probe):
        processes.kill(f"frozen: no sign of life for {run_policy.FROZEN_S:g} s")


def _late(state: RunState, processes: RunProcesses) -> str:
    wanted = state.wanted
    if needs_port(wanted) and not state.holds_port:
        return run_policy.late(wanted.start_timeout_s, port=state.kept.port)
    return run_policy.late(wanted.start_timeout_s, page=wanted.web or "", fails=processes.page_fails or "")
