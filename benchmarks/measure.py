"""What the benchmarks share: wrk, processor time of process trees, interleaved rounds, tables."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

START_S = 120.0


class Served(NamedTuple):
    """A server under test."""

    name: str
    port: int
    path: str
    process: subprocess.Popen[bytes]
    body: bytes
    headers: dict[str, str]

    def stop(self) -> None:
        """End it with all its children."""
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self.process.kill()
        for child in family:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()


class Sample(NamedTuple):
    """One round of wrk."""

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float
    """Processor time of the server for each request: what a load generator on the same cores does not blur."""


class Aimed(NamedTuple):
    """A result that has an aim: a ratio of two things measured in one run, or a difference."""

    what: str
    result: float
    aim: float
    least: bool = True
    """Whether the aim is the least that is wanted, else the most."""

    @property
    def met(self) -> bool:
        return self.result >= self.aim if self.least else self.result <= self.aim


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_answers(server: Served) -> httpx.Response:
    """Return the first answer of 200; raises :class:`TimeoutError` or :class:`ChildProcessError`."""
    end = time.monotonic() + START_S
    found = "nothing"
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise ChildProcessError(f"{server.name} ended with {server.process.returncode}")
        try:
            url = f"http://127.0.0.1:{server.port}{server.path}"
            answer = httpx.post(url, content=server.body, headers=server.headers, timeout=10)
            if answer.status_code == 200:
                return answer
            found = f"{answer.status_code} {answer.text[:200]}"
        except httpx.TransportError as error:
            found = repr(error)
        time.sleep(0.05)
    raise TimeoutError(f"{server.name} never answered: {found}")


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process and its descendants have used."""
    used_s = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            used_s += sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return used_s


def wrk(server: Served, connections: int, seconds: float, folder: Path) -> Sample:
    """Load ``server`` for whole ``seconds``."""
    script = _script(server, folder)
    threads = min(connections, 8 if connections > 100 else 2)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    before_s = cpu_s(server.process.pid)
    url = f"http://127.0.0.1:{server.port}{server.path}"
    text = subprocess.run(
        [*command, "--latency", "-s", str(script), url], capture_output=True, text=True, check=True
    ).stdout
    used_s = cpu_s(server.process.pid) - before_s
    requests = int(_number(r"(\d+) requests in", text))
    bad = _number(r"Non-2xx or 3xx responses: (\d+)", text)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad += sum(map(int, socket_errors.groups())) if socket_errors else 0
    return Sample(
        rate=_number(r"Requests/sec:\s+([\d.]+)", text),
        p50_ms=_milliseconds(r"50%\s+([\d.]+)(us|ms|s)", text),
        p99_ms=_milliseconds(r"99%\s+([\d.]+)(us|ms|s)", text),
        errors=int(bad),
        cpu_us=used_s * 1e6 / max(1, requests),
    )


def _script(server: Served, folder: Path) -> Path:
    """Write the body and what wrk sends it with; bodies may be of any bytes."""
    body, script = folder / f"{server.name}-{server.port}.body", folder / f"{server.name}-{server.port}.lua"
    if not script.exists():
        body.write_bytes(server.body)
        headers = "".join(f'wrk.headers["{key}"] = "{value}"\n' for key, value in server.headers.items())
        script.write_text(f'wrk.method = "POST"\nwrk.body = io.open("{body}", "rb"):read("*a")\n{headers}')
    return script


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    return float(match[1]) if match else 0.0


def _milliseconds(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    return float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]] if match else float("nan")


def interleaved(
    servers: Sequence[Served], connections: int, seconds: float, rounds: int, folder: Path
) -> dict[str, list[Sample]]:
    """Return the rounds of each server, by name; they take turns, so that what else the machine does hits all."""
    found: dict[str, list[Sample]] = {server.name: [] for server in servers}
    for server in servers:
        wrk(server, connections, 1, folder)  # warm-up, forgotten
    for number in range(rounds):
        for server in servers if number % 2 else servers[::-1]:
            found[server.name].append(wrk(server, connections, seconds, folder))
    return found


def median(samples: Sequence[Sample], field: str) -> float:
    return statistics.median(getattr(sample, field) for sample in samples)


def spread(samples: Sequence[Sample]) -> float:
    """Return half the range of the rates over their mean."""
    rates = [sample.rate for sample in samples]
    return (max(rates) - min(rates)) / 2 / statistics.mean(rates) if any(rates) else 0.0


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample], field: str = "rate") -> float:
    """Return the median of the rounds' ratios: each compares what ran side by side."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(getattr(a, field) / max(1e-9, getattr(b, field)) for a, b in pairs)


def sample_table(rows: Sequence[tuple[str, Sequence[Sample]]]) -> str:
    """Return a table in Markdown: medians of each server's rounds."""
    lines = [
        "| server | requests/s | spread | p50 ms | p99 ms | CPU µs/request | errors |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, samples in rows:
        rate, p50, p99, cpu = (median(samples, field) for field in ("rate", "p50_ms", "p99_ms", "cpu_us"))
        errors = sum(sample.errors for sample in samples)
        lines.append(
            f"| {name} | {rate:,.0f} | ±{spread(samples):.0%} | {p50:.2f} | {p99:.1f} | {cpu:,.0f} | {errors} |"
        )
    return "\n".join(lines)


def aim_table(aims: Sequence[Aimed]) -> str:
    """Return a table in Markdown that says which aims are met."""
    lines = ["| what | result | aim | |", "|---|--:|--:|---|"]
    for one in aims:
        sign = "≥" if one.least else "≤"
        result = f"{one.result:,.0f}" if one.result >= 100 else f"{one.result:.2f}"
        lines.append(f"| {one.what} | {result} | {sign} {one.aim:,g} | {'met' if one.met else 'missed'} |")
    return "\n".join(lines)


def alone(run: Callable[[argparse.Namespace], tuple[str, list[Aimed]]], parser: argparse.ArgumentParser) -> None:
    """Run one part of a page by itself and print it, with what is aimed at."""
    options = parser.parse_args()
    print(f"{machine()}\n", flush=True)
    said, aimed = run(options)
    print(said)
    if aimed:
        print(aim_table(aimed))


def has_wrk() -> bool:
    """Whether the load generator is there; says so where it is not."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: the load generator of these benchmarks", file=sys.stderr)
        return False
    return True


def machine() -> str:
    """Return what the numbers depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "unknown processor")
    return f"{os.cpu_count()} cores ({model}), shared with wrk; Python {sys.version.split()[0]}"
