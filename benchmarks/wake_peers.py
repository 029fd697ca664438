"""First answer from nothing: the same ONNX model started cold by other model servers, and woken from zero by Fairlead.

A peer has no state between nothing and a running server, so it is its command that is started; Fairlead's platform is
up, as the model sleeps in it. Each peer is started once before, so that its files are in the page cache; rounds take
turns.

    python benchmarks/wake_peers.py [--peers bentoml litserve rayserve] [--rounds 2]
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

from installed import BODY, installed, onnx_bundle
from measure import Aimed, Served, alone
from peers import environment, peer

PEERS = ("bentoml", "litserve", "rayserve")
LIMIT_S = 180.0
Times = dict[str, list[float]]
found: list[tuple[str, float]] = []
"""Who, and the median in seconds, of the last run; the soonest first."""
WARM, COLD = "Fairlead, zygote warm", "Fairlead, zygote cold"


def started(name: str, folder: Path) -> float:
    """Start a peer, and return the seconds until its first right answer; it is ended."""
    began = time.perf_counter()
    server = peer(name, "floats", folder)
    try:
        while True:
            if _is_answered(server):
                return time.perf_counter() - began
            if server.process.poll() is not None or time.perf_counter() - began > LIMIT_S:
                raise ChildProcessError(f"{name} never answered: see {folder}/{name}-floats.log")
            time.sleep(0.01)
    finally:
        server.stop()


def _is_answered(server: Served) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        connection.request("POST", server.path, server.body, server.headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status == 200 and "probability" in json.loads(content)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def measure(options: argparse.Namespace) -> Times:
    times: Times = {}
    for name in options.peers:
        environment(name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, installed() as platform:
        platform.start()
        platform.push(onnx_bundle(Path(root) / "bundle", "wake"))
        platform.predict("wake", BODY)
        for number in range(options.rounds + 1):  # they take turns, so that what else the machine does hits all
            for name in options.peers:
                folder = Path(root) / f"{name}-{number}"
                folder.mkdir()
                times.setdefault(name, []).append(started(name, folder))
            times.setdefault(WARM, []).extend(platform.wake("wake") / 1000 for _ in range(3))
            times.setdefault(COLD, []).append(platform.wake("wake", cold=True) / 1000)
    for name, of_it in times.items():
        del of_it[: 3 if name == WARM else 1]
    return times


def table(times: Times) -> str:
    """Return the seconds in Markdown, the soonest first, and how many of our wakes each takes."""
    best = statistics.median(times[WARM])
    lines = ["| who | first answer after s | best | worst | starts | by a wake of ours |", "|---|--:|--:|--:|--:|--:|"]
    for name, own in sorted(times.items(), key=lambda pair: statistics.median(pair[1])):
        middle = statistics.median(own)
        ends = f"{min(own):.2f} | {max(own):.2f} | {len(own)}"
        lines.append(f"| {name} | {middle:.2f} | {ends} | {middle / best:.0f} |")
    return "\n".join(lines)


def run(options: argparse.Namespace) -> tuple[str, list[Aimed]]:
    """Return the part of the page, and what is aimed at."""
    times = measure(options)
    versions = "; ".join(
        ", ".join((Path(__file__).parent / "peers" / f"{name}.txt").read_text().split()) for name in options.peers
    )
    best = statistics.median(times[WARM])
    found[:] = sorted(((name, statistics.median(own)) for name, own in times.items()), key=lambda pair: pair[1])
    text = f"""## First answer from nothing, beside others

The same ONNX model of 37 floats. Peers are started by their own command and asked until the answer is right; Fairlead's
model sleeps in a platform that runs. Versions: {versions}.

{table(times)}
"""
    aims = [
        Aimed(f"{name}'s cold start by our wake", statistics.median(times[name]) / best, 10) for name in options.peers
    ]
    return text, aims


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=2)
    return parser


if __name__ == "__main__":
    alone(run, arguments())
