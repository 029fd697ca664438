"""Lists take as many queries for many as for one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

PATHS = ("/api/v1/models", "/api/v1/status", "/api/v1/runs", "/v2/models/stats", "/v2/repository/index")


async def queries(world: Any, path: str) -> int:
    """Return how many queries a look takes, those of loops that read meanwhile among them."""
    zoe, count = world.by("zoe"), 0
    look = zoe.post if path.endswith("/index") else zoe.get

    def one(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal count
        count += statement.lstrip().upper().startswith("SELECT")

    await world.ok(look(path))
    event.listen(Engine, "before_cursor_execute", one)
    try:
        await world.ok(look(path))
    finally:
        event.remove(Engine, "before_cursor_execute", one)
    return count


async def test_a_list_takes_as_many_queries_for_many_as_for_one(world: Any) -> None:
    async def more(number: int) -> None:
        await world.model(f"flowers-{number}")
        await world.smart(f"smart-{number}", more="")
        body = {"app": f"smart-{number}", "at": "lab", "name": f"run-of-{number}", "now": True}
        await world.ok(world.by("zoe").post("/api/v1/schedules", json=body))

        async def there() -> bool:
            found = (await world.by("zoe").get("/api/v1/runs")).json()["items"]
            return len(found) == number and all(run["status"] == "ready" for run in found)

        await world.until(there)

    async def taken() -> dict[str, int]:
        return {path: min([await queries(world, path) for _ in range(3)]) for path in PATHS}

    await world.room()
    await more(1)
    few = await taken()
    for number in (2, 3, 4, 5):
        await more(number)
    assert {path: many for path, many in (await taken()).items() if many > few[path]} == {}


async def test_a_device_s_commands_take_as_many_queries_for_many_as_for_one(world: Any) -> None:
    path = "/api/v1/devices/fan-1/commands"

    async def more() -> None:
        await world.ok(world.by("zoe").post(path, json={"set": {"on": True}, "timeout_s": 0.01}))

    await world.room("fan-1")
    await more()
    few = min([await queries(world, path) for _ in range(3)])
    for _ in range(4):
        await more()
    assert min([await queries(world, path) for _ in range(3)]) <= few
