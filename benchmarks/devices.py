"""How many readings, commands and devices a platform takes, whole: devices, front door, bus, control, app.

    python benchmarks/devices.py [--devices 2000] [--seconds 15] [--rates 5000 11500] [--out docs/benchmarks]

A platform of its own is started, devices of a type of its own connect over MQTT through its door, and a share of them
is bound to a run of an app. Each rate is sent for some seconds: what came into history is counted there, what came to
the app by the app. Commands go through the API one at a time, up to ``observed``. Then the bus is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import http.client
import json
import math
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from measure import Aimed, aim_table, free_port, machine
from push import FAIRLEAD
from swarm import Swarm

APP_SHARE = 0.3
"""Of the devices that are bound to the app: 3,000 of 10,000 readings a second."""
COMMANDS = 200
KEPT_S = 60.0
BACK_S = 120.0
PROGRAMS = {"fairlead.api": "control", "nats-server": "bus", "envoy": "front door", "fairlead.sdk.run": "app"}
"""Whose processor time is told apart, by a word of their command line; all else is the keeper's."""
TYPE = """
name = "bench-meter"
version = "1.0.0"
[properties.value]
type = "number"
minimum = -50
maximum = 150
fresh_s = 600
[properties.on]
type = "boolean"
access = "rw"
"""
APP = """
import fairlead

app = fairlead.App()
meters = app.devices("meters")
seen = told = 0


@app.on(meters.value, every=True)
async def look(reading: fairlead.Reading) -> None:
    global seen
    seen += 1


@app.every(1)
async def tell() -> None:
    global told
    if seen != told:
        told = seen
        app.log.info("seen %d", seen)
"""


class House:
    """A ``fairlead up`` of its own with devices, and an app bound to some."""

    def __init__(self, root: Path, devices: int) -> None:
        self.root, self.port, self.mqtt = root, free_port(), free_port()
        self.home = root / "home"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
        self.env = kept | {"FAIRLEAD_CONFIG": str(root / "config"), "FAIRLEAD_HOME": str(self.home)}
        self.env["PYTHONUNBUFFERED"] = "1"
        ports = ["--listen", f"127.0.0.1:{self.port}", "--devices", f"127.0.0.1:{self.mqtt}"]
        self.process = subprocess.Popen(
            [FAIRLEAD, "up", "--home", str(self.home), *ports],
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if not any(line.startswith("ready ") for line in self.process.stdout):
            raise ChildProcessError(f"fairlead up ended with {self.process.wait()}")
        self.names = [f"m-{number}" for number in range(devices)]
        self.passwords = self._register(int(devices * APP_SHARE))

    def say(self, *arguments: str) -> str:
        return subprocess.run(
            [FAIRLEAD, *arguments], env=self.env, capture_output=True, text=True, check=True
        ).stdout.strip()

    def _register(self, bound: int) -> list[tuple[str, str]]:
        (self.root / "type.toml").write_text(TYPE)
        file, passwords = self.root / "devices.csv", self.root / "passwords.csv"
        rows = [f"{name},bench-meter,bench/{'app' if n < bound else 'rest'}" for n, name in enumerate(self.names)]
        file.write_text("\n".join(["id,type,at", *rows]) + "\n")
        self.say("types", "add", str(self.root / "type.toml"))
        self.say("locations", "add", "bench/app")
        self.say("locations", "add", "bench/rest")
        self.say("devices", "add", "--file", str(file), "--passwords", str(passwords))
        with passwords.open() as lines:
            return [(row["id"], row["password"]) for row in csv.DictReader(lines)]

    def run_app(self) -> str:
        """Push the app, run it, and return its run once it is ready."""
        folder = self.root / "app"
        folder.mkdir()
        (folder / "app.py").write_text(APP)
        role = '[devices]\nmeters = { type = "bench-meter@1", count = "1.." }\n'
        (folder / "fairlead.toml").write_text(f'kind = "app"\nname = "bench-count"\n[run]\nentry = "app:app"\n{role}')
        self.say("push", str(folder))
        self.say("apps", "run", "bench-count", "--at", "bench/app")
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            for run in json.loads(self.say("--json", "runs"))["items"]:
                if run["status"] == "ready":
                    return str(run["id"])
            time.sleep(0.5)
        raise TimeoutError("the app was not ready within 180 s")

    def kept(self) -> int:
        """Return how many readings are in history."""
        with contextlib.closing(sqlite3.connect(self.home / "fairlead.sqlite3")) as store:
            return int(store.execute("SELECT count(*) FROM readings WHERE property = 'value'").fetchone()[0])

    def seen(self, run: str) -> int:
        """Return how many readings the app said it has seen."""
        said = re.findall(r"seen (\d+)", self.say("logs", run, "--grep", "seen"))
        return max(map(int, said), default=0)

    def pid(self, name: str) -> int:
        return int(json.loads((self.home / "children" / f"{name}.json").read_text())["pid"])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


@contextlib.contextmanager
def house(devices: int) -> Iterator[House]:
    """Yield a platform; afterwards nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="fl-", ignore_cleanup_errors=True) as root:
        made = House(Path(root), devices)
        try:
            yield made
        finally:
            made.stop()


def spent(made: House) -> Counter[str]:
    """Return the processor seconds that each program of the platform has used."""
    root = psutil.Process(made.process.pid)
    used: Counter[str] = Counter()
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join(process.cmdline())
            name = next((name for word, name in PROGRAMS.items() if word in line), "keeper")
            used[name] += sum(process.cpu_times()[:2])
    return used


def p99_ms(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99) - 1] * 1e3


async def settled(made: House, wanted: int) -> tuple[int, float]:
    """Return how many readings were kept in the end, and how long after the last was sent."""
    began = time.monotonic()
    last, since = -1, began
    while time.monotonic() - began < KEPT_S:
        now = await asyncio.to_thread(made.kept)
        if now >= wanted:
            return now, time.monotonic() - began
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 5:
            break
        await asyncio.sleep(0.1)
    return last, since - began


async def readings(made: House, swarm: Swarm, run: str, rate: float, seconds: float) -> dict[str, float]:
    """Send at ``rate`` and return what became of it."""
    before, seen = await asyncio.to_thread(made.kept), await asyncio.to_thread(made.seen, run)
    sent, used = swarm.sent, spent(made)
    began = time.monotonic()
    told = await swarm.speak(rate, seconds)
    spoke_s = time.monotonic() - began
    wanted = swarm.sent - sent
    kept, late_s = await settled(made, before + wanted)
    used = spent(made) - used
    await asyncio.sleep(2.5)  # the app tells once a second, and its log travels
    return {
        "sent": told,
        "kept": (kept - before) / (spoke_s + late_s),
        "lost": wanted - (kept - before),
        "late_s": late_s,
        "handled": (await asyncio.to_thread(made.seen, run) - seen) / (spoke_s + late_s),
        **{name: used[name] / max(1, kept - before) * 1e6 for name in (*PROGRAMS.values(), "keeper")},
    }


def commands(made: House) -> list[float]:
    """Return the seconds from each request to its answer; one that is not ``observed`` in the end took for ever."""
    known = json.loads((made.root / "config" / "sessions.json").read_text())
    token = known["sessions"][f"http://127.0.0.1:{made.port}"]["token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=60)
    took = []
    for number in range(COMMANDS):
        name = made.names[number * 7 % len(made.names)]
        body = json.dumps({"set": {"on": True}, "hold_s": 600})
        began = time.perf_counter()
        connection.request("POST", f"/api/v1/devices/{name}/commands", body, headers)
        answer = json.loads(connection.getresponse().read())
        took.append(time.perf_counter() - began if answer.get("status") == "observed" else math.inf)
    connection.close()
    return took


async def back(made: House, swarm: Swarm) -> float:
    """Kill the bus and return after how many seconds all devices are back."""
    psutil.Process(made.pid("bus")).kill()
    began = time.monotonic()
    async with asyncio.timeout(30):
        while swarm.ready == len(swarm.devices):
            await asyncio.sleep(0.005)
    with contextlib.suppress(TimeoutError):
        await swarm.all_ready(timeout_s=BACK_S)
    return time.monotonic() - began if swarm.ready == len(swarm.devices) else math.inf


async def run(options: argparse.Namespace) -> str:
    """Return in Markdown what was measured, and whether the aims are met."""
    aims: list[Aimed] = []
    parts = (*PROGRAMS.values(), "keeper")
    rows = [
        f"| sent /s | kept /s | lost | last after s | app /s | {' | '.join(f'{one}: CPU µs' for one in parts)} |",
        f"|--:|--:|--:|--:|--:|{'--:|' * len(parts)}",
    ]
    with house(options.devices) as made:
        swarm = Swarm(made.mqtt, made.passwords)
        connected_s = await swarm.connect()
        app = await asyncio.to_thread(made.run_app)
        for rate in options.rates:
            one = await readings(made, swarm, app, rate, options.seconds)
            rows.append(
                f"| {one['sent']:,.0f} | {one['kept']:,.0f} | {one['lost']:,.0f} | {one['late_s']:.1f} "
                f"| {one['handled']:,.0f} | {' | '.join(f'{one[part]:.0f}' for part in parts)} |"
            )
            print(rows[-1], flush=True)
        quiet = await asyncio.to_thread(commands, made)
        speaking = asyncio.create_task(swarm.speak(options.devices / 2, 3600))
        loaded = await asyncio.to_thread(commands, made)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        lines = ["| commands | p50 ms | p99 ms | worst ms |", "|---|--:|--:|--:|"]
        for what, took in (
            (f"{COMMANDS}, quiet", quiet),
            (f"{COMMANDS}, {options.devices / 2:,.0f} readings/s", loaded),
        ):
            p99 = p99_ms(took)
            lines.append(f"| {what} | {statistics.median(took) * 1e3:.1f} | {p99:.1f} | {max(took) * 1e3:.1f} |")
        back_s = await back(made, swarm)
    aims += [
        Aimed("property updates/s into history", one["kept"], 10_000),
        Aimed("of them to one app, /s", one["handled"], 3_000),
        Aimed("command round trip, quiet, p99: ms", p99_ms(quiet), 50, False),
        Aimed(f"{options.devices:,} devices back after the bus was killed: s", back_s, 10, False),
    ]
    first = f"{options.devices:,} devices signed in within {connected_s:.1f} s, a hundred at once."
    return "\n\n".join([first, "\n".join(rows), "\n".join(lines), aim_table(aims)]) + "\n"


def page(found: str, options: argparse.Namespace, load: float) -> str:
    """Return the page in Markdown."""
    made = f"`python benchmarks/devices.py --out docs/benchmarks` on {datetime.now(UTC):%Y-%m-%d}"
    return f"""# Devices

Made by {made}: {machine().replace("wrk", "the devices")}; load average before it {load:.1f}.
{options.devices:,} devices speak MQTT through the front door, each value a message of its own, {options.seconds:g} s a
rate; {APP_SHARE:.0%} of the devices are bound to a run of an app, which counts in a handler.
A command goes from `POST /api/v1/devices/…/commands` to its answer `observed`.

{found}"""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rates", type=float, nargs="+", default=[5_000, 11_500])
    parser.add_argument("--out", type=Path)
    return parser


if __name__ == "__main__":
    options = arguments().parse_args()
    load = os.getloadavg()[0]
    print(f"{machine()}; load average {load:.1f}\n", flush=True)
    found = asyncio.run(run(options))
    print(found)
    if options.out is not None:
        (options.out / "devices.md").write_text(page(found, options, load))
