"""Secrets over HTTP: set and listed, never told."""

from __future__ import annotations

from typing import Any

VALUE = "s3cr3t-of-mood"
TEXT = 'kind = "model"\nname = "{name}"\n[run]\nentry = "model:predict"\nsecrets = ["API_KEY"]\n{more}\n'


async def put(world: Any, who: str = "ada", value: Any = VALUE) -> Any:
    return await world.by(who).put("/api/v1/secrets/mood/API_KEY", json={"value": value})


async def test_a_push_waits_for_its_secret_and_nodes_get_it_sealed(world: Any) -> None:
    error = world.refused(await world.push(name="mood", text=TEXT), 422, "secret_missing")
    assert "fairlead secrets set mood API_KEY" in error["hint"]

    answer = await put(world)
    assert answer.status_code == 200
    said = {"bundle": "mood", "name": "API_KEY", "set_by": "ada", "set_at": ""}
    assert answer.json() | {"set_at": ""} == said | {
        "warnings": ["there is no model or app mood yet: it counts once you push one"]
    }
    await world.model("mood", text=TEXT)
    (version,) = world.keeper.wanted.versions
    first = version.secrets["API_KEY"]
    assert VALUE.encode() not in first

    await put(world, value="another")

    async def anew() -> bool:
        return bool(world.keeper.wanted.versions[0].secrets["API_KEY"] != first)

    await world.until(anew)


async def test_no_answer_holds_a_value(world: Any) -> None:
    """S-70, S-73: neither views, lists, refusals, the audit nor the logs of the bundle that says it."""
    told = [await put(world)]
    (world.house.home.logs / "keeper.log").write_text(f"replica ended: no {VALUE}\n")
    await world.model("mood", text=TEXT)
    (version,) = world.keeper.wanted.versions
    folder = world.house.home.logs / f"mood-{version.digest.rpartition(':')[2][:8]}"
    folder.mkdir()
    (folder / "1.log").write_text(f"my key is {VALUE}\n")
    told += [await world.by("ada").get(path) for path in ("/api/v1/secrets", "/api/v1/secrets?bundle=mood")]
    told += [await world.by("eve").get("/api/v1/audit"), await world.by("ada").get("/api/v1/logs?of=mood")]
    told += [await world.by("ada").put("/api/v1/secrets/mood/A-B", json={"value": VALUE})]
    told += [await world.by("ada").put("/api/v1/secrets/mood/API_KEY", json={"value": [VALUE]})]
    told += [await world.by("ada").put("/api/v1/secrets/mood/API_KEY", json={"value": VALUE, VALUE: 1})]
    told += [await world.by("ada").delete("/api/v1/secrets/mood/API_KEY")]
    programs = await world.by("eve").get("/api/v1/logs?of=keeper")
    assert "replica ended: no ***" in programs.text

    assert [answer.status_code for answer in told] == [200, 200, 200, 200, 200, 422, 422, 422, 409]
    assert "my key is ***" in told[4].text
    assert not [answer.text for answer in told[:7] if VALUE in answer.text]


async def test_secrets_are_their_owners(world: Any) -> None:
    await put(world)
    world.refused(await put(world, "ben"), 403, "not_owner")
    world.refused(await put(world, "zoe"), 403, "role_needed")
    world.refused(await world.by("ben").get("/api/v1/secrets", params={"bundle": "mood"}), 403, "not_owner")
    assert (await world.by("ben").get("/api/v1/secrets")).json()["items"] == []
    world.refused(await world.by("ada").delete("/api/v1/secrets/mood/NONE"), 404, "secret_not_found")
    assert (await world.by("eve").delete("/api/v1/secrets/mood/API_KEY")).status_code == 204


async def test_gates_stand_in_no_record(world: Any) -> None:
    """S-70: who can read the database alone cannot speak as the front door."""
    await world.model("mood")
    (version,) = world.keeper.wanted.versions
    assert len(version.gate) == 43
    files = [file.read_bytes() for file in world.house.home.root.glob("fairlead.sqlite3*")]
    assert files
    assert not any(version.gate.encode() in content for content in files)
