"""What sleeping models cost, and how soon one answers: a whole platform with up to 1,000 of them.

Copies of one small ONNX model are registered, each with its own name, records, bundle and routes; the platform is
started with 0, 100, 300 and 1,000 of them, and once all is still the proportional set of its processes is added up.
With the last, one ONNX and one scikit-learn model are woken again and again through the front door, with a token, and
new models are pushed, which are to answer there as soon as they are ready.

    python benchmarks/idle.py [--models 0 100 300 1000] [--wakes 20] [--cold 3] [--pushes 5] [--zygotes-mb 256]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from installed import Installed, copies, installed, onnx_bundle, sklearn_bundle
from measure import Aimed, alone

STILL_S = 3.0
"""For so long nothing may change before memory is measured."""
KINDS = ("onnx", "sklearn")


@dataclass
class Point:
    """The platform with so many sleeping models."""

    models: int
    start_s: float
    memory_mb: dict[str, float]
    cpu_share: float
    """Of one core, while nothing is asked."""
    zygotes: int

    @property
    def total_mb(self) -> float:
        return sum(self.memory_mb.values())


@dataclass
class Found:
    """What was measured."""

    points: list[Point] = field(default_factory=list)
    warm_ms: dict[str, list[float]] = field(default_factory=dict)
    cold_ms: dict[str, list[float]] = field(default_factory=dict)
    reached_s: list[float] = field(default_factory=list)
    """From the moment at which a new model is ready to its first answer."""


def measure(options: argparse.Namespace) -> Found:
    found = Found()
    with (
        installed({"FAIRLEAD_ZYGOTE_MEMORY_MB": str(options.zygotes_mb)}) as platform,
        tempfile.TemporaryDirectory() as folder,
    ):
        platform.start()
        platform.push(onnx_bundle(Path(folder) / "onnx", "idle-onnx"))
        platform.push(sklearn_bundle(Path(folder) / "sklearn", "idle-sklearn"))
        for kind in KINDS:
            platform.predict(f"idle-{kind}")
        said = "/api/v1/models/idle-sklearn"
        platform.until(lambda: b"compiled (onnx)" in platform.ask("GET", said).body, "scikit-learn is compiled", 120)
        for kind in KINDS:
            platform.rest(f"idle-{kind}")
        for count in options.models:
            platform.stop()
            copies(platform, "idle-onnx", (f"copy-{number:04d}" for number in range(count)))
            found.points.append(_point(platform, count))
            print(_row(found.points[-1]), flush=True)
        for kind in KINDS:
            model = f"idle-{kind}"
            platform.predict(model)
            found.warm_ms[kind] = [platform.wake(model) for _ in range(options.wakes)]
            found.cold_ms[kind] = [platform.wake(model, cold=True) for _ in range(options.cold)]
        new = [onnx_bundle(Path(folder) / name, name) for name in (f"new-{at}" for at in range(options.pushes))]
        found.reached_s = [platform.reached(one) for one in new]
    return found


def _point(platform: Installed, count: int) -> Point:
    start_s = platform.start()
    routes = platform.home.envoy / "routes" / "routes.json"
    last = f"copy-{count - 1:04d}" if count else "idle-onnx"
    platform.until(lambda: last.encode() in routes.read_bytes(), f"the front door knows {last}")
    still, since = len(platform.zygotes()), time.monotonic()
    while time.monotonic() - since < STILL_S:
        time.sleep(0.2)
        if len(platform.zygotes()) != still:
            still, since = len(platform.zygotes()), time.monotonic()
    before, began = sum(platform.cpu_s().values()), time.monotonic()
    time.sleep(STILL_S)
    share = (sum(platform.cpu_s().values()) - before) / (time.monotonic() - began)
    return Point(count, start_s, platform.memory_mb(), share, still)


def _row(point: Point) -> str:
    parts = [point.memory_mb.get(name, 0) for name in ("keeper", "control", "envoy", "bus", "zygotes")]
    told = " | ".join(f"{part:,.0f}" for part in parts)
    return f"| {point.models:,} | {told} | {point.total_mb:,.0f} | {point.start_s:.1f} | {point.cpu_share:.0%} |"


def table(found: Found) -> str:
    """Return the memory in Markdown, in MB of proportional set."""
    head = "| sleeping models | keeper | control | front door | bus | zygotes | all | started in s | CPU at rest |"
    return "\n".join([head, f"|{'--:|' * 9}", *map(_row, found.points)])


def wakes(found: Found) -> str:
    """Return the times to the first answer in Markdown, in milliseconds."""
    lines = ["| model | zygote | p50 ms | p99 ms | wakes |", "|---|---|--:|--:|--:|"]
    for name, of_kind in (("warm", found.warm_ms), ("cold", found.cold_ms)):
        for kind, times in of_kind.items():
            if times:
                lines.append(f"| {kind} | {name} | {statistics.median(times):.0f} | {p99(times):.0f} | {len(times)} |")
    return "\n".join(lines)


def reached(found: Found) -> str:
    """Return how soon new models answer, in Markdown."""
    if not found.reached_s:
        return ""
    median, worst = statistics.median(found.reached_s), max(found.reached_s)
    return f"""
A model that is pushed while they sleep answers at the front door {median:.2f} s after it is ready (the median of
{len(found.reached_s)}; the slowest {worst:.2f} s).
"""


def p99(times: list[float]) -> float:
    """Return the 99th of a hundred; of fewer the worst."""
    return sorted(times)[min(len(times) - 1, int(0.99 * len(times)))]


def aims(found: Found) -> list[Aimed]:
    made = [
        Aimed(f"first answer, zygote warm, {kind}: ms (median)", statistics.median(times), 100, False)
        for kind, times in found.warm_ms.items()
    ]
    largest = max(found.points, key=lambda one: one.models)
    if found.reached_s:
        what = f"a model pushed beside {largest.models:,} that sleep: s from ready to the first answer (worst)"
        made.append(Aimed(what, max(found.reached_s), 1, False))
    made.append(Aimed(f"{largest.models:,} sleeping models: MB in all", largest.total_mb, 1000, False))
    return made


def run(options: argparse.Namespace) -> tuple[str, list[Aimed]]:
    """Return the part of the page, and what is aimed at."""
    found = measure(options)
    base, top = found.points[0], found.points[-1]
    each = 1024 * (top.total_mb - base.total_mb - top.memory_mb.get("zygotes", 0) + base.memory_mb.get("zygotes", 0))
    text = f"""## Models that sleep

Copies of one small ONNX model, each with a name of its own; proportional set of all processes in MB. The memory of warm
zygotes is a budget (`zygote_memory_mb`), here {options.zygotes_mb} MB; beside it a sleeping model takes
{each / max(1, top.models - base.models):,.0f} KB.

{table(found)}

First answer of a model that sleeps, through the front door with a token, while {top.models:,} others sleep; from the
call to the whole answer. Cold: its zygote ended before, so that it imports everything anew.

{wakes(found)}
{reached(found)}"""
    return text, aims(found)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[0, 100, 300, 1000])
    parser.add_argument("--wakes", type=int, default=20)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--pushes", type=int, default=5)
    parser.add_argument("--zygotes-mb", type=int, default=256)
    return parser


if __name__ == "__main__":
    alone(run, arguments())
