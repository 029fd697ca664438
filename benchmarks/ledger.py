"""How many jobs a second the ledger accepts and carries to their end: rows committed and synced each time.

Accepting is one write a job, by so many submitters at once; carrying is ordering, beginning and ending.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import tempfile
import time
from datetime import UTC, datetime

from measure import Aimed

from fairlead.accounts.policy import SYSTEM
from fairlead.jobs import orders, service
from fairlead.jobs.limits import Limits
from fairlead.messages import JobOrder
from fairlead.store.database import Database, open_database

BODY = b'{"x": [' + b"0.5," * 120 + b"0.5]}"


async def measure(url: str, submitters: int, jobs: int) -> float:
    """Print jobs/s and the time one submission takes; returns the jobs accepted in a second."""
    times: list[float] = []
    limits = Limits()
    async with open_database(url) as database:

        async def submit(count: int) -> None:
            for _ in range(count):
                began = time.perf_counter()
                asked = service.Submission(model="m", version="1", body=BODY)
                whole = service.Asked(SYSTEM, asked, datetime.now(UTC), limits=limits)
                await database.write_joined(service.submit_all, whole)
                times.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(submit(jobs // submitters) for _ in range(submitters)))
        took = time.perf_counter() - began
        carried = await carry(database, submitters)
    times.sort()
    p50, p99 = (1000 * times[int(len(times) * share)] for share in (0.5, 0.99))
    accepted = f"{len(times) / took:8.0f} jobs/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms"
    print(f"{submitters:5} submitters: {accepted}   carried {carried:6.0f}/s")
    return len(times) / took


async def carry(database: Database, workers: int) -> float:
    """Order, begin and end all jobs that are due, and return how many a second."""
    began = time.perf_counter()
    count = 0

    async def work(given: list[JobOrder]) -> None:
        for order in given:
            now = datetime.now(UTC)
            await database.write_joined(service.begin_all, service.Began(order.job, order.epoch, "rep-1", now))
            done = service.Ended(order.job, order.epoch, service.Result(b"1"), now, 0.5)
            await database.write_joined(service.end_all, done)

    while due := (await database.read(lambda session: orders.due(session, datetime.now(UTC)))).heads:
        nodes = dict.fromkeys(orders.in_turn(due.values()), "local")
        ordered = await database.write(functools.partial(orders.order_all, nodes=nodes, now=datetime.now(UTC)))
        await asyncio.gather(*(work(ordered[worker::workers]) for worker in range(workers)))
        count += len(ordered)
    return count / (time.perf_counter() - began)


def run(url: str | None = None, jobs: int = 3000) -> list[Aimed]:
    """Print the rates; returns the one that has an aim."""
    rates: dict[int, float] = {}
    for submitters in (1, 50, 500):
        with tempfile.TemporaryDirectory() as folder:
            rates[submitters] = asyncio.run(measure(url or f"sqlite:///{folder}/ledger.sqlite3", submitters, jobs))
    return [Aimed("50 submitters: jobs/s accepted by the ledger", rates[50], 3000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="database; default: SQLite in a temporary folder")
    parser.add_argument("--jobs", type=int, default=3000)
    asked = parser.parse_args()
    run(asked.url, asked.jobs)


if __name__ == "__main__":
    main()
