"""Decides how many replicas a version shall have. Pure: signals, limits and history in, a decision and history out.

Load is *offered work*: calls a second times seconds of a replica a call takes. It does not depend on how many replicas
there are, so that under constant load the answer stays what it is. Two windows: 60 s tell what is usual, 6 s what is
sudden (panic). Both come with their error of counting: up needs more than chance, down leaves room for it.

Up at once; down to the highest wish of the last minute (and of five cold starts). What is not told is no reason to go
down. Zero is another question than how many: work wakes the first replica, ``idle_s`` without any ends the last.
docs/architecture/10-scaling.md tells why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fairlead.autoscaler.rates import ERRORS, GRID_S, Rate, rate_of, sudden_of
from fairlead.autoscaler.signals import PANIC_S, STABLE_S, TICK_S, Decision, History, Limits, Sample, Signals

FULL = 0.7
"""Share of a replica's time that requests may take."""
FULL_JOBS = 0.9
"""The same while a backlog is worked off: nobody waits for one job."""
PANIC = 2.0
"""So many times what is ready is a panic."""
PRESS_S = 2.0
"""Requests that wait already shall be answered within so many seconds."""
DOWN_S = 60.0
COLD_STARTS = 5
"""Down is also never sooner than so many cold starts."""
LEAST_S = 1e-6
"""A call takes so much at least: counters that are read in the middle of a call, or lie, may say 0 or less."""
UNKNOWN_S = 0.1
"""A job counts as so long before any call was timed: a heap does not pay for two starts, one after the other."""
TIGHT = 4.0
"""An objective below so many times a call's own time leaves no room for waiting."""
SURE = 10.0
"""So many requests that wait are no chance: the rate counts as it was counted, without its error."""
ROOM, ROOM_BURSTS, BURSTS = 0.5, 0.25, 50.0
"""Room for chance, in roots of the offered work, and how much more of it where calls come as unevenly as that."""


@dataclass(frozen=True, slots=True)
class _Wish:
    replicas: float
    rule: str
    why: str


def decide(signals: Signals, limits: Limits, history: History) -> tuple[Decision, History]:
    """Return how many replicas are wanted from now on, and what to remember of it."""
    history = _looked(signals, history)
    lost = [name for name in ("ready", "in_flight", "backlog", "calls") if getattr(signals, name) is None]
    best = _least_wish(signals, limits, history)
    usual = rate_of(history.samples, STABLE_S, signals.at, ERRORS)
    sudden = sudden_of(history.samples, signals.at)
    service_s = _service_s(signals, history)
    wishes = list(_wishes(signals, limits, history, usual, sudden, service_s))
    history = _panicked(signals, history, wishes)
    if history.panic is None:
        wishes = [wish for wish in wishes if wish.rule != "panic"]
    for wish in wishes:
        if math.ceil(wish.replicas) > math.ceil(best.replicas):
            best = wish
    up = _clamped(best.replicas, limits)
    down = max(up, _clamped(_calm(limits, history, usual, service_s), limits))
    wanted, rule, why, history = _settled(signals, limits, history, best, up, down, lost)
    inputs = _inputs(signals, usual, sudden, service_s)
    made = Decision(was=history.wanted, wanted=wanted, rule=rule, why=why, inputs=inputs)
    return made, replace(history, wanted=wanted)


def _looked(signals: Signals, history: History) -> History:
    """Return the history with this moment in it."""
    at, in_flight, backlog, calls = signals.at, signals.in_flight, signals.backlog, signals.calls
    samples = tuple(one for one in history.samples if at - one.at <= STABLE_S)
    used = history.used
    if in_flight is not None and backlog is not None and calls is not None:
        last = samples[-1] if samples else None
        if last is not None and calls < last.calls:
            last, samples = None, ()  # whoever counts began anew
        elif len(samples) > 1 and samples[-1].at - samples[-2].at < GRID_S:
            samples = samples[:-1]
        if in_flight or backlog or (last is not None and calls > last.calls):
            used = at
        samples = (*samples, Sample(at, in_flight, in_flight + backlog, calls))
    elif in_flight or backlog:
        used = at
    works = bool(in_flight or backlog) and bool(signals.ready) and signals.service_s is None
    return replace(
        history,
        samples=samples,
        used=used,
        since=at if history.since is None else history.since,
        stuck=(at if history.stuck is None else history.stuck) if works else None,
    )


def _service_s(signals: Signals, history: History) -> float | None:
    """Return what a call takes; where none was timed yet, what the first has taken so far."""
    if signals.service_s is not None:
        return max(LEAST_S, signals.service_s)
    if history.stuck is None or signals.at - history.stuck < TICK_S:
        return None
    return signals.at - history.stuck


def _wishes(
    signals: Signals, limits: Limits, history: History, usual: Rate, sudden: Rate, service_s: float | None
) -> Iterator[_Wish]:
    """Yield how many replicas each rule asks for, as far as its signals are there."""
    if service_s is None:
        if signals.backlog:
            yield _queue(signals, limits, usual, UNKNOWN_S, f"{UNKNOWN_S:g} s each, which nobody knows yet")
        return
    each = f"{_short(service_s)} s each"
    for rate, rule, window_s in ((usual, "requests", STABLE_S), (sudden, "panic", PANIC_S)):
        said = f"{_short(rate.mean)} calls a second in the last {window_s:g} s; at {each}"
        said += f", they keep {_short(rate.mean * service_s)} replicas busy"
        count = _roomy(rate.low, rate, service_s, limits, history)
        even = _roomy(rate.low, replace(rate, uneven=1.0), service_s, limits, history)
        if math.ceil(count) > math.ceil(even):
            said += f", and come in bursts that want room: {_short(count)}"
        yield _Wish(count, rule, said)
    slow_s = max(signals.start_s or 0.0, 0.0)
    if signals.in_flight is not None:
        aim_s = max(PRESS_S, limits.slo_s or 0.0, slow_s, 2 * service_s * limits.concurrency)
        ready = signals.ready or 0
        waiting = max(0.0, signals.in_flight - ready * _safe(limits, service_s))
        low = max(usual.low, sudden.mean if waiting >= SURE else sudden.low)
        more = max(0.0, low - ready / service_s) * slow_s  # by the time that a new replica is ready
        count = ((waiting + more) / aim_s + low) * service_s / FULL_JOBS
        count = min(count, signals.in_flight / limits.concurrency)
        why = f"{waiting:.0f} requests wait; at {each}, {math.ceil(count)} replicas answer them in {aim_s:g} s"
        yield _Wish(count if waiting >= 1 else 0, "panic", why)
    if signals.backlog:
        yield _queue(signals, limits, usual, service_s, each)


def _queue(signals: Signals, limits: Limits, usual: Rate, service_s: float, each: str) -> _Wish:
    """Return how many replicas the backlog asks for."""
    backlog, aim_s = signals.backlog or 0, max(limits.drain_s, signals.start_s or 0.0)
    count = (backlog / aim_s + usual.low) * service_s / FULL_JOBS
    count = min(count, (backlog + (signals.in_flight or 0)) / limits.concurrency)
    shown = max(1, min(math.ceil(count), limits.most))
    drained_s = max(aim_s, backlog * service_s / shown)
    said = f"{backlog} jobs wait" if backlog > 1 else "a job waits"
    return _Wish(count, "queue", f"{said}; at {each}, {shown} {_replicas(shown)} drain them in {drained_s:.0f} s")


def _roomy(each_s: float, rate: Rate, service_s: float, limits: Limits, history: History) -> float:
    """Return replicas for ``each_s`` calls a second, with room for chance: more of it where calls come in bursts, and
    where the objective is near a call's own time. Of calls that are long for the window, never more than there were
    at once."""
    offered, call_s = each_s * service_s, service_s * limits.concurrency
    is_tight = limits.slo_s is not None and limits.slo_s < TIGHT * call_s
    room = 1.0 if is_tight else ROOM + ROOM_BURSTS * min(1.0, (rate.uneven - 1) / BURSTS)
    count = max(offered / FULL, offered + room * math.sqrt(offered * rate.uneven))
    if call_s < rate.window_s / 4:
        return count
    return min(count, max((one.inside for one in history.samples), default=0.0) / limits.concurrency)


def _safe(limits: Limits, service_s: float) -> float:
    """Return how many requests a replica may have in hand within the objective (or a tenth of a second)."""
    return max(float(limits.concurrency), 0.5 * (limits.slo_s or 0.1) / max(service_s, LEAST_S))


def _least_wish(signals: Signals, limits: Limits, history: History) -> _Wish:
    """Return the wish before any load is looked at: asleep, awake or at the least."""
    if signals.in_flight or signals.backlog:
        base = _Wish(1, "activation", "there is work")
    elif history.used is not None and signals.at - history.used < limits.idle_s:
        base = _Wish(1, "steady", f"it was called {signals.at - history.used:.0f} s ago")
    else:
        base = _Wish(0, "idle", f"no call for {limits.idle_s:g} s")
    if limits.least > base.replicas:
        return _Wish(limits.least, "least", f"[scale] min is {limits.least}")
    return base


def _calm(limits: Limits, history: History, usual: Rate, service_s: float | None) -> float:
    """Return to how many it may go down: even were the usual load as high as chance lets it be."""
    return _roomy(usual.high, usual, service_s, limits, history) if service_s is not None else 0.0


def _panicked(signals: Signals, history: History, wishes: Sequence[_Wish]) -> History:
    """Return the history with the panic as it is now: it ends when a whole window brought no further cause."""
    wish = max((one.replicas for one in wishes if one.rule == "panic"), default=0.0)
    if math.ceil(wish) >= PANIC * max(1, signals.ready or 0):
        return replace(history, panic=signals.at)
    over = history.panic is not None and signals.at - history.panic >= STABLE_S
    return replace(history, panic=None) if over else history


def _settled(
    signals: Signals, limits: Limits, history: History, best: _Wish, up: int, down: int, lost: Sequence[str]
) -> tuple[int, str, str, History]:
    """Return what is wanted, by which rule and why: up at once, down only after a while, never for want of signals."""
    was, at = history.wanted, signals.at
    window_s = max(DOWN_S, COLD_STARTS * (signals.start_s or 0.0))
    kept = tuple(one for one in history.wishes if at - one[0] <= window_s and one[1] > down)
    history = replace(history, wishes=(*kept, (at, down)))
    if up > was:
        capped = best.replicas > limits.most
        rule = "most" if capped and was < limits.most else best.rule
        return up, rule, f"{best.why}{f'; [scale] max is {limits.most}' if capped else ''}", history
    if lost:
        held = max(min(was, limits.most), up)
        return held, "hold", f"nobody tells {_told(lost)}: it stays as it is", history
    if best.rule == "idle" and not up:
        return 0, "idle", best.why, replace(history, wishes=(), panic=None)
    if was > limits.most:
        return limits.most, "most", f"[scale] max is {limits.most}", history
    highest = max(wish for _, wish in history.wishes)
    since = at - (history.since if history.since is not None else at)
    if highest < was and history.panic is None and since >= window_s:
        return highest, "down", f"for {window_s:.0f} s no more than {highest} {_were(highest)} needed", history
    return was, best.rule if up == was else "steady", best.why, history


def _clamped(count: float, limits: Limits) -> int:
    return max(limits.least, min(limits.most, math.ceil(count - 1e-9)))


def _inputs(signals: Signals, usual: Rate, sudden: Rate, service_s: float | None) -> dict[str, float | None]:
    return {
        "ready": signals.ready,
        "starting": signals.starting,
        "in_flight": signals.in_flight,
        "backlog": signals.backlog,
        "oldest_s": round(signals.oldest_s, 1),
        "arrival_per_s": round(usual.mean, 3),
        "arrival_per_s_6s": round(sudden.mean, 3),
        "service_s": round(service_s, 6) if service_s is not None else None,
        "start_s": round(signals.start_s, 3) if signals.start_s is not None else None,
    }


def _told(lost: Sequence[str]) -> str:
    words = {
        "ready": "how many replicas are ready",
        "in_flight": "how many requests there are",
        "backlog": "how many jobs wait",
        "calls": "how many calls were answered",
    }
    return " nor ".join(words[name] for name in lost)


def _replicas(count: int) -> str:
    return "replica" if count == 1 else "replicas"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
