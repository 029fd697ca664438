"""The whole thread, with real processes: push, predict, sleep and wake, jobs, readings and commands, windows,
versions, restart. One platform for all; what a test deploys has names of its own."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.thread import kit, rollouts
from tests.thread.rig import EXAMPLES, LATE_S, Platform, platform, until

from fairlead.bus import nats, server
from fairlead.messages import JobOrder

FLIGHT = {"carrier": "UA", "month": 6, "hour": 18, "origin": "EWR"}
FEATURES = (
    [0.0] * 11 + [1.0] + [0.0] * 4 + [1.0, 0.0, 0.0] + [0.0] * 5 + [1.0] + [0.0] * 6 + [0.25, 1, 0, 1.4, 1.17, 0.3]
)
HOT, COOL = 30.0, 19.0


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    """A platform, brought up with nothing on it."""
    with platform() as made:
        yield made


@pytest.fixture(scope="module")
def flights(house: Platform) -> str:
    """The example plane-delay, pushed."""
    return house.ok("push", str(EXAMPLES / "plane-delay"))


@pytest.fixture(scope="module")
def home(house: Platform) -> None:
    """The example smart-home and the model it asks, pushed."""
    for name in ("comfort", "smart-home"):
        house.ok("push", str(EXAMPLES / name))


# --- 1. push --------------------------------------------------------------------------------------------------------------


def test_a_push_says_its_steps_and_ends_with_an_address_that_answers(house: Platform, flights: str) -> None:
    assert flights == f"plane-delay@1.0.0 {house.url}/v1/models/plane-delay/predict"
    again = house.cli("push", str(EXAMPLES / "plane-delay"))
    assert (again.returncode, again.stdout.strip()) == (0, flights)
    assert "  checked " in again.stderr
    assert "  unchanged: plane-delay@1.0.0 " in again.stderr
    view = house.get("/models/plane-delay")
    assert [(one["version"], one["status"]) for one in view["versions"]] == [("1.0.0", "ready")]
    assert view["aliases"] == {"production": [{"version": "1.0.0", "weight": 100}]}


def test_the_same_content_is_the_same_version_and_other_content_the_next(house: Platform, tmp_path: Path) -> None:
    folder = kit.model(tmp_path / "counted", _constant(1))
    first = house.ok("push", str(folder))
    assert first.startswith("counted@1 ")
    assert house.ok("push", str(folder)) == first
    kit.model(folder, _constant(2))
    done = house.cli("push", str(folder))
    assert done.stdout.startswith("counted@2 "), (done.stdout, done.stderr)
    assert _predict(house, "counted") == (200, 2)


# --- 2. predict -----------------------------------------------------------------------------------------------------------


def test_a_model_answers_the_command_line_and_http_alike(house: Platform, flights: str) -> None:
    by_json = house.ok("predict", "plane-delay", "--json", json.dumps(FLIGHT))
    by_fields = house.ok("predict", "plane-delay", *(part for k, v in FLIGHT.items() for part in ("--set", f"{k}={v}")))
    with house.client() as client:
        answer = client.post("/v1/models/plane-delay/predict", json=FLIGHT)
        bare = client.post("/v1/models/plane-delay/predict", json={"x": FEATURES})
        rows = client.post("/v1/models/plane-delay/predict", json=[FLIGHT, {"x": FEATURES}] * 50)
        assert client.post("/v1/models/plane-delay@1.0.0/predict", json=FLIGHT).json() == answer.json()
    assert answer.status_code == 200
    assert json.loads(by_json) == json.loads(by_fields) == answer.json()
    assert answer.json()["late"] is True
    assert answer.headers["x-fairlead-version"] == "1.0.0"
    assert answer.headers["x-request-id"]
    assert bare.json()["late"] is False
    assert rows.json() == [answer.json(), bare.json()] * 50


def test_two_hundred_callers_at_once_each_get_their_own_row(house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.model(tmp_path / "rows", _ROWS, "[batch]\nmax_size = 64")))

    async def ask() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {house.token}"}
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=60, limits=limits) as client:
            calls = (client.post("/v1/models/rows/predict", json={"n": n}) for n in range(200))
            return await asyncio.gather(*calls)

    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200] * 200
    assert [answer.json()["n"] for answer in answers] == list(range(200))
    assert max(answer.json()["batch"] for answer in answers) > 1


def test_the_callers_token_never_reaches_a_bundle(house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.model(tmp_path / "curious", _CURIOUS)))
    token = house.token
    ways = (
        {"Authorization": f"Bearer {token}"},
        {"X-API-Key": token},
        {
            "Authorization": f"Bearer {token}",
            "X-API-Key": token,
            "Cookie": f"fl_session={token.removeprefix('fl_')}; other=1",
        },
        {"Authorization": f"Bearer {token}", "X-Fairlead-User": "mallory", "X-Fairlead-Role": "configurer"},
    )
    for headers in ways:
        with house.client("") as client:
            answer = client.post("/v1/models/curious/predict", json={}, headers=headers)
        assert answer.status_code == 200, answer.text
        seen = answer.json()
        assert token not in answer.text
        assert token.removeprefix("fl_") not in answer.text
        assert "content-type" in seen["headers"], "the bundle looked in the wrong place"
        assert not {"authorization", "cookie", "x-api-key"} & seen["headers"].keys()
        assert seen["headers"]["x-fairlead-user"] == seen["user"] == "admin"
        assert not [name for name in seen["env"] if "TOKEN" in name or "SECRET" in name or "PASSWORD" in name]


# --- 3. sleep and wake ----------------------------------------------------------------------------------------------------


def test_an_idle_model_sleeps_and_a_call_wakes_it(house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.model(tmp_path / "sleeper", _PID, "[scale]\nidle_s = 1")))
    assert _predict(house, "sleeper")[0] == 200
    _asleep(house, "sleeper")
    assert until(lambda: house.get("/models/sleeper")["versions"][0]["status"] == "sleeping", "it is told")
    assert _predict(house, "sleeper")[0] == 200


def test_many_callers_at_once_wake_exactly_one_replica(house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.model(tmp_path / "dozer", _PID, "[scale]\nidle_s = 1")))
    for _ in range(2):
        _asleep(house, "dozer")
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: _predict(house, "dozer"), range(20)))
        assert {status for status, _ in answers} == {200}
        assert len({pid for _, pid in answers}) == 1


# --- 4. jobs --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(house: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that counts its calls by mark, fails as told and may be canceled."""
    house.ok("push", str(kit.model(tmp_path_factory.mktemp("bundles") / "work", _WORK)))
    return "work"


def test_a_job_is_accepted_done_and_its_result_kept(house: Platform, work: str) -> None:
    with house.client() as client:
        answer = client.post("/v1/models/work/jobs", json={"mark": "a"})
        view = answer.json()
        assert answer.status_code == 202
        assert answer.headers["location"] == f"/api/v1/jobs/{view['id']}" == view["links"]["self"]
        assert (view["model"], view["version"], view["created_by"]) == ("work", "1", "admin")
        assert _ended(house, view["id"])["status"] == "succeeded"
        assert client.get(view["links"]["result"]).json() == {"mark": "a", "calls": 1}
    job = house.ok("jobs", "submit", "work", "--set", "mark=b")
    assert job.startswith("job-")
    assert "succeeded" in house.ok("jobs", "wait", job[:-6])
    assert json.loads(house.ok("jobs", "result", job)) == {"mark": "b", "calls": 1}


def test_the_same_key_is_the_same_job_and_with_another_body_a_refusal(house: Platform, work: str) -> None:
    with house.client() as client:
        path, key = "/v1/models/work/jobs", {"Idempotency-Key": "once"}
        first = client.post(path, json={"mark": "key"}, headers=key)
        again = client.post(path, json={"mark": "key"}, headers=key)
        other = client.post(path, json={"mark": "other"}, headers=key)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        _ended(house, first.json()["id"])
        assert _predict(house, "work", {"mark": "key"}) == (200, {"mark": "key", "calls": 2})
    assert other.status_code == 422
    _refusal(other, first.json()["id"])


def test_who_prefers_to_wait_gets_the_result_or_a_promise(house: Platform, work: str) -> None:
    with house.client() as client:
        answer = client.post("/v1/models/work/jobs", json={"mark": "wait"}, headers={"Prefer": "wait=20"})
        assert (answer.status_code, answer.json()) == (200, {"mark": "wait", "calls": 1})
        slow = client.post("/v1/models/work/jobs", json={"mark": "slow", "nap_s": 600}, headers={"Prefer": "wait=1"})
        assert slow.status_code == 202
        later = client.post("/v1/models/work/predict", json={"mark": "c"}, headers={"Prefer": "respond-async"})
        assert later.status_code == 202, later.text
        assert client.delete(f"/api/v1/jobs/{slow.json()['id']}").json()["status"] == "canceled"
        assert _ended(house, later.json()["id"])["status"] == "succeeded"


def test_an_order_delivered_twice_has_one_effect(house: Platform, work: str) -> None:
    def submit() -> str:
        with house.client() as client:
            return str(client.post("/v1/models/work/jobs", json={"mark": "twice", "nap_s": 0.5}).json()["id"])

    job = asyncio.run(_delivered_again(house, submit))
    assert _ended(house, job)["status"] == "succeeded"
    asyncio.run(_order_again(house, _orders[job]))  # and once more after its end
    assert _predict(house, "work", {"mark": "twice"}) == (200, {"mark": "twice", "calls": 2})
    assert _ended(house, job)["attempts"] == 1


def test_a_call_that_fails_is_tried_again_and_wrong_input_is_not(house: Platform, work: str) -> None:
    with house.client() as client:
        flaky = client.post("/v1/models/work/jobs", json={"mark": "flaky", "fail_first": True}).json()["id"]
        wrong = client.post("/v1/models/work/jobs", json={"mark": "wrong", "refuse": True}).json()["id"]
        shape = client.post("/v1/models/work/jobs", json={"mark": 7})  # control can tell: it is not even kept
        assert (shape.status_code, shape.json()["error"]["code"]) == (422, "invalid_input")
        assert "mark" in shape.json()["error"]["message"]
        done = _ended(house, flaky)
        assert (done["status"], done["attempts"]) == ("succeeded", 2)
        done = _ended(house, wrong)
        assert (done["status"], done["attempts"]) == ("failed", 1), done
        assert done["error"]["code"] == "invalid_input"
        assert "mark" in done["error"]["message"]
        assert client.get(f"/api/v1/jobs/{wrong}/result").status_code == 422
    refused = house.cli("jobs", "wait", wrong)
    assert (refused.returncode, "invalid_input" in refused.stdout) == (1, True)


def test_a_job_that_never_succeeds_says_why_and_is_canceled(house: Platform, work: str) -> None:
    job = house.ok("jobs", "submit", "work", "--set", "mark=bad", "--set", "fail=true")
    until(lambda: "no such luck" in (house.get(f"/jobs/{job}")["reason"] or ""), "tried, and why it failed is told")
    assert "canceled" in house.ok("jobs", "cancel", job)
    slow = house.ok("jobs", "submit", "work", "--set", "mark=stopped", "--set", "nap_s=600")
    until(lambda: house.get(f"/jobs/{slow}")["status"] == "running", "it runs")
    house.ok("jobs", "cancel", slow)
    assert house.get(f"/jobs/{slow}")["status"] == "canceled"
    assert _predict(house, "work", {"mark": "free"})[0] == 200  # the replica heard of it: it is free again
    done = house.cli("jobs", "result", slow)
    assert (done.returncode, "job_canceled" in done.stderr) == (4, True)


# --- 5. from a reading to a command ---------------------------------------------------------------------------------------


def test_a_reading_becomes_a_command_and_why_tells_the_chain(house: Platform, home: None, tmp_path: Path) -> None:
    with kit.room(house, "hall", tmp_path) as hall:
        house.ok(
            "schedules", "add", "smart-home", "--at", hall.path, "--name", "always", "--from", "00:00", "--to", "24:00"
        )
        run = _run_ready(house, "always")
        assert {role: bound for role, bound in run["bindings"].items() if bound} == {
            "thermometer": ["t-hall"],
            "fan": ["fan-hall"],
        }
        hall.measure(HOT)
        until(lambda: hall.fan_on() is True, "the fan is on")
        until(lambda: '"on":true' in "".join(hall.commands()).replace(" ", ""), "the fan was told")
        _check_why(house, run["id"])
        hall.measure(COOL)
        until(lambda: hall.fan_on() is False, "the fan is off again")
        _check_hold(house, hall)
        house.ok("schedules", "rm", "always", "--yes")
        until(lambda: house.get(f"/runs/{run['id']}")["status"] == "canceled", "the run has ended")


def _check_why(house: Platform, run: str) -> None:
    def told() -> dict[str, Any]:
        view = dict(house.view("why", "fan-hall.on"))
        return view if "observed" in view["chain"][-1]["said"] else {}

    view = until(told, "the command was observed")
    assert "smart-home switched fan-hall on" in view["answer"]
    assert "t-hall" in view["answer"]
    assert "30" in view["answer"]
    kinds = [link["kind"] for link in view["chain"]]
    order = [kinds.index(kind) for kind in ("schedule", "run", "reading", "prediction", "command")]
    assert order == sorted(order), view["chain"]
    assert run in [link["id"] for link in view["chain"]]
    text = house.ok("why", "fan-hall.on").splitlines()
    assert text[0] == view["answer"]
    assert len(text) == 1 + len(view["chain"])


def _check_hold(house: Platform, hall: kit.Room) -> None:
    """A person's hand wins over the app until it lets go."""
    assert house.ok("devices", "send", hall.fan, "on=false", "--hold", "10m").endswith(" observed")
    hall.measure(HOT)
    until(lambda: "human" in str(_last_of_app(house, hall.fan).get("reason")), "the app's command waits for the person")
    assert hall.fan_on() is False
    holds = {hold["tier"]: hold["value"] for hold in house.get(f"/devices/{hall.fan}")["holds"]}
    assert holds["human"] is False
    house.ok("devices", "release", hall.fan)
    until(lambda: hall.fan_on() is True, "what the app wants holds again")


# --- 6. windows -----------------------------------------------------------------------------------------------------------


def test_the_end_of_a_window_stops_the_run_and_leaves_the_fan_safe(house: Platform, home: None, tmp_path: Path) -> None:
    with kit.room(house, "attic", tmp_path) as attic:
        house.ok("apps", "run", "smart-home", "--at", attic.path, "--for", "8s")
        run = until(lambda: house.get("/runs", at=attic.path)["items"], "a run is there")[0]["id"]
        until(lambda: house.get(f"/runs/{run}")["status"] == "ready", "the run is ready", 60)
        attic.measure(HOT)
        until(lambda: attic.fan_on() is True, "the fan is on")
        ended = until(lambda: (view := house.get(f"/runs/{run}"))["status"] == "succeeded" and view, "its window ended")
        assert [step["status"] for step in ended["history"]][-1] == "succeeded"
        until(lambda: attic.fan_on() is False, "the fan is off")
        assert house.get(f"/devices/{attic.fan}")["holds"] == []
        assert not [name for name in house.pids() if run in name]


def test_a_window_that_ended_while_the_machine_was_off_still_leaves_the_fan_safe(
    house: Platform, home: None, tmp_path: Path
) -> None:
    with kit.room(house, "cellar", tmp_path) as cellar:
        house.ok("apps", "run", "smart-home", "--at", cellar.path, "--for", "10s")
        run = until(lambda: house.get("/runs", at=cellar.path)["items"], "a run is there")[0]
        until(lambda: house.get(f"/runs/{run['id']}")["status"] == "ready", "the run is ready", 60)
        ends = time.monotonic() + 10
        cellar.measure(HOT)
        until(lambda: cellar.fan_on() is True, "the fan is on")
        told = len(cellar.commands())
        cellar.unplug()  # the power is gone, for the fan too
        house.stop()
        assert house.leftovers() == []
        until(lambda: time.monotonic() > ends, "the window is over")
        house.up()
        cellar.plug_in()
        until(lambda: cellar.fan_on() is False, "the fan is off")
        assert '"on":false' in "".join(cellar.commands()[told:]).replace(" ", "")
        until(lambda: house.get(f"/runs/{run['id']}")["finished_at"], "the run has ended")


# --- 7. versions ----------------------------------------------------------------------------------------------------------


def test_versions_come_fail_and_go_back_under_load_and_no_call_notices(house: Platform, tmp_path: Path) -> None:
    """F-22, its short form; ``test_thread_rollouts_long.py`` has the whole."""
    course = rollouts.Course(house, tmp_path / "rolling", random.Random(1))
    course.begin()
    plan = rollouts.steps(course, good=2, bad=1, back=1)
    with rollouts.asked(house, course.model, per_s=250) as callers:
        rollouts.walk(course, callers, plan, calls=2000)
    answers = list(callers.answers)
    wrong = course.wrong(answers)
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:3]}; {course.windows}"
    assert {one.protocol for one in answers} == {"Http1", "Http2"}
    assert not course.bad & {one.number for one in answers}


def test_weights_share_traffic_and_other_aliases_have_their_own(house: Platform, tmp_path: Path) -> None:
    folder = kit.model(tmp_path / "canary", _constant(1))
    house.ok("push", str(folder))
    kit.model(folder, _constant(2))
    house.ok("push", str(folder), "--alias", "staging")
    assert _predict(house, "canary") == (200, 1)
    until(lambda: _predict(house, "canary@staging") == (200, 2), "staging answers")
    assert house.ok("models", "alias", "canary", "production=1:50,2:50") == "production: 1:50,2:50"
    answers: Counter[object] = Counter()

    def shared() -> bool:
        answers.update(_predict(house, "canary")[1] for _ in range(10))
        return answers[1] > 5 and answers[2] > 5

    until(shared, "both versions answer")
    wrong = house.cli("models", "alias", "canary", "production=9")
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "hint:" in wrong.stderr


def test_a_version_that_fails_leaves_production_alone(house: Platform, tmp_path: Path) -> None:
    """F-14; more of it: test_faults_push."""
    folder = kit.model(tmp_path / "steady", _constant(1))
    house.ok("push", str(folder))
    kit.model(folder, _constant(2) + "\nraise RuntimeError('the weights are upside down')\n")
    done = house.cli("push", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: steady@2 failed" in done.stderr
    assert "the weights are upside down" in done.stderr
    kit.model(folder, _constant(3), examples="[[examples]]\ntitle = 'One'\ninput = {}\nexpect = 4\n")
    done = house.cli("push", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert "example_differs" in done.stderr
    assert [one["status"] for one in house.get("/models/steady")["versions"]] == ["failed", "failed", "ready"]
    assert _predict(house, "steady") == (200, 1)
    with house.client() as client:
        assert client.post("/v1/models/steady@2/predict", json={}).status_code in (404, 410)


def test_a_version_that_nothing_names_is_gone(house: Platform, tmp_path: Path) -> None:
    folder = kit.model(tmp_path / "bygone", _constant(1))
    house.ok("push", str(folder))
    kit.model(folder, _constant(2))
    house.ok("push", str(folder))
    until(lambda: house.get("/models/bygone")["versions"][1]["status"] == "retired", "version 1 is retired")

    def gone() -> httpx.Response | None:
        with house.client() as client:
            answer = client.post("/v1/models/bygone@1/predict", json={})
        return answer if answer.status_code == 410 else None

    _refusal(until(gone, "version 1 answers 410"), "bygone")
    assert _predict(house, "bygone") == (200, 2)
    done = house.cli("predict", "bygone@1", "--json", "{}")
    assert (done.returncode, "version_gone" in done.stderr) == (4, True)


# --- 8. the platform itself -----------------------------------------------------------------------------------------------


def test_everything_is_back_after_a_restart_and_nothing_is_left_after_a_stop(
    house: Platform, flights: str, work: str
) -> None:
    job = house.ok("jobs", "submit", "work", "--set", "mark=kept")
    assert _ended(house, job)["status"] == "succeeded"
    before = {model["name"]: model["aliases"] for model in house.get("/models")["items"]}
    devices = [device["id"] for device in house.get("/devices")["items"]]
    token = house.token
    assert house.stop() == 0
    assert "stopping" in house.complained
    assert house.leftovers() == []
    assert house.pids() == {}
    house.up()
    assert house.token == token
    assert {model["name"]: model["aliases"] for model in house.get("/models")["items"]} == before
    assert [device["id"] for device in house.get("/devices")["items"]] == devices
    assert json.loads(house.ok("jobs", "result", job)) == {"mark": "kept", "calls": 1}
    assert _predict(house, "plane-delay", FLIGHT)[0] == 200
    until(lambda: house.view("status")["state"] == "ok", "all is well")


def test_the_whole_thread_as_one_person_walks_it(tmp_path: Path) -> None:
    """From an empty folder to a fan that turns, and to an empty machine again."""
    with platform() as made:
        assert made.said[0] == f"ready {made.url}"
        assert made.said[1].startswith("admin password: ")
        made.ok("push", str(EXAMPLES / "comfort"))
        made.ok("push", str(EXAMPLES / "smart-home"))
        assert json.loads(made.ok("predict", "comfort", "--set", "temperature=27.4"))["hot"] is True
        job = made.ok("jobs", "submit", "comfort", "--set", "temperature=19")
        made.ok("jobs", "wait", job)
        assert json.loads(made.ok("jobs", "result", job))["hot"] is False
        with kit.room(made, "lab", tmp_path) as lab:
            made.ok("apps", "run", "smart-home", "--at", lab.path)
            until(lambda: "ready" in made.ok("runs", "--live"), "the run is ready", 60)
            lab.measure(HOT)
            until(lambda: lab.fan_on() is True, "the fan is on")
            assert "smart-home switched fan-lab on" in made.ok("why", "fan-lab.on")
            run = made.view("runs", "--live")["items"][0]["id"]
            made.ok("runs", "stop", run)
            until(lambda: lab.fan_on() is False, "the fan is off")
        assert made.stop() == 0
        assert made.leftovers() == []


# --- what the tests share -------------------------------------------------------------------------------------------------

_PID = "import os\nimport fairlead\n\nclass M(fairlead.Model):\n    def predict(self) -> int:\n        return os.getpid()\n"
_ROWS = """
import fairlead

class Row(fairlead.Input):
    n: int

class M(fairlead.Model):
    def predict_batch(self, rows: list[Row]) -> list[dict[str, int]]:
        return [{"n": row.n, "batch": len(rows)} for row in rows]
"""
_CURIOUS = """
import gc
import os
import fairlead

class M(fairlead.Model):
    def predict(self) -> dict:
        headers = {}
        for found in gc.get_objects():
            if type(found).__name__ == "HttpCall":
                headers.update(found.scope.headers.items())
        return {"headers": headers, "env": dict(os.environ), "user": fairlead.request().user}
"""
_WORK = """
import time
from collections import Counter
import fairlead

class M(fairlead.Model):
    def load(self) -> None:
        self.calls = Counter()

    def predict(
        self, mark: str, nap_s: float = 0, fail: bool = False, fail_first: bool = False, refuse: bool = False
    ) -> dict:
        self.calls[mark] += 1
        if refuse:
            raise fairlead.InvalidInput("there is no such mark", "mark")
        if fail or (fail_first and self.calls[mark] == 1):
            raise RuntimeError("no such luck")
        until = time.monotonic() + nap_s
        while time.monotonic() < until:
            fairlead.progress(1)
            time.sleep(0.02)
        return {"mark": mark, "calls": self.calls[mark]}
"""
_orders: dict[str, JobOrder] = {}


def _constant(value: int) -> str:
    return f"import fairlead\n\nclass M(fairlead.Model):\n    def predict(self) -> int:\n        return {value}\n"


def _predict(house: Platform, ref: str, body: object = None) -> tuple[int, Any]:
    with house.client() as client:
        answer = client.post(f"/v1/models/{ref}/predict", json={} if body is None else body)
    return answer.status_code, answer.json()


def _asleep(house: Platform, model: str) -> None:
    until(lambda: house.pid_of("replica", model) == 0, f"{model} sleeps", LATE_S)


def _ended(house: Platform, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        view = dict(house.get(f"/jobs/{job}", wait=10))
        return view if view["finished_at"] else {}

    return until(look, f"{job} ended", 60)


def _refusal(answer: httpx.Response, names: str) -> None:
    """Check the one shape of every refusal."""
    error = answer.json()["error"]
    assert error["code"]
    assert names in error["message"]
    assert error["hint"]
    assert error["id"]


def _run_ready(house: Platform, schedule: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        found = house.get("/runs", schedule=schedule)["items"]
        return dict(found[0]) if found and found[0]["status"] == "ready" else {}

    return until(look, f"the run of {schedule} is ready", 60)


def _last_of_app(house: Platform, device: str) -> dict[str, Any]:
    """Return the newest command of an app to ``device``."""
    found = [one for one in house.get(f"/devices/{device}/commands")["items"] if one["by"]["tier"] == "app"]
    return dict(max(found, key=lambda one: one["created_at"]))


async def _delivered_again(house: Platform, submit: Any) -> str:
    """Have a job submitted and its order delivered a second time while it runs; return its id."""
    bus_home = house.home / "bus"
    listening = await nats.connect(server.access(bus_home, "keeper"))
    got = asyncio.Event()

    async def keep(order: JobOrder) -> None:
        _orders[order.job] = order
        got.set()

    try:
        await listening.subscribe(JobOrder, keep, node="local")
        job = await asyncio.to_thread(submit)
        await asyncio.wait_for(got.wait(), LATE_S)
    finally:
        await listening.close()
    await _order_again(house, _orders[job])
    return str(job)


async def _order_again(house: Platform, order: JobOrder) -> None:
    bus = await nats.connect(server.access(house.home / "bus", "control"))
    try:
        await bus.publish(order, node="local")
    finally:
        await bus.close()
