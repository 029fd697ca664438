"""Apps that do not work, and everything that dies while a window is open or a command is on its way.

One platform for all; each test has a place and a fan of its own.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.thread import badapps, kit
from tests.thread.body import Fan
from tests.thread.rig import Platform, platform, until

pytestmark = pytest.mark.timeout(600)
LATE_S = 90.0
MANIFEST = 'kind = "app"\nname = "airing"\n[run]\nentry = "app:app"\n[devices]\nfan = { type = "fan" }\n'
CODE = """
import fairlead

app = fairlead.App()
fan = app.device("fan")


@app.on(fan.speed)
async def pressed(reading: fairlead.Reading) -> None:
    command = await fan.send(on=True, timeout_s=60)
    app.log.info("it is %s", command.status)
"""
ENDED = ("observed", "failed")
UP_S = 5.0
"""A first start takes no longer where nothing else goes on."""


class House:
    """The platform, and how much slower it is than on a quiet machine."""

    def __init__(self, made: Platform, slower: float) -> None:
        self.platform, self.slower = made, slower

    def get(self, path: str, **params: Any) -> Any:
        """Return an answer, while control may be away."""

        def ask() -> httpx.Response | None:
            try:
                with self.platform.client(timeout_s=5) as client:
                    answer = client.get(f"/api/v1{path}", params=params)
            except httpx.TransportError:
                return None
            return answer if answer.status_code == 200 else None

        return until(ask, f"{path} is answered", LATE_S).json()

    def begin(self, fan: Fan, *more: str) -> str:
        """Open a window and return its run, once it is ready."""
        self.platform.ok("apps", "run", "airing", "--at", fan.place, *more)
        run = str(until(lambda: self.get("/runs", at=fan.place)["items"], "a run is there")[0]["id"])
        until(lambda: self.get(f"/runs/{run}")["status"] == "ready", "the run is ready", LATE_S)
        return run

    def turn_on(self, fan: Fan) -> None:
        """Have the app turn the fan on."""
        fan.press()
        until(lambda: fan.shows("on") is True, "the fan is on", LATE_S)

    def over(self, fan: Fan, run: str, status: str) -> None:
        """There was one run, which has ended; the fan is off, nobody holds it, and each command has one end."""
        until(lambda: self.get(f"/runs/{run}")["finished_at"], "the run has ended", LATE_S)
        assert [(one["id"], one["status"]) for one in self.get("/runs", at=fan.place)["items"]] == [(run, status)]
        until(lambda: fan.shows("on") is False, "the fan is off", LATE_S)
        assert fan.view()["holds"] == []
        until(lambda: not [name for name in self.platform.pids() if run in name], "no process is left")
        self.each_command_ends_once(fan)

    def each_command_ends_once(self, fan: Fan) -> None:
        def commands() -> list[dict[str, Any]]:
            return list(self.get(f"/devices/{fan.name}/commands")["items"])

        until(lambda: all(one["status"] in ENDED for one in commands()), f"commands of {fan.name} end", LATE_S)
        for one in commands():
            ends = [step["status"] for step in one["history"] if step["status"] in ENDED]
            assert len(ends) == 1, one


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with platform(start=False) as made:
        made.home.mkdir()
        (made.home / "settings.toml").write_text(f"scratch_mb = {badapps.SCRATCH_MB}\n")
        slower = max(1.0, made.up() / UP_S)
        folder = kit.write(tmp_path_factory.mktemp("app") / "airing", {"fairlead.toml": MANIFEST, "app.py": CODE})
        made.ok("push", str(folder))
        yield House(made, slower)


@contextmanager
def plugged_in(house: House, name: str, folder: Path) -> Iterator[Fan]:
    fan = Fan(house.platform, name, folder)
    try:
        fan.start()
        yield fan
    finally:
        fan.kill()


def strike(house: House, fan: Fan, what: str) -> None:
    """Kill ``what``, and start again what nobody else does."""
    made = house.platform
    match what:
        case "device":
            fan.kill()
            until(lambda: fan.view()["status"] == "offline", "its will is told", LATE_S)
            fan.start()
        case "keeper":
            kill_keeper(made)
            made.up()
        case "app":
            os.kill(made.pid_of("run"), signal.SIGKILL)
        case _:
            os.kill(made.pids()[what], signal.SIGKILL)


def kill_keeper(made: Platform) -> None:
    assert made.process is not None
    made.process.kill()
    made.process.wait(10)
    made.process = None


def test_apps_that_do_not_work_say_why_and_harm_no_neighbor(house: House, tmp_path: Path) -> None:
    made = house.platform
    with plugged_in(house, "fan-beside", tmp_path) as fan:
        run = house.begin(fan)
        before = made.pids()[f"{run}.app"]
        made.ok("locations", "add", "faults/bad")
        started = badapps.start(made, tmp_path, "faults/bad")
        for name, bad in started.items():
            *_, statuses, words = badapps.APPS[name]

            def is_found(bad: str = bad, statuses: str = statuses, words: str = words) -> bool:
                view = house.get(f"/runs/{bad}")
                return view["status"] in statuses and any(words in str(step["reason"]) for step in view["history"])

            try:
                until(is_found, f"{name} is {statuses}", LATE_S)
            except AssertionError as error:
                raise AssertionError(f"{error}: {house.get(f'/runs/{bad}')}") from error
            assert words in str(house.get("/why", of=bad))
            if name in ("no-model", "no-port"):
                assert words in made.ok("runs", "show", bad)
        house.turn_on(fan)
        assert made.pids()[f"{run}.app"] == before
        assert house.get(f"/runs/{run}")["restarts"] == 0
        assert house.get("/status")["state"] == "ok"
        for one in (run, started["no-model"], started["fills"]):
            made.ok("runs", "stop", one)
        house.over(fan, run, "canceled")


def test_whatever_is_killed_while_a_fan_is_told_the_run_goes_on_and_the_command_has_one_end(
    house: House, tmp_path: Path
) -> None:
    """Each while a command was sent that the fan has not answered yet; the app is there again for the next."""
    with plugged_in(house, "fan-kills", tmp_path) as fan:
        run = house.begin(fan)
        for what in ("app", "control", "bus", "keeper", "device"):
            began, told = time.monotonic(), len(fan.told())
            fan.slow(True)
            fan.press()
            last = until(lambda told=told: fan.told()[told:], f"{what}: the fan is told", LATE_S)[-1]["id"]
            assert house.get(f"/commands/{last}")["status"] == "sent"
            strike(house, fan, what)
            fan.slow(False)
            until(lambda last=last: house.get(f"/commands/{last}")["finished_at"], f"{what}: it has an end", LATE_S)
            house.each_command_ends_once(fan)
            until(lambda: fan.shows("on") is True, f"{what}: the fan is on", LATE_S)
            until(lambda: house.get(f"/runs/{run}")["status"] == "ready", f"{what}: the run is ready", LATE_S)
            print(f"{what}: {time.monotonic() - began:.1f} s")
        house.platform.ok("runs", "stop", run)
        house.over(fan, run, "canceled")


@pytest.mark.parametrize("what", ["control", "keeper", pytest.param("all", marks=pytest.mark.long)])
def test_a_window_ends_whatever_was_killed_in_it(house: House, tmp_path: Path, what: str) -> None:
    """Control, which comes back by itself; the keeper, which comes back after the end; and all, device included, as
    when the power goes: the run has succeeded and the fan is off, the first two at the end itself."""
    made = house.platform
    with plugged_in(house, f"fan-{what}", tmp_path) as fan:
        length = 5 * house.slower
        run = house.begin(fan, "--for", f"{length:.0f}s")
        ends = datetime.fromisoformat(house.get(f"/runs/{run}")["window"]["to"])
        house.turn_on(fan)
        assert fan.view()["holds"] != []
        if what == "control":
            strike(house, fan, "control")
        else:
            kill_keeper(made)
        if what == "all":
            fan.kill()
            for pid in made.pids().values():
                os.kill(pid, signal.SIGKILL)
        assert datetime.now(UTC) < ends, "too slow: its window was over before"
        until(lambda: datetime.now(UTC) > ends, "its window is over", LATE_S + length)
        if what == "keeper":
            until(lambda: fan.shows("on") is False, "the fan is off without a keeper")
        if what != "control":
            made.up()
        if what == "all":
            fan.start()
        house.over(fan, run, "succeeded")
        assert house.get(f"/runs/{run}")["reason"].startswith("the window closed")
