"""Pushes: limits that are published, files that are sent one by one, and nothing left of what was not whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import random
import zipfile
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from fairlead.bundles.archive import unpack
from fairlead.bundles.limits import Limits
from fairlead.bundles.pack import pack
from fairlead.control import uploads
from fairlead.keeper.bundles.tidy import Tidy

WEIGHTS = random.Random(1).randbytes(100_000)
MODEL = 'kind = "model"\nname = "{name}"\n{more}\n[run]\nentry = "model:predict"\n'


async def test_s31_limits_of_archives_are_published(world: Any) -> None:
    limits = (await world.ok(world.by("zoe").get("/api/v1/system")))["limits"]

    assert limits["bundle_max_bytes"] == 2_000_000
    assert limits["bundle_entries"] == Limits().entries
    assert limits["bundle_ratio"] == Limits().ratio
    assert limits["bundle_depth"] == Limits().depth
    assert limits["bundle_path_bytes"] == Limits().path_bytes
    assert limits["bundle_name_bytes"] == 255


def stored(files: dict[str, bytes]) -> bytes:
    """Return a zip in which nothing is packed; a name that ends with ``/`` is a folder."""
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_STORED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


def at_limits(limits: dict[str, int]) -> dict[str, tuple[dict[str, bytes], dict[str, bytes]]]:
    """Return by limit what is just within it, and what is just beyond."""
    own = {name: data for name, data in flowers(b"").items() if data}
    left = limits["bundle_max_bytes"] - sum(map(len, own.values()))
    folders = "d/" * (limits["bundle_depth"] - 1)
    part = limits["bundle_name_bytes"]
    path = "/".join(["p" * 200] * 20)[: limits["bundle_path_bytes"] - 1] + "q"
    many = {f"{number}": b"" for number in range(limits["bundle_entries"] - len(own))}
    return {
        "bytes": (own | {"w": bytes(left)}, own | {"w": bytes(left + 1)}),
        "entries": (own | many, own | many | {"one-more": b""}),
        "depth": (own | {f"{folders}d/x": b""}, own | {f"{folders}d/d/x": b""}),
        "path": (own | {path: b""}, own | {f"{path}q": b""}),
        "name": (own | {"n" * part: b""}, own | {"n" * (part + 1): b""}),
    }


@pytest.mark.parametrize("limit", ["bytes", "entries", "depth", "path", "name"])
async def test_s31_a_published_limit_is_the_one_that_is_kept(world: Any, limit: str) -> None:
    published = (await world.ok(world.by("zoe").get("/api/v1/system")))["limits"]
    good, bad = at_limits(published)[limit]
    headers = {"content-type": "application/zip"}

    answer = await world.by("ada").post("/api/v1/bundles", content=stored(bad), headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["code"] in ("archive_refused", "too_large"), answer.text
    answer = await world.by("ada").post("/api/v1/bundles", content=stored(good), headers=headers)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
async def test_s32_an_upload_that_ends_early_is_no_version_and_leaves_nothing(world: Any, share: float) -> None:
    whole = world.bundle()

    await cut(
        world, "ada", "POST", "/api/v1/bundles", {"content-type": "application/zip"}, whole[: int(share * len(whole))]
    )

    assert (await world.ok(world.by("ada").get("/api/v1/models")))["items"] == []
    assert list((world.house.home.keeper / "incoming").iterdir()) == []


async def cut(world: Any, name: str, verb: str, path: str, headers: dict[str, str], sent: bytes) -> None:
    """Send the beginning of a body, then nothing more: the connection is gone."""
    headers = {"authorization": f"Bearer {world.token(name)}", **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": verb,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    pieces = [{"type": "http.request", "body": sent, "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        """Nobody hears it."""

    with contextlib.suppress(Exception):
        await world.app(scope, receive, send)
    assert pieces == []


class Sender:
    """One person's client that sends what a plan asks for."""

    def __init__(self, world: Any, name: str = "ada") -> None:
        self.world, self.name, self.client = world, name, world.by(name)

    async def plan(self, files: dict[str, bytes]) -> dict[str, Any]:
        view: dict[str, Any] = await self.world.ok(self.client.post("/api/v1/bundles/plan", json=listing(files)))
        return view

    async def missing(self, files: dict[str, bytes]) -> dict[str, int]:
        """Return path to how many bytes of it came already."""
        return {one["path"]: one["offset"] for one in (await self.plan(files))["missing"]}

    async def send(self, content: bytes, offset: int = 0, until: int | None = None, **more: str) -> httpx.Response:
        headers = {"Upload-Offset": str(offset), "Upload-Length": str(len(content)), **more}
        answer: httpx.Response = await self.client.patch(where(content), content=content[offset:until], headers=headers)
        return answer

    async def offset(self, content: bytes) -> str:
        return str((await self.client.head(where(content))).headers["upload-offset"])

    async def commit(self, files: dict[str, bytes]) -> httpx.Response:
        answer: httpx.Response = await self.client.post("/api/v1/bundles", json=listing(files))
        return answer

    async def push(self, files: dict[str, bytes]) -> dict[str, Any]:
        for one in (await self.plan(files))["missing"]:
            assert (await self.send(files[one["path"]], one["offset"])).status_code == 204
        answer = await self.commit(files)
        assert answer.status_code == 202, answer.text
        view: dict[str, Any] = answer.json()
        return view


def listing(files: dict[str, bytes]) -> dict[str, Any]:
    return {"files": [{"path": path, "size": len(data), "sha256": sha(data)} for path, data in files.items()]}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def where(data: bytes) -> str:
    return f"/api/v1/bundles/files/{sha(data)}"


def flowers(weights: bytes = WEIGHTS, name: str = "flowers") -> dict[str, bytes]:
    return {
        "fairlead.toml": MODEL.format(name=name, more="").encode(),
        "model.py": b"def predict(month: int) -> dict:\n    return {}\n",
        "weights.bin": weights,
    }


def left(world: Any) -> list[str]:
    return sorted(path.name for path in (world.house.home.keeper / "incoming").iterdir())


async def test_what_was_pushed_before_is_not_sent_again(world: Any) -> None:
    ada = Sender(world)
    first = await ada.push(flowers())
    changed = flowers() | {"model.py": b"def predict(month: int) -> dict:\n    return {'late': True}\n"}

    assert sorted(await ada.missing(changed)) == ["fairlead.toml", "model.py"]  # the small ones travel each time
    second = await ada.push(changed)

    assert (first["version"], second["version"]) == ("1", "2")
    key = f"bundles/{second['digest']}.zip"
    (world.folder / "second.zip").write_bytes((await world.house.bucket.get(key)).data)
    assert unpack(world.folder / "second.zip", world.folder / "second") == second["digest"]
    assert (world.folder / "second" / "weights.bin").read_bytes() == WEIGHTS
    assert left(world) == []


async def test_files_of_a_whole_archive_count_too(world: Any) -> None:
    folder = world.folder / "whole"
    folder.mkdir()
    for path, data in flowers().items():
        (folder / path).write_bytes(data)
    digest = pack(folder, world.folder / "whole.zip")
    headers = {"Content-Type": "application/zip"}
    content = (world.folder / "whole.zip").read_bytes()
    await world.ok(world.by("ada").post("/api/v1/bundles", content=content, headers=headers))

    found = await Sender(world).plan(flowers())

    assert (found["digest"], "weights.bin" in [one["path"] for one in found["missing"]]) == (digest, False)


async def test_the_same_files_are_the_same_version_however_they_came(world: Any) -> None:
    ada = Sender(world)
    await ada.push(flowers())
    for one in (await ada.plan(flowers()))["missing"]:
        await ada.send(flowers()[one["path"]])

    again = await ada.commit(flowers())

    assert (again.status_code, again.json()["version"]) == (200, "1")


async def test_a_file_goes_on_where_it_was_cut_off(world: Any) -> None:
    ada, path = Sender(world), where(WEIGHTS)
    headers = {"upload-offset": "0", "upload-length": str(len(WEIGHTS))}
    await cut(world, "ada", "PATCH", path, headers, WEIGHTS[:70_001])

    assert await ada.offset(WEIGHTS) == "70001"
    assert (await ada.missing(flowers()))["weights.bin"] == 70_001
    world.refused(await ada.send(WEIGHTS, 70_000), 409, "offset_differs")
    world.refused(await ada.send(WEIGHTS, 70_002), 409, "offset_differs")
    assert (await ada.send(WEIGHTS, 70_001, 80_000)).headers["upload-offset"] == "80000"
    assert (await ada.send(WEIGHTS, 80_000)).headers["upload-offset"] == str(len(WEIGHTS))
    assert "weights.bin" not in await ada.missing(flowers())
    assert (await ada.send(WEIGHTS, len(WEIGHTS))).status_code == 204  # told twice: nothing changes


async def test_another_file_than_the_announced_one_is_dropped(world: Any) -> None:
    ada = Sender(world)
    headers = {"Upload-Offset": "0", "Upload-Length": "5"}

    answer = await ada.client.patch(where(b"right"), content=b"wrong", headers=headers)

    world.refused(answer, 422, "digest_mismatch")
    answer = await ada.client.patch(where(b"right"), content=b"right and more", headers=headers)
    world.refused(answer, 413, "too_large")
    assert left(world) == []


async def test_what_others_have_is_asked_for_like_anything(world: Any) -> None:
    """Neither a bundle that one may see nor a digest that one knows gives anybody what is in it."""
    await Sender(world).push(flowers())
    await Sender(world).send(b"half of a secret", 0, 4)
    ben = Sender(world, "ben")

    assert await ben.missing(flowers(name="mine")) == {"fairlead.toml": 0, "model.py": 0, "weights.bin": 0}
    assert await ben.offset(WEIGHTS) == await ben.offset(b"half of a secret") == "0"
    for path in ("fairlead.toml", "model.py"):
        await ben.send(flowers(name="mine")[path])
    world.refused(await ben.commit(flowers(name="mine")), 409, "files_missing")


async def test_who_may_push_nothing_plans_and_sends_nothing(world: Any) -> None:
    zoe = Sender(world, "zoe")

    world.refused(await zoe.client.post("/api/v1/bundles/plan", json=listing(flowers())), 403, "role_needed")
    world.refused(await zoe.send(WEIGHTS), 403, "role_needed")
    world.refused(await zoe.commit(flowers()), 403, "role_needed")
    assert (await zoe.client.head(where(WEIGHTS))).status_code == 403


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ([], "empty"),
        ([{"path": "../x", "size": 1, "sha256": "0" * 64}], "slip"),
        ([{"path": "x", "size": 2_000_001, "sha256": "0" * 64}], "too_large"),
        ([{"path": name, "size": 1, "sha256": "0" * 64} for name in ("a", "A")], "same_name"),
        ([{"path": name, "size": size, "sha256": "0" * 64} for size, name in enumerate("ab")], "sizes"),
        ([{"path": f"{index}", "size": 1, "sha256": "0" * 64} for index in range(10_001)], "too_many"),
        ([{"path": "x", "size": 1, "sha256": "0" * 63}], None),
        ([{"path": "x", "size": -1, "sha256": "0" * 64}], None),
        ([{"path": "x", "size": 1, "sha256": "0" * 64, "mode": 4755}], None),
    ],
)
async def test_a_list_that_is_no_bundle_is_refused(world: Any, files: list[Any], rule: str | None) -> None:
    for path in ("/api/v1/bundles/plan", "/api/v1/bundles"):
        error = world.refused(await world.by("ada").post(path, json={"files": files}), 422, "bundle_invalid")
        assert [one["rule"] for one in error.get("problems", ())][:1] == ([rule] if rule else [])


async def test_a_list_that_never_ends_is_refused(world: Any) -> None:
    content = b'{"files": [' + b" " * 16 * 1024**2
    headers = {"Content-Type": "application/json"}

    answer = await world.by("ada").post("/api/v1/bundles/plan", content=content, headers=headers)

    world.refused(answer, 413, "too_large")


async def test_the_checks_of_an_archive_hold_for_files_too(world: Any) -> None:
    ada = Sender(world)
    files = flowers() | {"fairlead.toml": b'kind = "model"\nname = "flowers"\n[run]\nentry = "none:predict"\n'}
    for path in files:
        await ada.send(files[path])

    error = world.refused(await ada.commit(files), 422, "bundle_invalid")

    assert error["problems"][0]["path"] == "run.entry"
    assert all(name.endswith(".whole") for name in left(world))  # corrected, they are not sent again


async def test_a_person_keeps_so_much_on_the_way_and_a_new_plan_drops_the_old(world: Any) -> None:
    ada, big, other = Sender(world), bytes(1_500_000), b"x" * 600_000
    await ada.send(big)
    world.refused(await ada.send(other), 429, "uploads_full")

    await ada.missing({"fairlead.toml": b"", "other": other})

    assert left(world) == []
    assert (await ada.send(other)).status_code == 204
    assert (await Sender(world, "ben").send(big)).status_code == 204


async def test_a_person_keeps_so_many_files_on_the_way(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.house.pushes.uploads, "_files", 2)
    ada = Sender(world)
    for data in (b"", b"one"):
        assert (await ada.send(data)).status_code == 204

    world.refused(await ada.send(b"two"), 429, "uploads_full")

    assert (await ada.send(b"one", 3)).status_code == 204
    await ada.missing({"fairlead.toml": b"two", "x": b"three"})
    assert (await ada.send(b"two")).status_code == 204


async def test_a_disk_without_room_refuses_before_anything_is_sent(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda folder: SimpleNamespace(free=64 * 1024**2 + 100_000))

    answer = await Sender(world).client.post("/api/v1/bundles/plan", json=listing(flowers()))

    world.refused(answer, 503, "disk_full")


async def test_a_disk_that_fills_up_keeps_what_came(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = Sender(world)
    await ada.send(WEIGHTS, 0, 1000)

    def full(*rest: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "_write_all", full)
        world.refused(await ada.send(WEIGHTS, 1000), 503, "disk_full")

    assert await ada.offset(WEIGHTS) == "1000"
    assert (await ada.send(WEIGHTS, 1000)).status_code == 204


async def test_an_earlier_bundle_that_was_changed_makes_no_new_one(world: Any) -> None:
    ada = Sender(world)
    first = await ada.push(flowers())
    key = f"bundles/{first['digest']}.zip"
    data = bytearray((await world.house.bucket.get(key)).data)
    data[data.index(WEIGHTS[:100]) + 50] ^= 1
    await world.house.bucket.put(key, bytes(data))
    changed = flowers() | {"model.py": b"def predict(month: int) -> dict:\n    return {'x': 1}\n"}
    for path in ("fairlead.toml", "model.py"):
        await ada.send(changed[path])

    world.refused(await ada.commit(changed), 422, "bundle_corrupt")
    assert not [name for name in left(world) if not name.endswith(".whole")]


async def test_uploads_that_nobody_finished_go_after_a_day(world: Any) -> None:
    await Sender(world).send(WEIGHTS, 0, 1000)
    clock = SimpleNamespace(now=world.house.clock.now)
    wanted = world.keeper.wanted  # as it is now: a look in which it changes removes nothing
    tidy = Tidy(world.house.home, clock, lambda: wanted, 90, temporary=())  # type: ignore[arg-type]
    await tidy.once()
    assert len(left(world)) == 1

    clock.now = lambda: world.house.clock.now() + timedelta(hours=25)
    await tidy.once()

    assert left(world) == []
    assert await Sender(world).offset(WEIGHTS) == "0"


async def test_two_pushes_of_the_same_files_at_once_are_one_version(world: Any) -> None:
    ada = Sender(world)
    for data in flowers().values():
        await ada.send(data)

    answers = await asyncio.gather(*(ada.commit(flowers()) for _ in range(4)))

    assert {answer.status_code for answer in answers} <= {200, 202, 409}
    for answer in answers:
        if answer.status_code == 409:
            world.refused(answer, 409, "files_missing")
    view = await world.ok(ada.client.get("/api/v1/models/flowers"))
    assert [one["version"] for one in view["versions"]] == ["1"]
    assert left(world) == []


async def test_a_size_below_what_came_already_is_refused(world: Any) -> None:
    ada = Sender(world)
    await ada.send(WEIGHTS, 0)
    files = [{"path": "weights.bin", "size": 5, "sha256": sha(WEIGHTS)}]
    error = world.refused(await ada.client.post("/api/v1/bundles/plan", json={"files": files}), 422, "bundle_invalid")
    assert f"{len(WEIGHTS)} bytes" in error["message"]
