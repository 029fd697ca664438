"""The Open Inference Protocol at control: what it tells of models without waking them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from fairlead.api.views.inference import metadata_view
from fairlead.clock import SystemClock, to_text
from fairlead.figures import Figures, Histogram, recent
from fairlead.messages import ModelSpec, NodeReport, ReplicaReport, Rest, VersionReport, Wake
from fairlead.status import ReplicaStatus, VersionStatus

FIGURES = Figures(
    served=7,
    refused=(1, 0, 0, 0, 1),
    duration=Histogram((0, 0, 0, 0, 7), 0.7),
    queue=Histogram((7,), 0.1),
    compute=Histogram((7,), 0.5),
    batches=Histogram((1, 0, 2), 9),
    input_s=0.05,
)
PRIVATE = '[access]\nvisibility = "private"'


def refused(answer: httpx.Response, status: int) -> str:
    """Return what is said, after checking that it is said as the protocol says errors."""
    assert (answer.status_code, list(answer.json())) == (status, ["error"]), answer.text
    assert answer.headers["x-request-id"]
    said = answer.json()["error"]
    assert isinstance(said, str)
    return said


def hear(world: Any, **replica: Any) -> None:
    """Have control hear of one replica of ``flowers@1``."""
    world.keeper.silent = True
    now = to_text(SystemClock().now())
    one = ReplicaReport("r1", "flowers", "1", **({"status": ReplicaStatus.READY} | replica))
    version = VersionReport(
        "flowers",
        "1",
        VersionStatus.READY,
        last_called="2026-11-20T14:03:00Z",
        figures=FIGURES,
        recent=recent(FIGURES, 120),
        cold_starts=Histogram((0, 2), 0.2),
    )
    world.house.nodes.take(NodeReport("local", 1, now, replicas=(one,), versions=(version,)))
    world.house.waiters.tell("reports")


def test_weights_of_torch_with_code_are_no_torchscript() -> None:
    signature = {"endpoints": {"predict": {"input": {}, "output": {}}}}
    assert metadata_view(ModelSpec("m", "1", "torch"), signature, ["1"])["platform"] == "pytorch"


async def test_the_server_tells_its_name_and_that_it_lives_without_a_token(world: Any) -> None:
    nobody = world.by("")
    assert await world.ok(nobody.get("/v2/health/live")) == {"live": True}
    assert (await world.ok(nobody.get("/v2/health/ready")))["ready"] is True
    for path in ("/v2", "/v2/"):
        told = await world.ok(world.by("zoe").get(path))
        assert (told["name"], told["version"]) == ("fairlead", world.house.version)
        assert {"binary_tensor_data", "statistics"} <= set(told["extensions"])
        refused(await nobody.get(path), 401)


async def test_metadata_comes_from_the_stored_signature(world: Any) -> None:
    await world.model()
    await world.model(content="other")
    zoe = world.by("zoe")
    told = await world.ok(zoe.get("/v2/models/flowers"))
    month = {"name": "month", "datatype": "INT64", "shape": [-1], "parameters": {"optional": True}}
    assert told == {"name": "flowers", "versions": ["2"], "platform": "python", "inputs": [month], "outputs": []}
    for ref in ("2", "production"):
        assert await world.ok(zoe.get(f"/v2/models/flowers/versions/{ref}")) == told
        assert await world.ok(zoe.get(f"/v2/models/flowers/versions/{ref}/ready")) == {"name": "flowers", "ready": True}
    assert (await world.ok(zoe.get("/v2/models/flowers/ready")))["ready"] is True
    assert await world.ok(zoe.get("/v2/models")) == {"models": ["flowers"]}
    config = await world.ok(zoe.get("/v2/models/flowers/config"))
    assert config == await world.ok(zoe.get("/v2/models/flowers/versions/production/config"))
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("flowers", "python", 64)
    assert config["input"] == [{"name": "month", "data_type": "TYPE_INT64", "dims": [1], "optional": True}]


async def test_what_is_not_there_is_said_as_the_protocol_says_it(world: Any) -> None:
    await world.model()
    await world.model(content="other")
    await world.model("secret", more=PRIVATE)
    zoe = world.by("zoe")
    for name in ("roses", "secret"):
        for tail in ("", "/ready", "/stats", "/versions/1", "/versions/1/ready"):
            path = f"/v2/models/{name}{tail}"
            assert refused(await zoe.get(path), 404).startswith(f"{path}: there is no such model")
    assert "no alias names flowers@1" in refused(await zoe.get("/v2/models/flowers/versions/1"), 410)
    assert "no version 9" in refused(await zoe.get("/v2/models/flowers/versions/9"), 404)
    assert "no version 9" in refused(await zoe.post("/v2/models/flowers/versions/9/infer"), 404)
    assert "no alias canary" in refused(await zoe.get("/v2/models/flowers/versions/canary/ready"), 404)
    refused(await zoe.get("/v2/models/flowers/other"), 404)
    refused(await zoe.delete("/v2/models/flowers"), 405)
    refused(await zoe.post("/v2/repository/index", content=b"no json"), 400)


async def test_a_version_that_does_not_start_is_not_ready(world: Any) -> None:
    world.keeper.fail.add("flowers")
    await world.push()
    ada = world.by("ada")

    async def failed() -> bool:
        (one,) = await world.ok(ada.post("/v2/repository/index"))
        return bool(one["state"] == "UNAVAILABLE")

    await world.until(failed)
    answer = await ada.get("/v2/models/flowers/ready")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    refused(await ada.get("/v2/models/flowers"), 503)
    assert await world.ok(ada.post("/v2/repository/index", json={"ready": True})) == []


async def test_the_index_and_the_statistics_tell_of_what_one_may_see(world: Any) -> None:
    await world.model()
    await world.model("secret", more=PRIVATE)
    hear(world, served=7, failed=2)
    zoe = world.by("zoe")
    line = {"name": "flowers", "version": "1", "state": "READY", "reason": ""}
    assert await world.ok(zoe.post("/v2/repository/index", json={"ready": True})) == [line]
    stats = {
        "name": "flowers",
        "version": "1",
        "last_inference": 1_795_183_380_000,
        "inference_count": 9,
        "execution_count": 3,
        "inference_stats": {
            "success": {"count": 7, "ns": 700_000_000},
            "fail": {"count": 2, "ns": 0},
            "queue": {"count": 7, "ns": 100_000_000},
            "compute_input": {"count": 7, "ns": 50_000_000},
            "compute_infer": {"count": 7, "ns": 500_000_000},
            "compute_output": {"count": 7, "ns": 50_000_000},
            "cache_hit": {"count": 0, "ns": 0},
            "cache_miss": {"count": 0, "ns": 0},
        },
        "batch_stats": [],
    }
    for path in ("/v2/models/stats", "/v2/models/flowers/stats", "/v2/models/flowers/versions/1/stats"):
        assert await world.ok(zoe.get(path)) == {"model_stats": [stats]}


async def test_a_model_tells_of_its_traffic(world: Any) -> None:
    await world.model()
    hear(world)

    (one,) = (await world.ok(world.by("zoe").get("/api/v1/models/flowers")))["traffic"]

    assert (one["version"], one["requests"], one["errors"], one["batch_rows"]) == ("1", 9, 1, 3.0)
    assert 5 <= one["p50_ms"] <= one["p99_ms"] <= 10
    assert (one["cold_starts"], one["cold_start_s"], one["window_s"]) == (2, 0.1, 120)


async def test_load_wakes_and_answers_once_a_replica_is_ready(world: Any) -> None:
    await world.model()
    asked: list[Wake] = []

    async def wake(message: Wake) -> None:
        asked.append(message)
        hear(world)

    await world.bus.subscribe(Wake, wake, node="local")
    zoe = world.by("zoe")
    for _ in range(2):  # the second finds it awake
        answer = await world.ok(zoe.post("/v2/repository/models/flowers/load"))
        assert answer == {"name": "flowers", "load": True}
    assert asked == [Wake("flowers", "1")]
    body = {"parameters": {"config": "{}"}}
    assert "no parameters" in refused(await zoe.post("/v2/repository/models/flowers/load", json=body), 400)
    hear(world, status=ReplicaStatus.CRASH_LOOP, reason="exit 1")
    assert "again and again: exit 1" in refused(await zoe.post("/v2/repository/models/flowers/load"), 503)


async def test_unload_lets_its_owners_model_sleep_now(world: Any) -> None:
    await world.model()
    await world.model(name="lilies", more="[scale]\nmin = 1")
    asked: list[Rest] = []

    async def take(message: Rest) -> None:
        asked.append(message)

    await world.bus.subscribe(Rest, take, node="local")
    hear(world)
    ada, zoe = world.by("ada"), world.by("zoe")
    body = {"parameters": {"unload_dependents": True}}
    answer = await world.ok(ada.post("/v2/repository/models/flowers/unload", json=body))
    async with asyncio.timeout(30):
        while not asked:
            await asyncio.sleep(0.01)
    assert (answer, asked) == ({"name": "flowers", "unload": True}, [Rest("flowers", "1")])
    assert "belongs to ada" in refused(await zoe.post("/v2/repository/models/flowers/unload"), 403)
    assert "always awake" in refused(await ada.post("/v2/repository/models/lilies/unload"), 409)
    refused(await ada.post("/v2/repository/models/roses/unload"), 404)
    assert len(asked) == 1


async def test_every_path_of_the_protocol_is_in_the_description(world: Any) -> None:
    paths = (await world.ok(world.by("zoe").get("/api/v1/openapi.json")))["paths"]
    assert {
        "/v2/",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{name}",
        "/v2/models/{name}/versions/{ref}",
        "/v2/models/{name}/config",
        "/v2/models/{name}/versions/{ref}/config",
        "/v2/models/{name}/ready",
        "/v2/models/{name}/versions/{ref}/ready",
    } <= set(paths)
