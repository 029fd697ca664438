"""Bundles in, models out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Annotated, Any, Literal

import msgspec
import pytest

from fairlead.api import stream
from fairlead.api.routers import bundles
from fairlead.api.views.models import VersionView, with_serving
from fairlead.clock import to_text
from fairlead.control import condition, nodes, reconcile
from fairlead.messages import NodeReport, VersionReport
from fairlead.modelserver.protocols.words import inputs_in_words
from fairlead.sdk.files import File, Image
from fairlead.sdk.inputs import signature_of
from fairlead.status import VersionStatus

ZIP = {"Content-Type": "application/zip"}


def test_inputs_are_told_in_a_few_words() -> None:
    def predict(
        x: list[float],
        n: Annotated[int, msgspec.Meta(ge=1, le=10)],
        low: Annotated[float, msgspec.Meta(ge=0)] = 1,
        dest: str | None = None,
        many: list[int | str] | None = None,
        size: Literal["s", "l"] = "s",
        picture: Image | None = None,
        file: File | None = None,
        what: Any = 1,
    ) -> None: ...

    told = inputs_in_words(signature_of(predict).schema())
    assert told == {
        "x": "list of number",
        "n": "integer, 1 to 10",
        "low": "number, at least 0, default 1",
        "dest": "text or null, default null",
        "many": "list of integer or text or null, default null",
        "size": 'one of s, l, default "s"',
        "picture": "file (image/*) or null, default null",
        "file": "file or null, default null",
        "what": "any, default 1",
    }


def test_a_type_that_holds_itself_has_words_too() -> None:
    tree = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/Tree"}}]}
    schema = {"$defs": {"Tree": tree}, "properties": {"tree": {"$ref": "#/$defs/Tree"}}, "required": ["tree"]}
    told = inputs_in_words(schema)
    assert told["tree"].startswith("integer or list of integer or list of")


def test_a_list_of_so_many_says_how_many() -> None:
    row = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    assert inputs_in_words({"properties": {"x": row}, "required": ["x"]}) == {"x": "list of number, 4 long"}


async def test_a_push_makes_a_version_that_becomes_ready(world: Any) -> None:
    answer = await world.push()
    assert answer.status_code == 202
    pushed = answer.json()
    assert {key: pushed[key] for key in ("kind", "name", "version", "status")} == {
        "kind": "model",
        "name": "flowers",
        "version": "1",
        "status": "building",
    }
    assert pushed["url"] == "http://127.0.0.1:8080/v1/models/flowers/predict"
    steps = (await world.by("ada").get("/api/v1/models/flowers/versions/1/events")).text
    assert steps.rstrip().rpartition("event: ")[2].startswith("done")
    model = await world.ok(world.by("zoe").get("/api/v1/models/flowers"))
    assert model["aliases"] == {"production": [{"version": "1", "weight": 100}]}
    assert model["versions"][0]["status"] == "ready"
    assert model["inputs"] == {"month": "integer, 1 to 12, optional"}


async def test_a_push_without_a_keeper_is_told_so_instead_of_waiting(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "AWAY_S", 0.05)
    monkeypatch.setattr(stream, "AWAY_LOOK_S", 0.01)
    monkeypatch.setattr(condition, "keeper", lambda home: ("the keeper is gone: all goes on; start it: fairlead up",))

    async def nothing() -> None:
        """A keeper that is gone reports nothing."""

    monkeypatch.setattr(world.keeper, "report", nothing)
    await world.push()

    steps = (await world.by("ada").get("/api/v1/models/flowers/versions/1/events")).text

    said = steps.rstrip().rpartition("event: ")[2]
    assert said.startswith("away")
    assert "keeper_gone" in said
    assert "what was pushed is kept; start it: fairlead up" in said


async def test_a_push_is_done_once_the_front_door_does_it(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "IN_FORCE_S", 0.2)
    world.keeper.door_lags = True
    await world.model()
    looks = []
    in_force = world.house.reconcile.in_force

    async def looked() -> str:
        looks.append(why := await in_force())
        return str(why)

    monkeypatch.setattr(world.house.reconcile, "in_force", looked)
    following = asyncio.create_task(world.by("ada").get("/api/v1/models/flowers/versions/1/events"))
    await world.until(lambda: _true(len(looks) > 2 and any("front door" in look for look in looks)))
    assert not following.done()

    world.keeper.door_lags = False
    await world.keeper.report()

    steps = (await following).text
    assert "the front door of node local holds an older state: it is slow" in steps
    assert steps.rstrip().rpartition("event: ")[2].startswith("done")


async def test_a_front_door_that_never_follows_is_told_instead_of_done(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "IN_FORCE_S", 0.02)
    monkeypatch.setattr(stream, "BEHIND_S", 0.1)
    world.keeper.door_lags = True
    await world.push()

    steps = (await world.by("ada").get("/api/v1/models/flowers/versions/1/events")).text

    last = steps.rstrip().rpartition("event: ")[2]
    assert last.startswith("away")
    assert "not_in_force" in last
    assert "event: done" not in steps


async def test_what_the_front_door_does_not_do_yet_is_pending(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.model()
    await world.model(content="other")
    monkeypatch.setattr(reconcile, "IN_FORCE_S", 0.05)
    world.keeper.door_lags = True
    ada = world.by("ada")
    for answer in (
        await ada.post("/api/v1/models/flowers/rollback", json={}),
        await ada.put("/api/v1/models/flowers/aliases/next", json={"targets": [{"version": "1"}]}),
        await ada.patch("/api/v1/models/flowers", json={"visibility": "private"}),
        await ada.delete("/api/v1/models/flowers/versions/2"),
        await ada.delete("/api/v1/models/flowers"),
    ):
        assert answer.status_code == 202, answer.text
        assert answer.json()["pending"]


async def _true(found: bool) -> bool:
    return found


async def test_the_same_content_is_the_same_version_again(world: Any) -> None:
    first = (await world.push()).json()
    again = await world.push()
    assert again.status_code == 200
    assert again.json()["version"] == first["version"]
    assert (await world.push(content="other")).json()["version"] == "2"


async def test_a_failed_version_says_why(world: Any) -> None:
    world.keeper.fail.add("flowers")
    await world.push()
    steps = (await world.by("ada").get("/api/v1/models/flowers/versions/1/events")).text
    assert "event: error" in steps
    assert (await world.by("ada").get("/api/v1/models/flowers")).json()["versions"][0]["status"] == "failed"


async def test_what_is_no_bundle_is_refused(world: Any) -> None:
    ada = world.by("ada")
    world.refused(await ada.post("/api/v1/bundles", content=b"PK"), 415, "not_a_zip")
    error = world.refused(await ada.post("/api/v1/bundles", content=b"no zip", headers=ZIP), 422, "archive_refused")
    assert error["hint"]
    world.refused(
        await ada.post("/api/v1/bundles", content=b"x" * (2_000_001 + bundles._HEADERS_BYTES), headers=ZIP),
        413,
        "too_large",
    )
    wrong = ZIP | {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(b'').digest()).decode()}:"}
    for digest in (wrong, ZIP | {"Content-Digest": "sha-256=:abc:"}):
        world.refused(await ada.post("/api/v1/bundles", content=world.bundle(), headers=digest), 422, "digest_mismatch")
    error = world.refused(await world.push(more='artefact = "x"'), 422, "bundle_invalid")
    assert [problem["path"] for problem in error["problems"]] == ["artefact"]


async def test_production_is_moved_and_rolled_back(world: Any) -> None:
    ada = world.by("ada")
    await world.model()
    await world.model(content="other")
    back = await world.ok(ada.post("/api/v1/models/flowers/rollback", json={}))
    assert back == {"alias": "production", "from": "2", "to": "1"}
    targets = [{"version": "1", "weight": 10}, {"version": "2", "weight": 90}]
    moved = await world.ok(ada.put("/api/v1/models/flowers/aliases/canary", json={"targets": targets}))
    assert moved == {"alias": "canary", "targets": targets}
    body = {"targets": [{"version": "9"}]}
    world.refused(await ada.put("/api/v1/models/flowers/aliases/canary", json=body), 404, "version_not_found")
    world.refused(await ada.put("/api/v1/models/flowers/aliases/canary", json={"targets": []}), 422, "invalid_input")
    world.refused(await ada.delete("/api/v1/models/flowers/versions/2"), 409, "version_in_use")
    assert (await ada.delete("/api/v1/models/flowers/aliases/canary")).status_code == 204
    world.refused(await ada.delete("/api/v1/models/flowers/aliases/canary"), 404, "version_not_found")
    world.refused(await ada.delete("/api/v1/models/flowers/aliases/production"), 409, "alias_kept")


async def test_a_configurer_grants_the_network(world: Any) -> None:
    await world.model()
    change = {"outbound": True}
    world.refused(await world.by("ada").patch("/api/v1/models/flowers", json=change), 403, "role_needed")
    await world.ok(world.by("eve").patch("/api/v1/models/flowers", json=change))
    audit = (await world.by("eve").get("/api/v1/audit")).json()["items"]
    assert "outbound granted" in [one["said"] for one in audit if one["ref"] == "flowers"]


async def test_a_removed_version_is_not_listed_and_is_gone_the_second_time(world: Any) -> None:
    ada = world.by("ada")
    await world.model()
    await world.model(content="other")
    assert (await ada.delete("/api/v1/models/flowers/versions/1")).status_code == 204
    world.refused(await ada.delete("/api/v1/models/flowers/versions/1"), 404, "version_not_found")
    world.refused(await ada.get("/api/v1/models/flowers/versions/1"), 404, "version_not_found")
    assert [one["version"] for one in (await ada.get("/api/v1/models/flowers")).json()["versions"]] == ["2"]
    audit = (await world.by("eve").get("/api/v1/audit")).json()["items"]
    assert [one["said"] for one in audit if one["ref"] == "flowers@1"].count("removed") == 1


async def test_docs_come_from_the_stored_signature(world: Any) -> None:
    await world.model()
    zoe = world.by("zoe")
    for ref in ("flowers", "flowers@production", "flowers@1"):
        described = await world.ok(zoe.get(f"/v1/models/{ref}/openapi.json"))
        assert list(described["paths"]) == ["/v1/models/flowers/predict"]
        page = await zoe.get(f"/v1/models/{ref}/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "Say &lt;it&gt;" in page.text
    assert [one["name"] for one in (await zoe.get("/v1/models")).json()["items"]] == ["flowers"]
    assert (await zoe.get("/v1/models/flowers")).json()["name"] == "flowers"
    world.refused(await zoe.get("/v1/models/flowers@9/docs"), 404, "version_not_found")
    world.refused(await world.by("").get("/v1/models/flowers/docs"), 401, "token_required")


async def test_docs_of_a_version_that_is_not_ready_say_so(world: Any) -> None:
    world.keeper.fail.add("flowers")
    await world.push()
    answer = await world.by("ada").get("/v1/models/flowers/docs")
    world.refused(answer, 503, "model_not_ready")


async def test_a_removed_model_is_not_there_until_it_is_pushed_again(world: Any) -> None:
    await world.model()
    ada = world.by("ada")
    assert (await ada.delete("/api/v1/models/flowers")).status_code == 204
    world.refused(await ada.get("/api/v1/models/flowers"), 404, "no_such_model")
    world.refused(await ada.post("/v1/models/flowers/jobs", json={}), 404, "no_such_model")
    assert (await ada.get("/api/v1/models")).json()["items"] == []
    assert world.keeper.wanted.routes == ()
    assert world.keeper.wanted.versions == ()
    assert await world.model(by="ben", content="other") == "2"
    assert (await ada.get("/api/v1/models/flowers")).json()["owner"] == "ben"


def _report(node: str, serving: str) -> NodeReport:
    version = VersionReport(model="forest", version="1", status=VersionStatus.READY, serving=serving)
    return NodeReport(node=node, generation=1, at="", versions=(version,))


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ((), ""),
        ((_report("a", "compiled (onnx): 9 times"),), "compiled (onnx): 9 times"),
        ((_report("a", ""), _report("b", "as it is: why")), "as it is: why"),
        ((_report("b", "as it is: why"), _report("a", "compiled")), "a: compiled; b: as it is: why"),
    ],
)
def test_a_version_says_what_serves_and_where_machines_differ(reports: tuple[NodeReport, ...], said: str) -> None:
    view = VersionView(version="1", status="ready", reason="", said="", digest="d", created_at=None, created_by="ada")
    assert with_serving(view, "forest", reports).serving == said
    assert with_serving(view, "another", reports).serving == ""


def test_a_version_says_how_it_crashed_last() -> None:
    view = VersionView(version="1", status="ready", reason="", said="", digest="d", created_at=None, created_by="ada")
    crashed = [
        VersionReport("mood", "1", VersionStatus.READY, crashed_at=f"2026-11-20T14:0{minute}:00Z", crash=how)
        for minute, how in ((5, "exit 3"), (3, "signal 9"))
    ]
    reports = tuple(NodeReport(f"node-{one.crash}", 1, "", versions=(one,)) for one in crashed)

    assert with_serving(view, "mood", reports).crash == "2026-11-20T14:05:00Z: exit 3"
    assert with_serving(view, "another", reports).crash == ""


async def test_an_alias_that_moves_onto_a_version_that_crashes_in_a_loop_warns(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls are answered 503 from then on: whoever moves it, and whoever looks, is told."""
    monkeypatch.setattr(nodes, "SILENT_S", 600.0)  # the node here reports once, and a disk may take seconds
    ada = world.by("ada")
    await world.model()
    loop = "6 starts without a healthy minute; last: exit 3"
    one = VersionReport("flowers", "1", VersionStatus.STARTING, reason=loop)

    def tell() -> None:
        world.house.nodes.take(NodeReport("local", 1, to_text(world.house.clock.now()), versions=(one,)))

    tell()
    moved = await ada.put("/api/v1/models/flowers/aliases/canary", json={"targets": [{"version": "1"}]})
    (warning,) = moved.json()["warnings"]
    assert warning.startswith(f"flowers@1 does not answer: {loop}")
    tell()
    view = await world.ok(ada.get("/api/v1/models/flowers"))
    assert view["versions"][0]["reason"] == f"crash_loop: {loop}"
    tell()
    assert any(loop in one for one in (await world.ok(ada.get("/api/v1/status")))["troubles"])
