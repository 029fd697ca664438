"""Apps, schedules and runs over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import update

from fairlead.store.records import Run

WEEK = [{"from": "00:00", "to": "24:00"}]
NIGHT = [{"days": ["mon", "fri"], "from": "18:00", "to": "07:00"}]
APP = 'kind = "app"\nname = "{name}"\n[run]\nentry = "app:app"\n{more}'
COMFORT = '[devices]\nfan = { type = "fan@1" }\n[params]\ncomfort_c = { type = "number", default = 26, minimum = 10 }\n'


@pytest.fixture
async def lab(world: Any) -> Any:
    await world.room("fan-1", "temperature-1")
    await world.smart(more=COMFORT)
    return world


async def running(lab: Any, schedule: str) -> Any:
    async def ready() -> bool:
        found = (await lab.by("zoe").get("/api/v1/runs", params={"live": True, "schedule": schedule})).json()["items"]
        return bool(found and found[0]["status"] == "ready")

    await lab.until(ready)
    return (await lab.by("zoe").get("/api/v1/runs", params={"schedule": schedule})).json()["items"][0]


async def test_an_app_is_shown_with_what_it_wants(lab: Any) -> None:
    view = (await lab.by("zoe").get("/api/v1/apps/smart")).json()
    assert view["devices"]["fan"]["type"] == "fan@1"
    assert view["url"] is None, "no run shows its page"
    assert (await lab.push("paul", name="bare", text=APP)).json()["url"] is None
    assert view["params"]["comfort_c"]["default"] == 26
    assert view["aliases"] == {"production": [{"version": "1", "weight": 100}]}
    assert view["versions"][0]["status"] == "ready"
    assert (await lab.by("zoe").get("/api/v1/apps/smart/versions/1/events")).text.count("event: done") == 1
    await lab.ok(lab.by("paul").put("/api/v1/apps/smart/aliases/staging", json={"version": "1"}))
    lab.refused(await lab.by("paul").post("/api/v1/apps/smart/rollback", json={}), 409, "nothing_before")


async def test_a_preview_tells_and_writes_nothing(lab: Any) -> None:
    body = {"app": "smart", "at": "lab", "windows": NIGHT, "dry_run": True}
    answer = await lab.by("zoe").post("/api/v1/schedules", json=body)
    assert answer.status_code == 200
    view = answer.json()
    assert (view["zone"], view["bindings"]) == ("Europe/Berlin", {"fan": ["fan-1"]})
    assert view["windows"]
    assert {"from", "to"} <= set(view["windows"][0])
    assert (view["conflicts"], view["problems"], len(view["windows"])) == ([], [], 10)
    more = await lab.ok(lab.by("zoe").post("/api/v1/schedules", json=body | {"show": 25}))
    assert len(more["windows"]) == 25
    lab.refused(await lab.by("zoe").post("/api/v1/schedules", json=body | {"show": 101}), 422, "invalid_input")
    assert (await lab.by("zoe").get("/api/v1/schedules")).json()["items"] == []
    await lab.ok(lab.by("zoe").post("/api/v1/schedules", json=body | {"dry_run": False, "name": "night"}))
    again = (await lab.by("zoe").post("/api/v1/schedules", json=body | {"params": {"comfort_c": 1}})).json()
    assert [(one["schedule"], one["devices"]) for one in again["conflicts"]] == [("night", ["fan-1"])]
    assert [one["path"] for one in again["problems"]] == ["params.comfort_c"]
    made = await lab.ok(lab.by("zoe").post("/api/v1/schedules", json=body | {"dry_run": False, "name": "second"}))
    assert [(one["schedule"], one["devices"]) for one in made["conflicts"]] == [("night", ["fan-1"])]
    assert made["state"] == "waiting"


async def test_a_schedule_has_the_contracts_shape(lab: Any) -> None:
    body = {
        "app": "smart",
        "at": "lab",
        "name": "night",
        "windows": NIGHT,
        "except": ["2030-12-24"],
        "params": {"comfort_c": 22},
        "bind": {"fan": ["fan-1"]},
        "notify": ["ada@example.org"],
    }
    answer = await lab.by("zoe").post("/api/v1/schedules", json=body)
    assert answer.status_code == 201
    view = answer.json()
    assert view["id"].startswith("sch-")
    assert {key: view[key] for key in body} == body
    assert view["dst"] == {"gap": "shift", "overlap": "first", "length": "wall"}
    assert (view["zone"], view["paused"], view["overlap"]) == ("Europe/Berlin", None, "skip")
    assert view.pop("warnings") == ["fan-1 (fan) was never connected"]
    view["warnings"] = []  # only in the answer that made it
    assert (await lab.by("zoe").get("/api/v1/schedules/night")).json() == view
    assert (await lab.by("zoe").get(f"/api/v1/schedules/{view['id'][:-2]}")).json() == view


async def test_every_problem_of_a_schedule_is_told(lab: Any) -> None:
    body = {"app": "none", "at": "nowhere", "name": "B A D", "cron": "x", "notify": ["me"]}
    error = lab.refused(await lab.by("zoe").post("/api/v1/schedules", json=body), 422, "schedule_invalid")
    assert {problem["path"] for problem in error["problems"]} >= {"app", "at", "name", "cron", "for_s", "notify"}
    lab.refused(await lab.by("zoe").post("/api/v1/schedules", json={"app": "smart"}), 422, "invalid_input")


@pytest.mark.parametrize(
    "more",
    [
        {"cron": "1," * 200 + "1 * * * *", "for_s": 10},
        {"every_s": 1e300, "for_s": 10},
        {"every_s": 60, "for_s": 10, "start": "0001-01-01"},
        {"once_from": "9999-12-31T23:59:59-10:00", "for_s": 3600},
        {"once_from": "0001-01-01T00:00:00+10:00", "for_s": 3600},
        {"once_from": "2026-12-01T00:00:00Z", "once_to": "9999-01-01T00:00:00Z"},
        {"windows": [{"days": ["mon"] * 8, "from": "08:00", "to": "09:00"}]},
        {"cron": "0 8 * * *", "for_s": 10, "zone": "\ud800"},
        {"cron": "0 8 * * *", "for_s": 10, "bind": {"x\ud800": ["fan-1"]}},
        {"cron": "0 8 * * *", "for_s": 10, "notify": ["\ud800@example.org"]},
    ],
)
async def test_times_and_words_out_of_all_bounds_are_the_callers_fault(lab: Any, more: dict[str, Any]) -> None:
    content = json.dumps({"app": "smart", "at": "lab", **more})
    for query in ("", "?dry_run=true"):
        headers = {"Content-Type": "application/json"}
        answer = await lab.by("zoe").post(f"/api/v1/schedules{query}", content=content, headers=headers)
        said = answer.json()
        assert answer.status_code == 422 or (query and said["problems"]), said


async def test_a_schedule_is_paused_resumed_and_removed_by_its_owner(lab: Any) -> None:
    zoe, paul = lab.by("zoe"), lab.by("paul")
    await lab.ok(zoe.post("/api/v1/schedules", json={"app": "smart", "at": "lab", "name": "night", "windows": NIGHT}))
    lab.refused(await paul.patch("/api/v1/schedules/night", json={"paused": True}), 403, "not_owner")
    lab.refused(await paul.delete("/api/v1/schedules/night"), 403, "not_owner")
    assert (await zoe.patch("/api/v1/schedules/night", json={"paused": True})).json()["paused"] == "paused by zoe"
    assert (await zoe.patch("/api/v1/schedules/night", json={"paused": False})).json()["paused"] is None
    assert (await lab.by("eve").delete("/api/v1/schedules/night")).status_code == 204
    assert (await zoe.get("/api/v1/schedules")).json()["items"] == []


async def test_a_schedule_is_changed_by_its_owner_and_first_previewed(lab: Any) -> None:
    zoe, paul = lab.by("zoe"), lab.by("paul")
    body = {"app": "smart", "at": "lab", "name": "night", "windows": NIGHT}
    made = await lab.ok(zoe.post("/api/v1/schedules", json=body))
    new = body | {"windows": [{"days": ["tue"], "from": "09:00", "to": "10:00"}], "params": {"comfort_c": 22}}
    lab.refused(await paul.put("/api/v1/schedules/night", json=new), 403, "not_owner")
    preview = await lab.ok(zoe.put("/api/v1/schedules/night", json=new | {"dry_run": True}))
    assert (preview["conflicts"], preview["problems"]) == ([], []), "it is in nobody's way, itself least"
    assert (await zoe.get("/api/v1/schedules/night")).json() == made | {"warnings": []}
    view = await lab.ok(zoe.put("/api/v1/schedules/night", json=new))
    assert (view["id"], view["windows"], view["params"]) == (made["id"], new["windows"], new["params"])
    assert view["next_at"] != made["next_at"]
    error = lab.refused(await zoe.put("/api/v1/schedules/night", json=new | {"app": "b"}), 422, "schedule_invalid")
    assert [problem["path"] for problem in error["problems"]] == ["app"]


async def test_windows_of_a_week_are_those_of_the_schedules_that_one_sees(lab: Any) -> None:
    zoe = lab.by("zoe")
    await lab.smart("secret", more='[access]\nvisibility = "private"\n')
    for name, app in (("open", "smart"), ("hidden", "secret")):
        body = {"app": app, "at": "lab", "name": name, "windows": WEEK, "start": "2030-01-07"}
        await lab.ok(lab.by("paul").post("/api/v1/schedules", json=body))
    week = {"from": "2030-01-07T00:00:00+01:00", "to": "2030-01-14T00:00:00+01:00"}
    mine = await lab.ok(lab.by("paul").get("/api/v1/windows", params=week))
    assert [one["schedule"] for one in mine["items"][:2]] == ["hidden", "open"]
    await lab.ok(lab.by("paul").patch("/api/v1/schedules/open", json={"paused": True, "why": "holidays"}))
    hers = await lab.ok(zoe.get("/api/v1/windows", params=week))
    assert ({one["schedule"] for one in hers["items"]}, len(hers["items"]), hers["cut"]) == ({"open"}, 7, [])
    first = hers["items"][0]
    assert (first["from"], first["zone"], first["paused"]) == ("2030-01-06T23:00:00Z", "Europe/Berlin", "holidays")
    assert (await lab.ok(zoe.get("/api/v1/windows", params=week | {"app": "none"})))["items"] == []
    for to in ("2030-01-06T00:00:00Z", "2031-01-01T00:00:00Z"):
        lab.refused(await zoe.get("/api/v1/windows", params=week | {"to": to}), 422, "span_invalid")
    lab.refused(await zoe.get("/api/v1/windows", params=week | {"to": "2030-01-14T00:00:00"}), 422, "moment_invalid")


async def test_a_window_that_is_open_starts_a_run_which_stops_with_its_schedule(lab: Any) -> None:
    zoe = lab.by("zoe")
    await lab.ok(zoe.post("/api/v1/schedules", json={"app": "smart", "at": "lab", "name": "all-day", "windows": WEEK}))
    run = await running(lab, "all-day")
    assert (run["app"], run["version"], run["schedule"], run["at"]) == ("smart", "1", "all-day", "lab")
    assert (run["bindings"], run["params"]) == ({"fan": ["fan-1"]}, {"comfort_c": 26})
    assert set(run["window"]) == {"from", "to"}
    whole = (await zoe.get(f"/api/v1/runs/{run['id'][:-2]}")).json()
    assert [step["status"] for step in whole["history"]] == ["planned", "starting", "ready"]
    assert (await zoe.delete("/api/v1/schedules/all-day")).status_code == 204

    async def over() -> bool:
        return bool((await zoe.get(f"/api/v1/runs/{run['id']}")).json()["finished_at"])

    await lab.until(over)
    assert (await zoe.get(f"/api/v1/runs/{run['id']}")).json()["schedule"] == "all-day"
    chain = (await zoe.get("/api/v1/why", params={"of": "all-day"})).json()["chain"]
    assert "all-day removed" in [link["said"] for link in chain]
    assert (await zoe.get(f"/api/v1/runs/{run['id']}")).json()["status"] == "canceled"


async def test_an_app_is_run_now_stopped_and_run_again(lab: Any) -> None:
    zoe = lab.by("zoe")
    body = {"app": "smart", "at": "lab", "now": True, "for_s": 3600, "params": {"comfort_c": 20}}
    schedule = await lab.ok(zoe.post("/api/v1/schedules", json=body | {"notify": ["zoe@example.org"]}))
    run = await running(lab, schedule["name"])
    (letter,) = (await zoe.get("/api/v1/mail", params={"run": run["id"]})).json()["items"]
    assert (letter["subject"], letter["to"]) == ("smart is running at lab", ["zoe@example.org"])
    lab.refused(await lab.by("paul").post(f"/api/v1/runs/{run['id']}/stop"), 403, "not_owner")
    restarted = await lab.ok(zoe.post(f"/api/v1/runs/{run['id']}/restart"))
    assert restarted["id"] == run["id"]
    await lab.ok(zoe.post(f"/api/v1/runs/{run['id']}/stop"))
    events = (await zoe.get(f"/api/v1/runs/{run['id']}/events")).text
    assert events.rstrip().rpartition("event: ")[2].startswith("done")
    lab.refused(await zoe.post(f"/api/v1/runs/{run['id']}/stop"), 409, "run_over")
    again = await lab.ok(zoe.post(f"/api/v1/runs/{run['id']}/again"))
    assert again["id"] != run["id"]
    assert (again["app"], again["at"], again["params"]["comfort_c"]) == ("smart", "lab", 20)


async def test_a_run_waits_for_a_model_that_its_user_may_not_call(world: Any) -> None:
    await world.model()
    await world.ok(world.by("ada").patch("/api/v1/models/flowers", json={"visibility": "private"}))
    await world.room()
    await world.smart(more='[models]\nfaces = "flowers@production"\n')
    body = {"app": "smart", "at": "lab", "name": "x", "now": True}
    made = await world.ok(world.by("zoe").post("/api/v1/schedules", json=body))
    told = "there is no model flowers@production; runs of smart wait until that is otherwise"
    assert made["warnings"] == [told]

    async def waits() -> bool:
        found = (await world.by("zoe").get("/api/v1/runs", params={"schedule": "x"})).json()["items"]
        return bool(found and found[0]["reason"] == "waits: there is no model flowers@production")

    await world.until(waits)
    await world.ok(world.by("ada").patch("/api/v1/models/flowers", json={"visibility": "team"}))
    await running(world, "x")


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("flowerss@production", "there is no model flowerss@production"),
        ("flowers@staging", "flowers has no alias staging"),
        ("flowers@7", "there is no version 7 of flowers"),
    ],
)
async def test_a_schedule_whose_app_calls_a_model_that_is_not_there_says_so(world: Any, ref: str, said: str) -> None:
    await world.model()
    await world.room()
    await world.smart(more=f'[models]\nfaces = "{ref}"\n')
    body = {"app": "smart", "at": "lab", "name": "x", "windows": NIGHT}
    told = f"{said}; runs of smart wait until that is otherwise"
    preview = await world.ok(world.by("zoe").post("/api/v1/schedules", json=body | {"dry_run": True}))
    assert (preview["warnings"], preview["problems"]) == ([told], [])
    made = await world.ok(world.by("zoe").post("/api/v1/schedules", json=body))
    assert made["warnings"] == [told]
    assert (await world.by("zoe").get("/api/v1/schedules/x")).json()["warnings"] == []


async def test_runs_of_a_private_app_and_what_runs_log_are_for_those_they_concern(world: Any) -> None:
    await world.room()
    await world.smart(more="")
    await world.smart("secret", more='[access]\nvisibility = "private"\n')
    for name in ("smart", "secret"):
        body = {"app": name, "at": "lab", "name": f"of-{name}", "now": True}
        await world.ok(world.by("paul").post("/api/v1/schedules", json=body))
    shown = {name: await running_as(world, "paul", f"of-{name}") for name in ("smart", "secret")}
    await world.house.database.write(lambda s: s.execute(update(Run).values(last_lines=("a secret",))))

    zoe, seen = world.by("zoe"), await world.ok(world.by("zoe").get("/api/v1/runs"))
    assert [(run["app"], run["last_lines"]) for run in seen["items"]] == [("smart", [])]
    assert (await zoe.get(f"/api/v1/runs/{shown['smart']}")).json()["last_lines"] == []
    for path in ("", "/events"):
        world.refused(await zoe.get(f"/api/v1/runs/{shown['secret']}{path}"), 404, "run_not_found")
    world.refused(await zoe.post(f"/api/v1/runs/{shown['secret']}/stop"), 404, "run_not_found")
    for who in ("paul", "eve"):
        view = (await world.by(who).get(f"/api/v1/runs/{shown['secret']}")).json()
        assert view["last_lines"] == ["a secret"]


async def running_as(world: Any, name: str, schedule: str) -> str:
    """Return the run of ``schedule`` once it is ready, as ``name`` sees it."""

    async def ready() -> bool:
        found = (await world.by(name).get("/api/v1/runs", params={"schedule": schedule})).json()["items"]
        return bool(found and found[0]["status"] == "ready")

    await world.until(ready)
    return str((await world.by(name).get("/api/v1/runs", params={"schedule": schedule})).json()["items"][0]["id"])


async def test_an_app_is_removed_once_nothing_wants_it_any_more(lab: Any) -> None:
    zoe, paul = lab.by("zoe"), lab.by("paul")
    body = {"app": "smart", "at": "lab", "name": "night", "windows": NIGHT}
    await lab.ok(zoe.post("/api/v1/schedules", json=body))
    await lab.ok(zoe.post("/api/v1/schedules", json={"app": "smart", "at": "lab", "name": "once", "now": True}))
    run = await running(lab, "once")
    lab.refused(await zoe.delete("/api/v1/apps/smart"), 403, "role_needed")
    error = lab.refused(await paul.delete("/api/v1/apps/smart"), 409, "app_in_use")
    assert "the schedule night" in error["message"]
    assert run["id"] in error["message"]
    await lab.ok(zoe.delete("/api/v1/schedules/night"))
    await lab.ok(zoe.post(f"/api/v1/runs/{run['id']}/stop"))

    async def removed() -> bool:
        return bool((await paul.delete("/api/v1/apps/smart")).status_code == 204)

    await lab.until(removed)
    lab.refused(await paul.get("/api/v1/apps/smart"), 404, "app_not_found")
    assert (await paul.get("/api/v1/apps")).json()["items"] == []
    assert (await zoe.get("/api/v1/schedules")).json()["items"] == []
    lab.refused(await zoe.post("/api/v1/schedules", json=body), 422, "schedule_invalid")
    told = (await lab.by("eve").get("/api/v1/audit", params={"kind": "app"})).json()["items"]
    assert [(one["ref"], one["said"], one["by"]) for one in told] == [("smart", "removed", "paul")]
    await lab.model("smart")


async def test_a_removed_app_comes_back_with_a_push_as_its_pushers(lab: Any) -> None:
    await lab.ok(lab.by("paul").delete("/api/v1/apps/smart"))
    token = lab.token("only-app-developer", ["app_developer"])
    headers = {"Content-Type": "application/zip", "Authorization": f"Bearer {token}"}
    bundle = lab.bundle(name="smart", text=APP, more=COMFORT)
    await lab.ok(lab.by("").post("/api/v1/bundles", content=bundle, headers=headers))

    async def there() -> bool:
        view = (await lab.by("zoe").get("/api/v1/apps/smart")).json()
        return bool(view.get("owner") == "only-app-developer" and "production" in view["aliases"])

    await lab.until(there)
