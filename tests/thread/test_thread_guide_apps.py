"""The guide's page of an app, device of two shell commands and app in a shell, word for word, on a whole platform."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
from tests.guide import Section
from tests.thread.desk import Browser, Desk, WebSocket
from tests.thread.rig import EXAMPLES, Platform, platform, until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    with platform() as made:
        until(lambda: any("admin password: " in line for line in made.said), "the password is told")
        made.ok("locations", "add", "demo/room", "--zone", "UTC")
        made.ok("devices", "add", "t1", "--type", "temperature", "--at", "demo/room")
        made.ok("devices", "add", "fan-1", "--type", "fan", "--at", "demo/room")
        made.ok("simulate", "demo/room")
        yield made


@pytest.fixture(scope="module")
def desk(house: Platform, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(house, tmp_path_factory.mktemp("desk"))


def test_the_page_of_the_guide_follows_by_a_websocket_behind_the_sign_in_until_its_window_ends(desk: Desk) -> None:
    house, section = desk.house, Section("apps", "A page")
    section.write(desk.folder)
    (script,) = section.scripts["bash"]
    assert "live@1" in desk.bash(script)
    page = f"live.apps.localhost:{house.port}"
    until(lambda: [run["url"] for run in live_runs(house, "live")] == [f"http://{page}"], "the page is up", 60)

    password = next(line.split()[2] for line in house.said if line.startswith("admin password: "))
    with closing(Browser(house)) as browser:
        shown = browser.sign_in(browser.open(f"http://{page}/"), "admin", password)
        assert "<title>Live</title>" in shown.text
        mine = f"cookie: {browser.cookie(page)}"
        foreign = f"cookie: {browser.cookie(house.url.removeprefix('http://'))}"
        own = f"origin: http://{page}"
        with closing(WebSocket(house, page, "/live", mine, own)) as live:
            assert live.status == 101
            assert str(live.text()).endswith(" °C")
        refused(house, page, 401, "token_required", own)
        for other in ((), ("origin: http://evil.example",), (f"origin: {house.url}x",)):
            refused(house, page, 403, "origin_refused", mine, *other)
        for session in (
            mine,
            foreign,
        ):  # neither opens what is not there
            refused(
                house,
                f"other.apps.localhost:{house.port}",
                404,
                "no_such_page",
                session,
                own.replace("live.", "other."),
            )
        until_its_window_ends(house, browser)


def until_its_window_ends(house: Platform, browser: Browser) -> None:
    """A WebSocket of a short window ends with it; a window that is over before the page is up is tried longer."""
    for seconds in (6, 30, 90):
        name = f"brief-{seconds}"
        page = f"{name}.apps.localhost:{house.port}"
        moment = datetime.now(UTC) + timedelta(seconds=1)
        body = {"app": "live", "at": "demo/room", "name": name, "once_from": moment.isoformat(), "for_s": seconds}
        with house.client() as client:
            made = client.post("/api/v1/schedules", json=body)
            assert made.status_code == 201, made.text
        run = until(lambda name=name: runs(house, name), "its window opens")[0]["id"]  # type: ignore[misc]
        until(lambda run=run: status(house, run) not in ("planned", "starting"), "it is up, or over", 180)  # type: ignore[misc]
        if "Live" not in browser.open(f"http://{page}/").text:
            continue
        with closing(
            WebSocket(house, page, "/live", f"cookie: {browser.cookie(page)}", f"origin: http://{page}")
        ) as live:
            if live.status != 101 or live.text() is None:
                continue
            heard = 1
            while live.text() is not None:
                heard += 1
        until(lambda run=run: status(house, run) == "succeeded", "the run ends well")  # type: ignore[misc]
        ended = datetime.now(UTC) - moment
        assert ended > timedelta(seconds=seconds), "it ended with its window, and not before"
        assert "Live" not in browser.open(f"http://{page}/").text
        return
    raise AssertionError("no window was long enough for this machine")


def refused(house: Platform, host: str, status: int, code: str, *headers: str) -> None:
    with closing(WebSocket(house, host, "/live", *headers)) as socket:
        assert socket.status == status, socket.head
        assert json.loads(socket.body())["error"]["code"] == code


def runs(house: Platform, schedule: str) -> list[dict[str, Any]]:
    return list(house.get("/runs", schedule=schedule)["items"])


def live_runs(house: Platform, schedule: str) -> list[dict[str, Any]]:
    return [run for run in runs(house, schedule) if run["status"] == "ready"]


def status(house: Platform, run: str) -> str:
    return str(house.get(f"/runs/{run}")["status"])


def test_an_app_of_a_shell_a_plain_page_and_a_script_runs_by_its_channel_alone(desk: Desk) -> None:
    house, section = desk.house, Section("apps", "In another language")
    section.write(desk.folder)
    desk.bash(section.scripts["bash"][0])
    page = f"cool.apps.localhost:{house.port}"
    until(lambda: [run["url"] for run in live_runs(house, "cool")] == [f"http://{page}"], "the run is ready", 60)
    with explained(house, "cool"):
        until(lambda: values(house, "porch-fan").get("on") is True, "the shell had the fan run", 60)
    said = desk.bash("fairlead why porch-fan.on")
    assert "because: it is 2" in said
    with house.client() as client:
        shown = client.get("/", headers={"host": page}).json()["items"]
    assert [item["device"] for item in shown] == ["porch-t"]
    (letter,) = until(
        lambda: [one for one in house.get("/mail")["items"] if one["subject"] == "It is warm"], "a letter"
    )
    assert letter["to"] == ["ada@example.org"]
    run = runs(house, "cool")[0]["id"]
    for curl in streams(run):
        curl.kill()
    before = answers(house, run)
    with explained(house, "cool"):
        until(lambda: answers(house, run) > before, "its stream was cut: it was started again", 60)


def streams(run: str) -> list[psutil.Process]:
    """Return the programs of a run that read its stream."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "http://run/events" in (process.info["cmdline"] or ()):
            with suppress(psutil.Error):
                if process.environ()["FAIRLEAD_RUN"] == run:
                    found.append(process)
    assert found
    return found


def answers(house: Platform, run: str) -> int:
    """Return how often the fan was told something by the shell."""
    return house.cli("logs", run).stdout.count('"device":"porch-fan"')


@pytest.mark.skipif(shutil.which("jq") is None, reason="the guide's controller needs jq")
def test_a_device_of_mosquitto_alone_works_from_the_guide_alone(desk: Desk) -> None:
    """Every command of the page, in its order, as a person types them in two shells."""
    house = desk.house
    (desk.folder / "examples").symlink_to(EXAMPLES)
    said = "".join(map(desk.bash, Section("devices", "Register one").scripts["bash"]))
    secrets = {line.split()[0]: line.split()[-1] for line in said.splitlines() if "  password " in line}
    passwords, sensor, controller = Section("devices", "Connect it").scripts["bash"]
    typed = f"{secrets['lab-t']}\n{secrets['lab-fan']}\n"

    desk.bash(passwords + sensor, typed)
    until(lambda: values(house, "lab-t") == {"temperature": 21.5}, "the platform has the sensor's value")
    script = ["bash", "-c", passwords + controller]
    with subprocess.Popen(
        script, cwd=desk.folder, env=desk.env, stdin=subprocess.PIPE, text=True, start_new_session=True
    ) as fan:
        try:
            assert fan.stdin is not None
            fan.stdin.write(typed)
            fan.stdin.flush()
            until(lambda: house.get("/devices/lab-fan")["status"] == "online", "the fan is online")

            simulate, lamp, *others = Section("devices", "Without the hardware").scripts["bash"][0].splitlines(True)
            desk.bash(simulate)
            until(lambda: house.get("/devices/lab-lamp")["status"] == "online", "the simulated lamp is online")
            assert " observed" in desk.bash(lamp + "".join(others))

            _, _, on, off, why = Section("devices", "See and steer").scripts["bash"][0].splitlines(True)
            assert desk.bash(on).endswith(" observed\n")
            assert values(house, "lab-fan")["on"] is True
            desk.bash(off)
            until(lambda: values(house, "lab-fan")["on"] is False, "nobody holds it: it is off")
            assert "lab-fan" in desk.bash(why)

            things = Section("devices", "Other programs: the Web of Things").scripts["bash"][0]
            *once, follow = things.splitlines(True)
            assert desk.bash("".join(once)).startswith("false")
            until(lambda: values(house, "lab-fan")["on"] is True, "it was set over HTTP")
            assert "data: true" in desk.bash(f"{once[0]}timeout 2 {follow.rstrip()} || true")
        finally:
            os.killpg(fan.pid, signal.SIGTERM)
    until(lambda: house.get("/devices/lab-fan")["status"] == "offline", "it said so as it left")
    assert "password" in "".join(map(desk.bash, Section("devices", "Replace one").scripts["bash"]))
    desk.bash("".join(Section("devices", "Take one out").scripts["bash"]))
    assert "lab-t" not in desk.bash("fairlead devices").split()


@contextmanager
def explained(house: Platform, schedule: str) -> Iterator[None]:
    """Add to what fails in the block what the run of ``schedule`` said."""
    try:
        yield
    except AssertionError as error:
        log = house.cli("logs", runs(house, schedule)[0]["id"]).stdout.splitlines()[-20:]
        raise AssertionError(f"{error}; it said {log}; {house.get('/devices/t1')['values']}") from error


def values(house: Platform, device: str) -> dict[str, Any]:
    return {name: value["value"] for name, value in house.get(f"/devices/{device}")["values"].items()}
