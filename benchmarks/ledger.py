"""How many jobs a second the ledger accepts: rows committed and synced, by so many submitters at once."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime

from fairlead.accounts.policy import SYSTEM
from fairlead.jobs import service
from fairlead.store.database import open_database

BODY = b'{"x": [' + b"0.5," * 120 + b"0.5]}"


async def measure(url: str, submitters: int, jobs: int) -> None:
    """Print jobs/s and the time one submission takes."""
    times: list[float] = []
    async with open_database(url) as database:

        async def submit(count: int) -> None:
            for _ in range(count):
                began = time.perf_counter()
                asked = service.Submission(model="m", version="1", body=BODY)
                await database.write_joined(service.submit_all, service.Asked(SYSTEM, asked, datetime.now(UTC)))
                times.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(submit(jobs // submitters) for _ in range(submitters)))
        took = time.perf_counter() - began
    times.sort()
    p50, p99 = (1000 * times[int(len(times) * share)] for share in (0.5, 0.99))
    print(f"{submitters:5} submitters: {len(times) / took:8.0f} jobs/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="database; default: SQLite in a temporary folder")
    parser.add_argument("--jobs", type=int, default=3000)
    asked = parser.parse_args()
    for submitters in (1, 50, 500):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(asked.url or f"sqlite:///{folder}/ledger.sqlite3", submitters, asked.jobs))


if __name__ == "__main__":
    main()
