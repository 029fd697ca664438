"""How much of a replica's capacity is left for answers in time when three times as many calls come.

One model server with a model that works for 20 ms, one call at a time. First closed-loop callers measure what it can
answer; then calls come at random moments, three times as many, and each waits half a second (``Prefer: wait``). Answers
that came in time, by the capacity of the same run, are the result. The callers share the machine with the model.

    python benchmarks/overload.py [--seconds 8] [--factor 3] [--wait 0.5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from measure import Aimed, aim_table, machine

MODEL = """
import time, fairlead
class Work(fairlead.Model):
    def predict(self, s: float) -> float:
        time.sleep(s)
        return s
"""
SERVE = """
import os, sys
from fairlead.messages import BatchSpec, Fork, ModelSpec
from fairlead.modelserver.server import serve
folder = sys.argv[1]
spec = ModelSpec(name="bench", version="1", runtime="python", entry="work:Work", batch=BatchSpec(max_size=1))
os._exit(serve(Fork("r", spec, "gate", folder, folder, folder + "/s", folder + "/k")))
"""
PATH = "/v1/models/bench/predict"
WORK_S = 0.02
CALLERS = 4
LATE_S = 0.05
"""An answer is in time where the caller has it so long after its time at most: the callers are slow themselves."""


def main() -> int:
    options = arguments().parse_args()
    print(f"{machine()}\n", flush=True)
    print(f"\n{aim_table(run(options))}")
    return 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--factor", type=float, default=3)
    parser.add_argument("--wait", type=float, default=0.5, help="seconds that each call waits")
    return parser


def run(options: argparse.Namespace) -> list[Aimed]:
    """Measure capacity and what is left of it; print both."""
    with tempfile.TemporaryDirectory(prefix="fl-") as folder, served(Path(folder)) as socket:
        capacity = asyncio.run(closed(socket, options.seconds / 2))
        rate = options.factor * capacity
        outcomes, refusals_s = asyncio.run(opened(socket, rate, options.seconds, options.wait))
    good = outcomes["200"] / options.seconds
    print(f"capacity {capacity:.1f} calls/s; offered {rate:.1f} calls/s, each waits {options.wait:g} s")
    print(f"answered in time {good:.1f} calls/s; " + ", ".join(f"{key}: {n}" for key, n in sorted(outcomes.items())))
    half, most = refusals_s[len(refusals_s) // 2], refusals_s[-1]
    print(f"refusals took {1000 * half:.1f} ms (half of them), {1000 * most:.0f} ms at most")
    return [Aimed(f"answers in time at {options.factor:g} times capacity, by capacity", good / capacity, 0.9)]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the model inside the block; yields its socket."""
    (folder / "work.py").write_text(MODEL)
    process = subprocess.Popen([sys.executable, "-P", "-c", SERVE, str(folder)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        with httpx.Client(transport=httpx.HTTPTransport(uds=f"{folder}/s"), base_url="http://r") as client:
            while not _is_ready(client):
                if time.monotonic() > end:
                    raise TimeoutError("the model server is not ready after 30 s")
                time.sleep(0.05)
        yield f"{folder}/s"
    finally:
        process.kill()
        process.wait()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/healthz").json()["ready"])
    except httpx.TransportError:
        return False


async def ask(socket: str, prefer: str = "") -> str:
    """Call once on a connection of its own, with little work; return the status."""
    body = json.dumps({"s": WORK_S})
    head = f"POST {PATH} HTTP/1.1\r\nhost: r\r\nx-fairlead-gate: gate\r\nconnection: close\r\n{prefer}"
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        return (await reader.readline()).split()[1].decode()
    finally:
        writer.close()


async def closed(socket: str, seconds: float) -> float:
    """Return calls a second that a few callers get answered who ask again at once."""
    answered, end = Counter[str](), time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < end:
            answered[await ask(socket)] += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return answered["200"] / seconds


async def opened(socket: str, rate: float, seconds: float, wait_s: float) -> tuple[Counter[str], list[float]]:
    """Send calls at random moments; return how many ended how, and what refusals took."""
    chance, outcomes, refusals_s = random.Random(1), Counter[str](), [0.0]

    async def call() -> None:
        began = time.monotonic()
        status = await ask(socket, f"prefer: wait={wait_s:g}\r\n")
        took_s = time.monotonic() - began
        if status == "429":
            refusals_s.append(took_s)
        outcomes["late" if status == "200" and took_s > wait_s + LATE_S else status] += 1

    async with asyncio.TaskGroup() as group:
        at, end = time.monotonic(), time.monotonic() + seconds
        while (at := at + chance.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            group.create_task(call())
    return outcomes, sorted(refusals_s)


if __name__ == "__main__":
    sys.exit(main())
