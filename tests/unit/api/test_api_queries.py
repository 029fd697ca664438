"""Lists take as many queries for many as for one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine


async def queries(world: Any, path: str) -> int:
    """Return how many queries a GET takes, those of loops that read meanwhile among them."""
    count = 0

    def one(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal count
        count += statement.lstrip().upper().startswith("SELECT")

    await world.ok(world.by("zoe").get(path))
    event.listen(Engine, "before_cursor_execute", one)
    try:
        await world.ok(world.by("zoe").get(path))
    finally:
        event.remove(Engine, "before_cursor_execute", one)
    return count


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/status", "/api/v1/runs"])
async def test_a_list_takes_as_many_queries_for_many_as_for_one(world: Any, path: str) -> None:
    async def more(number: int) -> None:
        await world.model(f"flowers-{number}")
        await world.smart(f"smart-{number}", more="")
        body = {"app": f"smart-{number}", "at": "lab", "name": f"run-of-{number}", "now": True}
        await world.ok(world.by("zoe").post("/api/v1/schedules", json=body))

        async def there() -> bool:
            found = (await world.by("zoe").get("/api/v1/runs")).json()["items"]
            return len(found) == number and all(run["status"] == "ready" for run in found)

        await world.until(there)

    await world.room()
    await more(1)
    few = min([await queries(world, path) for _ in range(3)])
    for number in (2, 3, 4, 5):
        await more(number)
    assert min([await queries(world, path) for _ in range(3)]) <= few
