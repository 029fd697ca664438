"""What chaos showed: figures as JSON, a page in Markdown, and a picture of the whole time. Pure but for writing files."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.thread.chaos import PROMISES, Strike
from tests.thread.chaos_count import FAULTS, Counted
from tests.thread.chaos_jobs import Asked, Row
from tests.thread.load import Call

from fairlead.measure import chart
from fairlead.measure.chart import Line, Panel
from fairlead.measure.elasticity import quantile

_GOOD, _EXCUSED, _BAD, _BLUE = "#2a7f62", "#e0a100", "#d1495b", "#1f5fa8"
_KILLED, _STOPPED, _KEEPER, _ALL = "#b08968", "#9a9a9a", "#7b5ea7", "#d1495b"
_PART_S = 10.0
"""After a strike the next answer and the next job that is done are looked for."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds."""

    p50: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True)
class Struck:
    """What one strike did; seconds from it, and from the beginning."""

    kind: str
    at_s: float
    back_s: float | None
    """Until what it hit was back, where that is measured."""
    answer_s: float
    """Until a prediction was answered that was sent after it."""
    job_s: float
    """Until a job was done that was submitted after it."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was counted."""

    seed: int
    seconds: float
    took_s: float
    on: str
    made: str
    strikes: list[Struck]
    calls: int
    excused: dict[str, int]
    """Predictions that failed as ``PROMISES`` allow, by what came instead."""
    broken: list[str]
    """Predictions that failed otherwise."""
    answered_in: Times
    jobs: Counted
    accepted_in: Times
    """From when a job was due until its 202."""
    done_in: Times
    """From its row until its end."""
    statuses: dict[int, int]
    readings: int
    handled: int
    left: list[str]
    """Processes that were left when all was down."""
    picture: str

    @property
    def verdict(self) -> str:
        """``held``, or what did not."""
        away = sorted({one.kind for one in self.strikes if one.answer_s < 0 or one.job_s < 0})
        wrong = [f"{len(keys)} {name}" for name, keys in self.jobs.faults.items() if keys]
        wrong += [f"{len(self.broken)} predictions failed that may not"] if self.broken else []
        wrong += [f"not back after: {', '.join(away)}"] if away else []
        wrong += [f"{len(self.left)} processes are left"] if self.left else []
        return "; ".join(wrong) or "held"


def report(
    *,
    seed: int,
    seconds: float,
    took_s: float,
    origin: tuple[float, float],
    strikes: Sequence[Strike],
    calls: Sequence[Call],
    is_excused: Callable[[Call], bool],
    asked: Mapping[str, Asked],
    statuses: Mapping[int, int],
    rows: Sequence[Row],
    counted: Counted,
    readings: tuple[int, int],
    left: Sequence[str],
) -> Report:
    """Return what all that was seen comes to; ``origin`` is the beginning by both clocks."""
    failed = [call for call in calls if not call.is_good]
    excused = [call for call in failed if is_excused(call)]
    broken = [call for call in failed if not is_excused(call)]
    ended = [row for row in rows if row.finished]
    return Report(
        seed=seed,
        seconds=seconds,
        took_s=round(took_s, 1),
        on=f"{os.cpu_count()} cores, shared with who calls; {platform.system()}, Python {platform.python_version()}",
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        strikes=[_struck(one, origin, calls, ended) for one in strikes],
        calls=len(calls),
        excused=dict(Counter(_came(call) for call in excused)),
        broken=[
            f"{call.sent - origin[0]:.1f} s: {_came(call)} after {call.took_s:.2f} s: {call.said}" for call in broken
        ],
        answered_in=_times([call.took_s for call in calls if call.is_good]),
        jobs=counted,
        accepted_in=_times([one.accepted - one.due for one in asked.values() if one.accepted]),
        done_in=_times([row.finished - row.created for row in ended]),
        statuses=dict(sorted(statuses.items())),
        readings=readings[0],
        handled=readings[1],
        left=list(left),
        picture=_picture(seed, took_s, origin, strikes, calls, is_excused, asked, ended),
    )


def _came(call: Call) -> str:
    if not call.status:
        return "no connection"
    code = call.said.partition('"code":"')[2].partition('"')[0]
    return f"{call.status} {code}".strip()


def _times(values: Sequence[float]) -> Times:
    return Times(
        *(round(each, 3) for each in (quantile(values, 0.5), quantile(values, 0.99), max(values, default=0.0)))
    )


def _struck(one: Strike, origin: tuple[float, float], calls: Sequence[Call], ended: Sequence[Row]) -> Struck:
    answers = [call.sent + call.took_s - one.at for call in calls if call.is_good and call.sent > one.at]
    done = [row.finished - one.wall for row in ended if row.status == "succeeded" and row.created > one.wall]
    back_s = None if one.back_s is None else round(one.back_s, 3)
    return Struck(
        one.kind,
        round(one.at - origin[0], 2),
        back_s,
        round(min(answers, default=-1), 3),
        round(min(done, default=-1), 3),
    )


# --- the page -------------------------------------------------------------------------------------------------------------


def markdown(made: Report) -> str:
    """Return the page that people read."""
    jobs = made.jobs
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(jobs.states.items(), reverse=True))
    attempts = ", ".join(f"{count:,} in {number}" for number, count in jobs.attempts.items())
    excused = "; ".join(f"{count:,} {what}" for what, count in sorted(made.excused.items())) or "none"
    return f"""# Chaos

<!-- Written by tests/thread/chaos_run.py: make chaos SEED={made.seed} MINUTES={made.seconds / 60:.3g} -->

For {made.seconds / 60:.3g} minutes something was killed or stopped every few seconds, by the seed {made.seed}, while predictions, jobs
and messages of a device came at steady rates. Then every key was counted. **{made.verdict.capitalize()}.**

{made.made}, {made.on}; {made.took_s:g} s in all.

![predictions, jobs and strikes over time](chaos.svg)

## Jobs

{jobs.keys:,} keys, 20 a second: {states}. Attempts: {attempts}.

| what must not be | keys |
|---|--:|
{_rows((f"{name}: {FAULTS[name]}", len(keys)) for name, keys in jobs.faults.items())}

{jobs.done_again:,} keys were done more than once by the model, because an attempt was cut off: what it does outside itself
happens at least once. {jobs.refused:,} answers of the model came to nothing: a second one of a key is refused, others went
down with who brought them. What is seen of a job, its end and its result, is one.

## Predictions

{made.calls:,} sent, 50 a second; failed as promised: {excused}; failed otherwise: {len(made.broken)}.

| what was hit | what may fail |
|---|---|
{_rows(PROMISES.items())}
{_broken(made)}
## Times

| seconds | p50 | p99 | most |
|---|--:|--:|--:|
| a prediction is answered | {_three(made.answered_in)} |
| a job that is due has its 202 | {_three(made.accepted_in)} |
| a job in the ledger has ended | {_three(made.done_in)} |

| strike | times | back, median | back, most | next answer, most | next job done, most |
|---|--:|--:|--:|--:|--:|
{_strikes(made)}

*Back*: from the strike until what was hit does its work again; of what was stopped with the time that it was stopped.
*Next*: of what was sent after the strike, whatever else was hit meanwhile.

The device sent {made.readings:,} messages while it was connected (QoS 0: what is on its way when the bus dies is lost); the app
handled {made.handled:,}.

## What it does not show

Processes were killed, not the machine: what a power cut does to what was not synced is told elsewhere. One machine, SQLite,
a bucket on the same disk. The model's own effects outside are not undone, and nobody promises that.
"""


def _rows(items: object) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in items)  # type: ignore[attr-defined]


def _three(times: Times) -> str:
    return f"{times.p50:.3g} | {times.p99:.3g} | {times.most:.3g}"


def _broken(made: Report) -> str:
    return "".join(f"\n- {said}" for said in made.broken[:20]) + ("\n" if made.broken else "")


def _strikes(made: Report) -> str:
    by_kind: dict[str, list[Struck]] = {}
    for one in made.strikes:
        by_kind.setdefault(one.kind, []).append(one)
    lines = []
    for kind, found in sorted(by_kind.items()):
        back = [one.back_s for one in found if one.back_s is not None]
        times = f"{quantile(back, 0.5):.2f} | {max(back):.2f}" if back else " | "
        answer, job = max(one.answer_s for one in found), max(one.job_s for one in found)
        lines.append(f"| {kind} | {len(found)} | {times} | {answer:.2f} | {job:.2f} |")
    return "\n".join(lines)


def write(made: Report, folder: Path) -> None:
    """Write ``chaos.md``, ``chaos.json`` and ``chaos.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = asdict(made)
    picture = figures.pop("picture")
    (folder / "chaos.md").write_text(markdown(made), encoding="utf-8")
    (folder / "chaos.json").write_text(
        json.dumps(figures | {"verdict": made.verdict}, indent=1) + "\n", encoding="utf-8"
    )
    (folder / "chaos.svg").write_text(picture, encoding="utf-8")


# --- the picture ----------------------------------------------------------------------------------------------------------


def _picture(
    seed: int,
    took_s: float,
    origin: tuple[float, float],
    strikes: Sequence[Strike],
    calls: Sequence[Call],
    is_excused: Callable[[Call], bool],
    asked: Mapping[str, Asked],
    ended: Sequence[Row],
) -> str:
    marks = [(one.at - origin[0], _color(one.kind), one.kind) for one in strikes]
    panels = [_calls(took_s, origin[0], calls, is_excused, marks), _latency(origin[0], calls, is_excused, marks)]
    panels += [_jobs(took_s, origin, asked, ended, marks), _waiting(took_s, origin, ended, marks)]
    title = f"chaos, seed {seed}: {len(strikes)} strikes (lines: killed brown, stopped gray, keeper violet, all red)"
    return chart.document(title, panels, took_s)


Marks = Sequence[tuple[float, str, str]]


def _color(kind: str) -> str:
    if kind == "all at once":
        return _ALL
    if kind.endswith(" stopped"):
        return _STOPPED
    return _KEEPER if kind.startswith("keeper") else _KILLED


def _calls(
    took_s: float, began: float, calls: Sequence[Call], is_excused: Callable[[Call], bool], marks: Marks
) -> Panel:
    bars = [Counter[str]() for _ in range(chart.columns(took_s))]
    for call in calls:
        bars[_column(call.sent + call.took_s - began, took_s, len(bars))][_outcome(call, is_excused)] += 1
    most = max(bar.total() for bar in bars) or 1
    shares = [{color: bar[color] / most for color in (_GOOD, _EXCUSED, _BAD)} for bar in bars]
    name = "predictions that ended per second: answered, failed as promised, failed otherwise"
    return Panel(name, f"{most * len(bars) / took_s:.3g}", bars=shares, marks=marks)


def _latency(began: float, calls: Sequence[Call], is_excused: Callable[[Call], bool], marks: Marks) -> Panel:
    most = max((call.took_s for call in calls), default=0.0) or 1.0
    step = chart.every(3 * len(calls))  # a thousand dots: the page is kept
    dots = [(max(0.0, call.sent - began), call.took_s / most, _outcome(call, is_excused)) for call in calls[::step]]
    return Panel(f"latency of each prediction (one of {step})", f"{most:.1f} s", dots=dots, marks=marks)


def _outcome(call: Call, is_excused: Callable[[Call], bool]) -> str:
    return _GOOD if call.is_good else _EXCUSED if is_excused(call) else _BAD


def _jobs(
    took_s: float, origin: tuple[float, float], asked: Mapping[str, Asked], ended: Sequence[Row], marks: Marks
) -> Panel:
    columns = chart.columns(took_s)
    accepted, done = [0] * columns, [0] * columns
    for one in asked.values():
        if one.accepted:
            accepted[_column(one.accepted - origin[0], took_s, columns)] += 1
    for row in ended:
        done[_column(row.finished - origin[1], took_s, columns)] += 1
    most = max((*accepted, *done)) or 1
    each_s = took_s / columns
    lines = [
        Line([(index * each_s, count / most) for index, count in enumerate(counts)], f'stroke="{color}"')
        for counts, color in ((accepted, _BLUE), (done, _GOOD))
    ]
    return Panel("jobs per second: accepted (blue), ended (green)", f"{most / each_s:.3g}", lines=lines, marks=marks)


def _waiting(took_s: float, origin: tuple[float, float], ended: Sequence[Row], marks: Marks) -> Panel:
    most = max((row.finished - row.created for row in ended), default=0.0) or 1.0
    step = chart.every(3 * len(ended))
    dots = [
        (
            max(0.0, row.created - origin[1]),
            (row.finished - row.created) / most,
            _GOOD if row.attempts < 2 else _EXCUSED,
        )
        for row in list(ended)[::step]
    ]
    return Panel(
        f"from a job's row to its end: first attempt, later (one of {step})", f"{most:.1f} s", dots=dots, marks=marks
    )


def _column(at: float, took_s: float, columns: int) -> int:
    return min(columns - 1, max(0, int(columns * at / took_s)))
