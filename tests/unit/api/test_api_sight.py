"""What belongs to a private app or model is nowhere for those who may not see it: every route that reads is asked."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from fairlead.clock import to_text
from fairlead.messages import CommandAsk
from fairlead.status import RunStatus

HIDDEN = '[access]\nvisibility = "private"\n[devices]\nfan = { type = "fan@1" }\n'
NEEDLES = ("undercover", "hush", "my-reason", "midnight")
"""The app, the model, why it commanded, its schedule."""


@pytest.fixture
async def secret(world: Any) -> dict[str, str]:
    """A private model of ada's; a private app of paul's, its schedule, a run of it and a command of that."""
    await world.room("fan-1", "temperature-1")
    await world.model("hush")
    await world.ok(world.by("ada").patch("/api/v1/models/hush", json={"visibility": "private"}))
    await world.smart("undercover", more=HIDDEN)
    body = {"app": "undercover", "at": "lab", "name": "midnight", "now": True}
    schedule = await world.ok(world.by("paul").post("/api/v1/schedules", json=body))

    async def runs() -> list[Any]:
        return list((await world.by("paul").get("/api/v1/runs")).json()["items"])

    async def ready() -> bool:
        return any(run["status"] == RunStatus.READY.value for run in await runs())

    await world.until(ready)
    run = (await runs())[0]["id"]
    ask = CommandAsk(run, "fan", "fan-1", {"on": True}, because=("my-reason",))
    await world.bus.request(ask)
    commands = (await world.by("paul").get("/api/v1/devices/fan-1/commands")).json()["items"]
    job = await world.by("ada").post("/v1/models/hush/jobs", json={"month": 1})
    return {
        "run": run,
        "schedule": schedule["id"],
        "command": commands[0]["id"],
        "job": job.json()["id"],
        "device": "fan-1",
        "digest": "0" * 64,
    }


def paths(world: Any, secret: dict[str, str]) -> list[str]:
    """Return every path that is read, for everything that is secret."""
    names = {
        "name": ["undercover", "hush"],
        "ref": ["undercover", "hush", "midnight", secret["schedule"]],
        "model": ["hush"],
        "model_name": ["hush"],
        "version": ["1"],
        "model_version": ["1"],
        "path": ["lab"],
        "property": ["on"],
        "number": ["1"],
        **{key: [value] for key, value in secret.items()},
    }
    found = []
    for template, methods in world.app.openapi()["paths"].items():
        if "get" not in methods:
            continue
        filled = [template]
        for key in re.findall(r"{(\w+)(?::\w+)?}", template):
            filled = [
                re.sub(rf"{{{key}(:\w+)?}}", value, one) for one in filled for value in names.get(key, [secret["run"]])
            ]
        found += filled
    whys = ("undercover", "hush", "hush@1", "undercover@1", "midnight", "fan-1", "fan-1.on", *secret.values())
    return [*found, *(f"/api/v1/why?of={of}" for of in whys), *(f"/api/v1/logs?of={of}" for of in whys)]


async def read(world: Any, name: str, path: str) -> str:
    """Return what ``path`` answers, of a stream what comes at once; events are read from the first."""
    if path.endswith(("/events", "/follow")):
        path += "?after=0" if path.endswith("v1/events") else ""
        call = asyncio.create_task(_stream(world, name, path))
        async with asyncio.timeout(30):  # until it answers at all: a slow machine must not make this see nothing
            while not (call.done() or _SEEN.get((name, path))):
                await asyncio.sleep(0.01)
        await asyncio.wait([call], timeout=0.5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return "".join(_SEEN.pop((name, path), []))
    return str((await world.by(name).get(path)).text)


_SEEN: dict[tuple[str, str], list[str]] = {}


async def _stream(world: Any, name: str, path: str) -> None:
    """Call the application itself: the client would wait for the end of a stream."""
    path, _, query = path.partition("?")
    headers = [(b"host", b"127.0.0.1:8080"), (b"authorization", f"Bearer {world.token(name)}".encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "root_path": "",
    }
    said = _SEEN.setdefault((name, f"{path}?{query}" if query else path), [])

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        said.append(message.get("body", b"").decode())

    await world.app(scope, receive, send)


async def test_nothing_of_what_is_private_is_found_by_reading(world: Any, secret: dict[str, str]) -> None:
    found: dict[str, set[str]] = {"zoe": set(), "paul": set()}
    every = paths(world, secret)
    assert len(every) > 50
    for name in found:
        for path in every:
            text = await read(world, name, path)
            asked = path.partition("?of=")[2]
            # What was asked for is named in refusals, as it would be if it were not there.
            hidden = (*NEEDLES, secret["schedule"], secret["job"])
            # A device says by which run and command it is held, by their ids alone: they lead nowhere.
            hidden += () if path.startswith("/api/v1/devices") else (secret["run"], secret["command"])
            told = [word for word in hidden if word in text and word not in path and word != asked]
            if name == "zoe":
                assert not told, (path, told, text)
            found[name] |= set(told)
    assert {"undercover", "midnight", "my-reason"} <= found["paul"], "the owner sees it: the test looks at something"


async def test_what_is_private_is_not_there_for_others(world: Any, secret: dict[str, str]) -> None:
    zoe = world.by("zoe")
    assert (await zoe.get("/api/v1/schedules")).json()["items"] == []
    world.refused(await zoe.get("/api/v1/schedules/midnight"), 404, "schedule_not_found")
    world.refused(await zoe.get(f"/api/v1/runs/{secret['run']}"), 404, "run_not_found")
    world.refused(await zoe.get(f"/api/v1/commands/{secret['command']}"), 404, "command_not_found")
    for of in ("midnight", secret["schedule"], secret["run"], secret["command"], "undercover", "hush", "hush@1"):
        world.refused(await zoe.get("/api/v1/why", params={"of": of}), 404, "not_found")
    told = (await zoe.get("/api/v1/why", params={"of": "fan-1.on", "at": to_text(world.house.clock.now())})).json()
    assert told["answer"].startswith("A private app ")
    status = (await zoe.get("/api/v1/status")).json()
    assert (status["models"], status["runs"], status["jobs"]) == ({}, {}, {})
    body = {"app": "smart", "at": "lab", "dry_run": True, "windows": [{"from": "00:00", "to": "24:00"}]}
    await world.smart()
    assert [one["schedule"] for one in (await zoe.post("/api/v1/schedules", json=body)).json()["conflicts"]] == [
        "another schedule"
    ]
