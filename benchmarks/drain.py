"""How jobs and replicas follow the work: a backlog drained, a step of the load, and jobs accepted with their fsync.

The model's code sleeps, so that processors are not the limit, and each part has a model of its own, which sleeps first.

    python benchmarks/drain.py [--jobs 2000] [--seconds 5]
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from installed import Installed, installed
from measure import Aimed, alone
from sqlalchemy import create_engine, text

WORK_S = 0.05
MOST = 8
SLO_S = 0.25
RATE = 10.0
STEP = 4
BEFORE_S, AFTER_S = 20.0, 20.0
CODE = """
import time


def predict(seconds: float = 0.05) -> float:
    time.sleep(seconds)
    return seconds
"""


class Drained(NamedTuple):
    """What became of a backlog."""

    jobs: int
    submitted_s: float
    took_s: float
    start_s: float
    failed: int
    decisions: list[tuple[float, int, int, str]]
    """Seconds since the first job, replicas before and after, and the rule."""

    @property
    def best_s(self) -> float:
        return self.jobs * WORK_S / MOST + self.start_s

    @property
    def reversals(self) -> int:
        ways = [after > before for _, before, after, _ in self.decisions if after != before and after > 0]
        return sum(one != other for one, other in pairwise(ways))


class Call(NamedTuple):
    """One call of an open loop: when it was due, and how long after that it was answered."""

    due: float
    seconds: float
    good: bool


def bundle(folder: Path, name: str, more: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CODE)
    (folder / "fairlead.toml").write_text(
        f'kind = "model"\nname = "{name}"\n[run]\nentry = "model:predict"\n'
        f"[scale]\nmax = {MOST}\ndrain_s = 15\nidle_s = 300\n[resources]\ncpu = 0.1\n{more}"
    )
    return folder


def drain(platform: Installed, model: str, jobs: int) -> Drained:
    """Submit ``jobs`` to a model that sleeps and wait until the last has ended."""
    platform.rest(model)
    starts_ms = platform.wake(model, json.dumps({"seconds": 0}).encode())
    platform.rest(model)
    body = json.dumps({"seconds": WORK_S}).encode()
    began = time.time()

    def submit(count: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)) as connection:
            for _ in range(count):
                headers = {"Authorization": f"Bearer {platform.token}", "Content-Type": "application/json"}
                connection.request("POST", f"/v1/models/{model}/jobs", body, headers)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status != 202:
                    raise ConnectionError(f"a job was answered {answer.status}: {said[:200]!r}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(submit, [jobs // 8] * 8))
    submitted_s = time.time() - began
    platform.until(lambda: not _count(platform, model, "finished_at is null"), "all jobs have ended", 300)
    ended = _value(platform, "select max(finished_at) from jobs where model = :model", model)
    took_s = _moment(ended) - began
    failed = _count(platform, model, "status <> 'succeeded'")
    return Drained(jobs // 8 * 8, submitted_s, took_s, starts_ms / 1000, failed, _decisions(platform, model, began))


def _count(platform: Installed, model: str, what: str) -> int:
    return int(_value(platform, f"select count(*) from jobs where model = :model and {what}", model))


def _value(platform: Installed, query: str, model: str) -> Any:
    """Ask the records themselves: questions to the API would take time from what is measured."""
    engine = create_engine(f"sqlite:///{platform.home.database}")
    with engine.connect() as connection:
        return connection.execute(text(query), {"model": model}).scalar()


def _decisions(platform: Installed, model: str, began: float) -> list[tuple[float, int, int, str]]:
    found = json.loads(platform.ask("GET", f"/api/v1/models/{model}/scaling").body)
    made = [
        (_moment(one["at"]) - began, int(one["from"]), int(one["to"]), str(one["rule"])) for one in found["decisions"]
    ]
    return sorted(one for one in made if one[0] > 0)


def _moment(said: str) -> float:
    moment = datetime.fromisoformat(said.replace(" ", "T").replace("Z", "+00:00"))
    return moment.timestamp() if moment.tzinfo else datetime.fromisoformat(f"{moment.isoformat()}+00:00").timestamp()


def step(platform: Installed, model: str) -> list[Call]:
    """Call at a rate, then at four times the rate; returns the calls, due from the moment of the step on or before."""
    count = int(RATE * BEFORE_S)
    due = [number / RATE - BEFORE_S for number in range(count)]
    due += [number / (RATE * STEP) for number in range(int(RATE * STEP * AFTER_S))]
    platform.predict(model, json.dumps({"seconds": 0}).encode())
    body, zero = json.dumps({"seconds": WORK_S}).encode(), time.perf_counter() + BEFORE_S + 1
    local, calls = threading.local(), []

    def call(at: float) -> None:
        time.sleep(max(0.0, zero + at - time.perf_counter()))
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)
        headers = {"Authorization": f"Bearer {platform.token}", "Content-Type": "application/json"}
        local.connection.request("POST", f"/v1/models/{model}/predict", body, headers)
        answer = local.connection.getresponse()
        answer.read()
        calls.append(Call(at, time.perf_counter() - zero - at, answer.status == 200))

    with ThreadPoolExecutor(200) as threads:
        list(threads.map(call, due))
    return sorted(calls)


def regained_s(calls: Sequence[Call]) -> float:
    """Return after how many seconds from the step on 95 % of each second's calls meet the objective, to the end."""
    missed = 0.0
    for second in range(int(AFTER_S)):
        of_it = [one for one in calls if second <= one.due < second + 1]
        if sum(one.good and one.seconds <= SLO_S for one in of_it) < 0.95 * len(of_it):
            missed = second + 1.0
    return missed


def accepted(platform: Installed, model: str, connections: int, seconds: float, folder: Path) -> dict[str, float]:
    """Have wrk submit jobs; returns jobs/s answered 202, p50 and p99 in ms, and the CPU µs of each program."""
    script = folder / "jobs.lua"
    script.write_text(
        f"""wrk.method = "POST"\nwrk.body = '{json.dumps({"seconds": 30})}'
wrk.headers["Content-Type"] = "application/json"\nwrk.headers["Authorization"] = "Bearer {platform.token}"\n"""
    )
    before = platform.cpu_s()
    url = f"http://127.0.0.1:{platform.port}/v1/models/{model}/jobs"
    command = [
        "wrk",
        f"-t{min(2, connections)}",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    good = requests - (int(bad[1]) if bad else 0)
    found = {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]) * good / max(1, requests)}  # type: ignore[index]
    for name in ("50", "99"):
        value, unit = re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
        found[f"p{name}"] = float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    for word, used_s in platform.cpu_s().items():
        found[word] = 1e6 * (used_s - before.get(word, 0)) / max(1, requests)
    return found


def run(options: argparse.Namespace) -> tuple[str, list[Aimed]]:
    """Return the part of the page, and what is aimed at."""
    with installed() as platform, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        platform.start()
        for model, more in (("backlog", ""), ("step", f"[slo]\nlatency_ms = {1000 * SLO_S:g}\n"), ("accept", "")):
            platform.push(bundle(folder / model, model, more))
        drained = drain(platform, "backlog", options.jobs)
        calls = step(platform, "step")
        platform.rest("accept")
        rates = {count: accepted(platform, "accept", count, options.seconds, folder) for count in (1, 50, 200, 400)}
    back = regained_s(calls)
    good = sum(one.good for one in calls)
    late = statistics.quantiles([one.seconds for one in calls if one.due >= 0], n=20)[18]
    parts = [f"{after} at {at:.1f} s ({rule})" for at, _, after, rule in drained.decisions[:12]]
    lines = [
        f"| {count} | {found['rate']:,.0f} | {found['p50']:.1f} | {found['p99']:.1f} | "
        + " | ".join(f"{found.get(word, 0):,.0f}" for word in ("control", "envoy", "keeper", "bus"))
        + " |"
        for count, found in rates.items()
    ]
    said = f"""## A backlog

{drained.jobs:,} jobs of {1000 * WORK_S:g} ms for a model that sleeps, at most {MOST} replicas, submitted within
{drained.submitted_s:.1f} s. All ended after {drained.took_s:.1f} s; the optimum, all work on {MOST} replicas and one
start ({drained.start_s:.2f} s), is {drained.best_s:.1f} s. Not succeeded: {drained.failed}.
Replicas: {", ".join(parts)}.

## A step of the load

Calls of {1000 * WORK_S:g} ms at {RATE:g}, then {RATE * STEP:g} a second, in an open loop; the objective is an answer
within {1000 * SLO_S:g} ms. From the step on the 95th percentile of {AFTER_S:g} s is {1000 * late:.0f} ms; after
{back:g} s every second had 95 % of its calls within the objective. Answered: {good} of {len(calls)}.

## Jobs accepted

Each answered 202 once its row is synced, through the front door with a token; processor time of each program for each.

| connections | jobs/s | p50 ms | p99 ms | control µs | front door µs | keeper µs | bus µs |
|--:|--:|--:|--:|--:|--:|--:|--:|
{chr(10).join(lines)}
"""
    aims = [
        Aimed("backlog drained, by the optimum and a start", drained.took_s / drained.best_s, 1.25, False),
        Aimed("backlog: reversals within five minutes", drained.reversals, 1, False),
        Aimed(f"step ×{STEP}: objective regained after s", back, 5 + drained.start_s, False),
        Aimed("jobs accepted a second, at most", max(one["rate"] for one in rates.values()), 3000),
    ]
    return said, aims


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5)
    return parser


if __name__ == "__main__":
    alone(run, arguments())
