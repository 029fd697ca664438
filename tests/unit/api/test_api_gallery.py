"""The gallery over HTTP: kept of a job or of an answer, seen by whom it is for, taken down."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from fairlead.buckets.keys import result_key
from fairlead.errors import Unavailable
from fairlead.jobs import queries as jobs
from fairlead.logs import retention
from fairlead.messages import JobEnded, JobOrder
from fairlead.store.records import GalleryEntry, Job

PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PICTURE = msgspec.json.encode({"picture": URL, "seed": 7})
SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.fixture
async def painter(world: Any) -> Any:
    await world.model()
    world.keeper.does_jobs = False
    return world


async def made(
    world: Any, answer: bytes, kind: str = "application/json", *, by: str = "zoe", large: bool = False
) -> str:
    """Return a job of ``by`` that ended with ``answer``."""

    async def work(order: JobOrder) -> None:
        key = result_key(order.model, order.job, order.epoch) if large else ""
        if key:
            await world.house.bucket.put(key, answer, content_type=kind)
        body = b"" if key else answer
        await world.bus.request(JobEnded("local", order.job, order.epoch, result_key=key, body=body, content_type=kind))

    await world.bus.subscribe(JobOrder, work, node="local")
    call = {"month": 1, "prompt": "a boat"}
    job = (await world.ok(world.by(by).post("/v1/models/flowers/jobs", json=call)))["id"]
    await world.ok(world.by(by).get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    return str(job)


async def kept(world: Any, by: str = "zoe", **more: Any) -> dict[str, Any]:
    body = {"model": "flowers", "answer": {"picture": URL, "seed": 7}, "inputs": {"prompt": "a boat"}} | more
    view: dict[str, Any] = await world.ok(world.by(by).post("/api/v1/gallery", json=body))
    return view


@pytest.mark.parametrize("large", [True, False])
async def test_the_result_of_a_job_is_kept_with_what_it_was_made_from(painter: Any, large: bool) -> None:
    job = await made(painter, PICTURE, large=large)

    answer = await painter.by("zoe").post("/api/v1/gallery", json={"job": job, "title": "Boat"})

    view = answer.json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/gallery/{view['id']}"
    assert (view["title"], view["prompt"], view["seed"], view["model"], view["version"]) == (
        "Boat",
        "a boat",
        7,
        "flowers",
        "1",
    )
    assert (view["content_type"], view["size_bytes"], view["job"]) == ("image/png", len(PNG), job)
    assert (view["inputs"], view["outputs"]) == ({"month": 1, "prompt": "a boat"}, {"seed": 7})
    assert (view["created_by"], view["visibility"]) == ("zoe", "private")
    shown = await painter.by("zoe").get(view["links"]["content"])
    assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")


async def test_a_result_that_is_no_json_is_copied_as_it_is(painter: Any) -> None:
    job = await made(painter, PNG, "image/png", large=True)

    view = await painter.ok(painter.by("zoe").post("/api/v1/gallery", json={"job": job}))

    assert (view["content_type"], view["size_bytes"]) == ("image/png", len(PNG))
    assert (await painter.by("zoe").get(view["links"]["content"])).content == PNG


async def test_the_same_job_twice_is_the_same_entry(painter: Any) -> None:
    job = await made(painter, PICTURE)
    first = await painter.by("zoe").post("/api/v1/gallery", json={"job": job})
    again = await painter.by("zoe").post("/api/v1/gallery", json={"job": job[:-1]})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert [one.key async for one in painter.house.bucket.list("gallery")] == [f"gallery/{first.json()['id']}"]


async def test_the_same_answer_twice_is_the_same_entry_and_another_prompt_is_not(painter: Any) -> None:
    first, again = await kept(painter), await kept(painter)
    other = await kept(painter, inputs={"prompt": "a ship"})

    assert first["id"] == again["id"] != other["id"]


async def test_an_entry_outlives_its_job_and_its_model(painter: Any) -> None:
    job = await made(painter, PICTURE, large=True)
    view = await painter.ok(painter.by("zoe").post("/api/v1/gallery", json={"job": job}))
    later = painter.house.clock.now() + timedelta(days=8)
    over = await painter.house.database.read(lambda s: jobs.over(s, later))
    for key in over.keys:
        await painter.house.bucket.delete(key)
    await painter.house.database.write(lambda s: jobs.forget(s, over.jobs, later))
    await painter.ok(painter.by("ada").delete("/api/v1/models/flowers"))

    assert await painter.house.database.read(lambda s: s.get(Job, job)) is None
    assert (await painter.by("zoe").get(view["links"]["content"])).content == PNG
    orphans = await painter.house.database.read(
        lambda s: retention.orphans(s, [f"gallery/{view['id']}", "gallery/gal-x"], later)
    )
    assert orphans == ["gallery/gal-x"]


async def test_private_is_its_owners_and_configurers_team_is_for_all_who_are_signed_in(painter: Any) -> None:
    view = await kept(painter)
    url = view["links"]["self"]
    for path in (url, f"{url}/content"):
        painter.refused(await painter.by("ada").get(path), 404, "gallery_not_found")
        painter.refused(await painter.by("").get(path), 401, "token_required")
        assert (await painter.by("eve").get(path)).status_code == 200
    assert (await painter.by("ada").get("/api/v1/gallery")).json()["items"] == []

    await painter.ok(painter.by("zoe").patch(url, json={"visibility": "team"}))

    assert (await painter.by("ada").get(f"{url}/content")).content == PNG
    painter.refused(await painter.by("").get(url), 401, "token_required")
    assert [one["id"] for one in (await painter.by("ada").get("/api/v1/gallery")).json()["items"]] == [view["id"]]


async def test_public_is_read_without_a_token_and_with_one_that_is_over_until_it_is_made_private(painter: Any) -> None:
    view = await kept(painter, visibility="public")
    url = view["links"]["content"]

    assert (await painter.by("").get(url)).content == PNG
    assert (await painter.by("").get(url, headers={"Authorization": "Bearer fl_over"})).content == PNG
    painter.refused(await painter.by("").get("/api/v1/gallery"), 401, "token_required")
    painter.refused(await painter.by("").delete(view["links"]["self"]), 401, "token_required")
    painter.refused(await painter.by("").get("/api/v1/gallery/gal-none"), 401, "token_required")

    assert (await painter.by("zoe").patch(view["links"]["self"], json={"visibility": "private"})).status_code == 200
    bad = await painter.by("").get(url, headers={"Authorization": "Bearer junk"})
    painter.refused(bad, 401, "token_invalid")
    painter.refused(await painter.by("").get(url), 401, "token_required")


async def test_only_its_owner_and_configurers_change_an_entry_and_take_it_down(painter: Any) -> None:
    one, other = await kept(painter, visibility="team"), await kept(painter, visibility="team", inputs={})
    painter.refused(await painter.by("ada").patch(one["links"]["self"], json={"title": "mine"}), 403, "not_owner")
    painter.refused(await painter.by("ada").delete(one["links"]["self"]), 403, "not_owner")

    for who, view in (("zoe", one), ("eve", other)):
        assert (await painter.by(who).delete(view["links"]["self"])).status_code == 204
        painter.refused(await painter.by("zoe").get(view["links"]["content"]), 404, "gallery_not_found")
    assert [one.key async for one in painter.house.bucket.list("gallery")] == []


async def test_nothing_that_is_kept_runs_in_a_browser(painter: Any) -> None:
    for kind, way in (("image/png", "inline"), ("image/svg+xml", "attachment"), ("text/html", "attachment")):
        await shown_safely(painter, kind, way)


async def shown_safely(painter: Any, kind: str, way: str) -> None:
    url = f"data:{kind};base64,{base64.b64encode(SCRIPT).decode()}"
    view = await kept(painter, answer=url, visibility="public")

    answer = await painter.by("").get(view["links"]["content"])

    assert answer.content == SCRIPT
    assert answer.headers["content-disposition"] == f'{way}; filename="{view["id"]}"'
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_part_is_sent_and_what_is_known_is_not_sent_again(painter: Any) -> None:
    view = await kept(painter)
    url = view["links"]["content"]

    part = await painter.by("zoe").get(url, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    again = await painter.by("zoe").get(url, headers={"If-None-Match": part.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_lists_are_by_model_and_by_person_newest_first_page_by_page(painter: Any) -> None:
    await painter.model("roses")
    first = await kept(painter, visibility="team")
    second = await kept(painter, by="ada", visibility="team")
    third = await kept(painter, model="roses", visibility="team")

    async def listed(**params: Any) -> list[str]:
        page = await painter.ok(painter.by("ben").get("/api/v1/gallery", params=params))
        return [one["id"] for one in page["items"]]

    assert await listed() == [third["id"], second["id"], first["id"]]
    assert await listed(model="flowers") == [second["id"], first["id"]]
    assert await listed(by="zoe") == [third["id"], first["id"]]
    assert await listed(visibility="public") == []
    page = await painter.ok(painter.by("ben").get("/api/v1/gallery", params={"limit": 2}))
    assert await listed(before=page["next"]) == [first["id"]]


async def test_what_one_can_search_by_is_told_of_what_one_may_see(painter: Any) -> None:
    mine = await kept(painter)
    await kept(painter, by="ada", visibility="private")

    async def facets(by: str) -> Any:
        return await painter.ok(painter.by(by).get("/api/v1/gallery/facets"))

    assert await facets("zoe") == {"models": ["flowers"], "people": ["zoe"]}
    assert (await facets("ada"))["people"] == ["ada"]
    assert mine["links"]["page"] == f"/ui/gallery/{mine['id']}"
    assert (await painter.by("").get("/api/v1/gallery/facets")).status_code == 401


async def test_what_is_kept_counts_in_the_quota_of_who_keeps_it(painter: Any) -> None:
    await painter.ok(painter.by("eve").patch("/api/v1/users/zoe", json={"stored_mb": 1}))
    megabyte = f"data:image/png;base64,{base64.b64encode(bytes(1024**2 - 1000)).decode()}"
    view = await kept(painter, answer=megabyte)
    me = await painter.ok(painter.by("zoe").get("/api/v1/me"))
    assert f"'stored_bytes': {1024**2 - 1000}" in str(me)

    answer = await painter.by("zoe").post("/api/v1/gallery", json={"model": "flowers", "answer": URL})
    error = painter.refused(answer, 413, "storage_exceeded")
    assert "fairlead gallery rm" in error["hint"]
    assert len([one async for one in painter.house.bucket.list("gallery")]) == 1

    await painter.ok(painter.by("zoe").delete(view["links"]["self"]))
    await kept(painter)


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "gallery_source"),
    ({"job": "job-1", "model": "flowers"}, 422, "gallery_source"),
    ({"model": "flowers"}, 422, "gallery_source"),
    ({"model": "flowers", "answer": 1, "endpoint": "../x"}, 422, "gallery_source"),
    ({"model": "weeds", "answer": 1}, 404, "no_such_model"),
    ({"model": "flowers@9", "answer": 1}, 404, "version_not_found"),
    ({"job": "job-none"}, 404, "job_not_found"),
    ({"model": "flowers", "answer": 1, "visibility": "friends"}, 422, "visibility_unknown"),
    ({"model": "flowers", "answer": 1, "title": "x" * 201}, 422, "title_too_long"),
    ({"model": "flowers", "answer": 1, "more": 1}, 422, "invalid_input"),
]


async def test_what_is_not_to_be_kept_is_refused(painter: Any) -> None:
    for body, status, code in REFUSED:
        painter.refused(await painter.by("zoe").post("/api/v1/gallery", json=body), status, code)

    assert [one async for one in painter.house.bucket.list("gallery")] == []


async def test_an_entry_is_taken_down_though_the_bucket_is_away(painter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    view = await kept(painter)

    async def away(key: str) -> None:
        raise Unavailable("the bucket is away", code="bucket_down")

    monkeypatch.setattr(painter.house.bucket, "delete", away)
    assert (await painter.by("zoe").delete(view["links"]["self"])).status_code == 204
    painter.refused(await painter.by("zoe").get(view["links"]["self"]), 404, "gallery_not_found")


HOSTILE = [
    '{"model": "flowers", "answer": ' + "[" * 150 + "]" * 150 + "}",
    '{"model": "flowers", "answer": ' + "9" * 400 + "}",
    '{"model": "flowers", "answer": "\\ud800"}',
    '{"model": "flowers", "answer": 1, "inputs": {"\\ud800": 1}}',
    '{"model": "flowers", "answer": 1, "title": "\\ud800"}',
    '{"model": "\\ud800", "answer": 1}',
    '{"job": "\\ud800"}',
    '{"model": "flowers", "answer": 1, "visibility": "\\ud800"}',
]
"""Nested deeply, numbers without end, halves of characters."""


async def test_what_no_record_can_hold_is_refused_and_never_a_fault_of_ours(painter: Any) -> None:
    for body in HOSTILE:
        answer = await painter.by("zoe").post("/api/v1/gallery", content=body)
        assert 400 <= answer.status_code < 500, (body[:80], answer.text)

    job = await made(painter, b'{"seed": ' + b"9" * 400 + b', "picture": "' + URL.encode() + b'"}')
    view = await painter.ok(painter.by("zoe").post("/api/v1/gallery", json={"job": job}))
    assert (view["seed"], view["outputs"]) == (None, {})


async def test_a_job_that_has_no_result_and_one_of_somebody_else_are_refused(painter: Any) -> None:
    job = (await painter.ok(painter.by("zoe").post("/v1/models/flowers/jobs", json={"month": 1})))["id"]

    painter.refused(await painter.by("zoe").post("/api/v1/gallery", json={"job": job}), 409, "no_result")
    painter.refused(await painter.by("ada").post("/api/v1/gallery", json={"job": job}), 404, "job_not_found")


async def test_entries_of_who_is_removed_stay_and_a_name_with_a_nul_is_kept_without_it(painter: Any) -> None:
    view = await kept(painter, visibility="team", title="a\0b", inputs={"prompt": "c\0d"})
    assert (view["title"], view["prompt"]) == ("a\ufffdb", "c\ufffdd")
    await painter.ok(painter.by("eve").delete("/api/v1/users/zoe"))

    assert (await painter.by("ada").get(view["links"]["content"])).content == PNG
    assert await painter.house.database.read(lambda s: s.get(GalleryEntry, view["id"])) is not None
