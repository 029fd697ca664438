"""A thousand pictures with a hundred workers through a fresh demo, and the page that tells of it: make faces.

    python benchmarks/faces.py [--requests 1000] [--workers 100] [--images FOLDER --expect answers.csv --gallery FOLDER]

Starts ``fairlead up --demo`` in a home of its own, pushes the example, makes a hundred photos of the people it draws,
has ``fairlead bench load`` send and check them, and writes docs/benchmarks/face-recognition.md and .svg. ``--images``
takes other pictures, ``--gallery`` other people (folders of pictures). The exit code is 1 where an answer was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from measure import free_port, machine

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "face-recognition"
TARGET = ROOT / "docs" / "benchmarks"
FAIRLEAD = str(Path(sys.executable).parent / "fairlead")
UP_S, STOP_S, SETTLE_S = 600.0, 90.0, 300
MODEL = "face-recognition"
TEXT = """# A thousand pictures, from no replica to many to none

<!-- Written by benchmarks/faces.py: make faces -->

`fairlead up --demo` in a new home, `fairlead push examples/face-recognition`, and then

```bash
{command}
```

**{correct:,} of {requests:,} right, {wrong} wrong, {failed} failed**, in {took_s:.0f} s; {at_most} replicas at most,
{last} in the end. {made}, on a machine that did other things too: {machine}.

![answers, latencies and replicas over time](face-recognition.svg)

| | |
|---|--:|
| answers a second | {per_s:.1f} |
| latency of a job, p50 | {p50:.1f} s |
| p90 | {p90:.1f} s |
| p99 | {p99:.1f} s |
| most | {max:.1f} s |
| the model asleep again after | {slept_s} |

A hundred wait at a time: latency is what it takes to work off those before.{pictures}

## Why so many replicas

What the autoscaler decided, as `GET /api/v1/models/{model}/scaling` tells it:

| after | replicas | why |
|--:|--:|---|
{decisions}

## What it does not show

The pictures are a hundred, sent again and again, and small; faces in them are drawn, so nothing here tells how well
dlib knows people. Who sends shares the machine's cores with the replicas. The first push, which downloads weights of
100 MB and takes a minute or more, is not part of it.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--images", type=Path, help="folder of pictures; default: a hundred that are drawn")
    parser.add_argument("--expect", type=Path, help="their right answers")
    parser.add_argument("--gallery", type=Path, help="folders of people, instead of those that are drawn")
    parser.add_argument("--out", type=Path, default=TARGET)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fl-faces-") as folder, demo(Path(folder)) as env:
        images, expect = asked.images, asked.expect
        if images is None:
            images = Path(folder) / "photos"
            run(env, sys.executable, str(EXAMPLE / "pictures" / "photos.py"), str(images), "100")
            expect = images / "answers.csv"
        began = time.monotonic()
        run(env, FAIRLEAD, "push", str(_bundle(Path(folder), asked.gallery)))
        print(f"pushed in {time.monotonic() - began:.0f} s", flush=True)
        asked.out.mkdir(parents=True, exist_ok=True)
        words = ["--requests", str(asked.requests), "--workers", str(asked.workers), "--settle", str(SETTLE_S)]
        chart = ["--chart", str(asked.out / "face-recognition.svg")]
        given = ["--images", str(images), "--expect", str(expect)]
        since = datetime.now(UTC)
        said = run(env, FAIRLEAD, "--json", "bench", "load", MODEL, *given, *words, *chart, good=(0, 1))
        figures = json.loads(said)
        page = _page(figures, _decisions(env, since), [*words, "--chart", "load.svg"], asked.images is None)
    (asked.out / "face-recognition.md").write_text(page, encoding="utf-8")
    print(page)
    return 0 if figures["correct"] == asked.requests else 1


@contextmanager
def demo(folder: Path) -> Iterator[dict[str, str]]:
    """Have a demo run in a home of its own; yields the environment of its commands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    home = folder / "home"
    env = kept | {"FAIRLEAD_HOME": str(home), "FAIRLEAD_CONFIG": str(folder / "config"), "PYTHONUNBUFFERED": "1"}
    listen, devices = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = [FAIRLEAD, "up", "--demo", "--home", str(home), "--listen", listen, "--devices", devices]
    log = folder / "up.log"
    with log.open("w") as said:
        process = subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _until_ready(process, log)
        yield env
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_S)


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_S
    while not any(line.startswith("ready ") for line in log.read_text().splitlines()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the demo is not up: {log.read_text()[-2000:]}")
        time.sleep(0.2)


def run(env: dict[str, str], *command: str, good: tuple[int, ...] = (0,)) -> str:
    """Return what a command says on stdout."""
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in good:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def _bundle(folder: Path, gallery: Path | None) -> Path:
    """Return the example, with the people of ``gallery`` where there is one."""
    if gallery is None:
        return EXAMPLE
    made = folder / MODEL
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns("__pycache__", "gallery"))
    shutil.copytree(gallery, made / "gallery")
    return made


def _decisions(env: dict[str, str], since: datetime) -> list[tuple[float, int, str]]:
    """Return what the autoscaler decided: seconds since ``since``, replicas, why."""
    ((url, session),) = json.loads((Path(env["FAIRLEAD_CONFIG"]) / "sessions.json").read_text())["sessions"].items()
    headers = {"Authorization": f"Bearer {session['token']}"}
    answer = httpx.get(f"{url}/api/v1/models/{MODEL}/scaling", headers=headers, timeout=30, trust_env=False)
    answer.raise_for_status()
    found = [
        ((datetime.fromisoformat(one["at"]) - since).total_seconds(), int(one["to"]), str(one["why"]))
        for one in answer.json()["decisions"]
    ]
    return sorted(one for one in found if one[0] >= 0)


def _page(figures: dict[str, Any], decisions: list[tuple[float, int, str]], words: list[str], drawn: bool) -> str:
    given = "fairlead bench load face-recognition --images photos --expect photos/answers.csv"
    draw = "python examples/face-recognition/pictures/photos.py photos 100\n" if drawn else ""
    looks = figures["replicas"]
    asleep = [look["at"] for look in looks if look["at"] > figures["took_s"] and not look["ready"]]
    pictures = (
        "The pictures are those of `examples/face-recognition/pictures/photos.py`, of four people." if drawn else ""
    )
    return TEXT.format(
        command=f"{draw}{given} {' '.join(words)}",
        **{name: figures[name] for name in ("correct", "requests", "wrong", "failed", "took_s", "per_s")},
        **figures["latency_s"],
        at_most=max(look["ready"] for look in looks),
        last=looks[-1]["ready"] or "none",
        made=datetime.now(UTC).date().isoformat(),
        machine=machine().replace(", shared with wrk", ""),
        slept_s=f"{asleep[0] - figures['took_s']:.0f} s" if asleep else "it was not seen asleep",
        pictures=pictures,
        model=MODEL,
        decisions="\n".join(f"| {at:.0f} s | {wanted} | {why} |" for at, wanted, why in decisions),
    )


if __name__ == "__main__":
    sys.exit(main())
