"""Runs of apps as real processes in the sandbox, on channels that a real keeper's room serves."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.clock import SystemClock, to_text
from fairlead.errors import NotFound, Unavailable
from fairlead.identity.seal import Sealer, secret_name
from fairlead.keeper.bundles.diskbound import DiskBound
from fairlead.keeper.bundles.memorybound import MemoryBound
from fairlead.keeper.bundles.memoryused import Over
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.keeper.running.models_call import Reply
from fairlead.keeper.running.policy import FROZEN_S
from fairlead.keeper.running.readings import Readings
from fairlead.keeper.running.runs import Runs
from fairlead.keeper.running.state import RunPorts
from fairlead.messages import (
    HANDLERS_FAIL,
    Answer,
    CommandAsk,
    DeviceBinding,
    ErrorInfo,
    MailAsk,
    Measured,
    Message,
    ReadingsAsk,
    RunReport,
    RunWanted,
    StateGet,
    StatePut,
)
from fairlead.sandbox.level import isolation
from fairlead.sandbox.uids import uid_for
from fairlead.settings import Home
from fairlead.status import RunStatus
from fairlead.supervisor import proc, strays
from fairlead.testing.wanted import run_wanted

DEADLINE_S = 30
SEALER = Sealer(bytes(32))
ENVIRONMENT = Path(sys.prefix)
APP = """
import fairlead
app = fairlead.App()
sensor, fan, model = app.device("sensor"), app.device("fan"), app.model("judge")

@app.start
async def begin():
    app.log.info("place %s, comfort %s", app.run.place, app.params.comfort)
    await app.state.set("starts", await app.state.get("starts", 0) + 1)

@app.on(sensor.temperature)
async def look(reading):
    if reading.value > app.params.comfort and await model.predict(t=reading.value):
        command = await fan.send(on=True, hold_s=60)
        await app.mail("warm", f"{command.status} {command.ok}", attach=[b"x"])
    if reading.value < 0:
        raise ValueError("too cold")

@app.stop
async def finish():
    await app.state.set("stopped", True)
"""


class Control:
    """Stands for the bus and for control behind it: answers what runs ask, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.state: dict[str, tuple[bytes, int]] = {}
        self.subscribers: dict[str, Callable[[Measured], Any]] = {}
        self.away = False

    async def subscribe(self, kind: type, handler: Callable[[Measured], Any], *, device: str) -> "Control":
        self.subscribers[device] = handler
        return self

    async def close(self) -> None:
        """A subscription's."""

    async def measured(self, device: str, name: str, value: object) -> None:
        await wait_for(lambda: device in self.subscribers)
        at = to_text(SystemClock().now())
        await self.subscribers[device](Measured(device, name, at, msgspec.json.encode(value)))

    async def request(self, message: Message, *, timeout_s: float = 5, node: str | None = None) -> Answer:
        if self.away:
            raise Unavailable("nobody", code="no_answer")
        self.asked.append(message)
        match message:
            case StateGet(key=key):
                found = self.state.get(key)
                value = f'{{"value": {found[0].decode()}, "version": {found[1]}}}' if found else "null"
                return Answer(value=value.encode())
            case StatePut(key=key, value=body):
                version = self.state.get(key, (b"", 0))[1] + 1
                self.state[key] = (body, version)
                return Answer(value=b'{"value": null, "version": %d}' % version)
            case CommandAsk(command=command):
                return Answer(value=b'{"id": "%b", "status": "observed"}' % command.encode())
            case ReadingsAsk():
                return Answer(value=b"[]")
            case _:
                return Answer()

    def all(self, kind: type) -> list[Any]:
        return [message for message in self.asked if isinstance(message, kind)]


class Yes:
    """A model that always says true."""

    async def call(self, ref: str, body: bytes, kind: str, accept: str, user: str, timeout_s: float) -> Reply:
        return Reply(200, {"content-type": "application/json", "x-fairlead-version": "4"}, b"true")


class NoFiles:
    """No files but attachments."""

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        return name

    async def get(self, schedule: str, name: str) -> bytes:
        raise NotFound(f"no file {name}")

    async def list(self, schedule: str) -> tuple[str, ...]:
        return ()

    async def attach(self, run: str, name: str, data: bytes) -> str:
        return f"mail/{run}/{name}"


class Hurried(SystemClock):
    """The machine's clock, on which more time may have passed."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class House:
    """One home, and a keeper's runs that may be left and begun anew."""

    def __init__(self, root: Path) -> None:
        self.clock = Hurried()
        self.home = Home(root / "home")
        self.control = Control()
        self.bundle = root / "bundle"
        for folder in (self.home.children, self.home.logs, self.home.scratch, self.home.keeper, self.bundle):
            folder.mkdir(parents=True, mode=0o711, exist_ok=True)
        self.bundle.chmod(0o755)
        self.home.run.mkdir(mode=0o711, exist_ok=True)
        self.runs = self.keeper()

    def keeper(self) -> Runs:
        holds = isolation()
        registry = self.home.keeper / "uids.json"
        ports = RunPorts(
            home=self.home,
            bus=self.control,  # type: ignore[arg-type]
            models=Yes(),
            files=NoFiles(),
            readings=Readings(self.control),  # type: ignore[arg-type]
            clock=self.clock,
            isolation=holds,
            ready_bundle=lambda digest: (self.bundle, ENVIRONMENT),
            uid_of=(lambda name: uid_for(name, registry)) if holds.own_uid else (lambda name: None),
            marker={},
            secrets=Secrets(lambda: SEALER),
            changed=lambda: None,
        )
        return Runs(ports)

    def write(self, text: str, name: str = "app.py") -> None:
        (self.bundle / name).write_text(text)
        (self.bundle / name).chmod(0o755)

    def wanted(self, **changes: Any) -> RunWanted:
        temperature = {"type": "number"}
        run = run_wanted(
            entry="app:app",
            params={"comfort": 25},
            bindings={
                "sensor": DeviceBinding(("t1",), "temperature@1", True, properties={"temperature": temperature}),
                "fan": DeviceBinding(("fan-1",), "fan@1", True, properties={"on": {"type": "boolean"}}),
            },
            models={"judge": "judge@production"},
        )
        return msgspec.structs.replace(run, **changes)

    def report(self) -> RunReport:
        (report,) = self.runs.reports()
        return report

    async def until(self, status: RunStatus) -> RunReport:
        await wait_for(lambda: self.report().status in (status, RunStatus.SUCCEEDED, RunStatus.FAILED), self.said)
        assert self.report().status is status, self.said()
        return self.report()

    def said(self) -> str:
        log = self.home.logs / "run-1.log"
        return f"{self.runs.reports()}\n{log.read_text() if log.exists() else 'no log'}"


async def wait_for(condition: Callable[[], object], said: Callable[[], object] = lambda: "") -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"did not come about: {said()}")


@asynccontextmanager
async def house(root: Path) -> AsyncIterator[House]:
    made = House(root)
    try:
        yield made
    finally:
        await made.runs.stop_all(5)


async def test_reading_becomes_command_and_mail(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        await it.until(RunStatus.READY)
        await it.control.measured("t1", "temperature", 27.4)
        await wait_for(lambda: it.control.all(MailAsk), it.said)

        (ask,) = it.control.all(CommandAsk)
        assert (ask.run, ask.role, ask.device, ask.set, ask.hold_s) == ("run-1", "fan", "fan-1", {"on": True}, 60)
        assert ask.because[0].startswith("reading t1.temperature 27.4 at ")
        assert ask.because[1].startswith("prediction judge@4")
        (mail,) = it.control.all(MailAsk)
        assert mail.text == "observed True"
        assert mail.attach[0].key == "mail/run-1/file-1"
        assert it.control.state["starts"] == (b"1", 1)


async def test_failing_handler_is_not_the_end(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        before = (await it.until(RunStatus.READY)).pids
        await it.control.measured("t1", "temperature", -5)
        await wait_for(lambda: "ValueError: too cold" in (it.home.logs / "run-1.log").read_text(), it.said)
        await it.control.measured("t1", "temperature", 30)
        await wait_for(lambda: it.control.all(CommandAsk), it.said)

        assert it.report().pids == before


async def test_a_handler_that_fails_again_and_again_is_reported(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        await it.until(RunStatus.READY)
        for failures in range(1, 4):
            await it.control.measured("t1", "temperature", -failures)
            log = it.home.logs / "run-1.log"
            await wait_for(lambda log=log, n=failures: log.read_text().count("look failed") >= n, it.said)

        await wait_for(lambda: it.report().reason.startswith(HANDLERS_FAIL), it.said)
        assert it.report().status is RunStatus.READY
        assert it.report().reason.endswith("ValueError: too cold; fairlead logs run-1")


async def test_keeper_that_comes_back_keeps_the_process(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        before = (await it.until(RunStatus.READY)).pids
        await it.runs.let_go()
        it.control.subscribers.clear()

        it.runs = it.keeper()
        assert it.runs.adopt() == ("run-1",)
        await it.runs.converge((it.wanted(),))
        await it.control.measured("t1", "temperature", 27.4)
        await wait_for(lambda: it.control.all(MailAsk), it.said)

        assert it.report().pids == before
        assert it.control.state["starts"] == (b"1", 1)


KEEPER = """
import asyncio, importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("house", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["house"] = module
spec.loader.exec_module(module)

async def main():
    it = module.House(Path(sys.argv[2]))
    it.write(module.APP)
    await it.runs.converge((it.wanted(),))
    await it.until(module.RunStatus.READY)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_process_outlives_a_keeper_that_is_killed(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", KEEPER, __file__, str(tmp_path))
    keeper = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert keeper.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        assert await keeper.stdout.readline() == b"ready\n"
    keeper.kill()
    await keeper.wait()
    async with house(tmp_path) as it:
        assert it.runs.adopt() == ("run-1",)
        await it.runs.converge((it.wanted(),))
        await it.until(RunStatus.READY)
        pid = it.report().pids["app"]
        await it.control.measured("t1", "temperature", 27.4)
        await wait_for(lambda: it.control.all(MailAsk), it.said)
        assert "starts" not in it.control.state  # it was told once, to the keeper before
        os.kill(pid, signal.SIGKILL)
        await wait_for(lambda: it.report().restarts == 1, it.said)

        assert it.report().reason.startswith("ended while nobody watched")


async def test_killed_app_is_started_again(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        before = (await it.until(RunStatus.READY)).pids["app"]
        os.kill(before, signal.SIGKILL)
        await wait_for(lambda: it.report().restarts == 1, it.said)
        assert it.report().reason.startswith("ended by SIGKILL")
        after = await it.until(RunStatus.READY)

        assert after.pids["app"] != before
        assert it.control.state["starts"][0] == b"2"


FREEZES = """
import os, pathlib, time, fairlead
app = fairlead.App()
sensor = app.device("sensor")

@app.on(sensor.temperature)
async def look(reading):
    once = pathlib.Path(os.environ["TMPDIR"], "once")
    if not once.exists():
        once.touch()
        print("stands still", flush=True)
        time.sleep(600)
"""


async def test_an_app_that_freezes_once_it_was_ready_is_ended_and_started_again(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(FREEZES)
        await it.runs.converge((it.wanted(),))
        before = (await it.until(RunStatus.READY)).pids["app"]
        await it.control.measured("t1", "temperature", 1)
        await wait_for(lambda: "stands still" in (it.home.logs / "run-1.log").read_text(), it.said)
        it.clock.ahead_s = FROZEN_S + 1
        await wait_for(lambda: it.report().restarts == 1, it.said)

        assert it.report().reason == "frozen: no sign of life for 30 s"
        assert (await it.until(RunStatus.READY)).pids["app"] != before


LEAVES_CHILDREN = """
import os, time, fairlead
app = fairlead.App()

@app.start
async def begin():
    if await app.state.get("starts", 0):
        return
    await app.state.set("starts", 1)
    for apart in (False, True):
        if os.fork() == 0:
            if apart:
                os.setsid()
            time.sleep(600)
    raise RuntimeError("no luck")
"""


async def test_what_an_app_that_crashed_had_begun_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(LEAVES_CHILDREN)
        await it.runs.converge((it.wanted(),))
        ready = await it.until(RunStatus.READY)

        assert ready.restarts == 1
        if (uid := (it.home.scratch / "run-1").stat().st_uid) != os.getuid():
            assert strays.find("", uids=(uid,)) == (ready.pids["app"],)


async def test_a_role_that_the_manifest_does_not_name_is_told_at_start(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write("import fairlead\napp = fairlead.App()\napp.model('oracle')\n")
        await it.runs.converge((it.wanted(),))
        failed = await it.until(RunStatus.FAILED)

        assert (failed.restarts, "role oracle, which [models] of its fairlead.toml" in failed.reason) == (0, True)


async def test_exit_78_is_not_started_again(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write("import fairlead\napp = 'no app'\n")
        await it.runs.converge((it.wanted(),))
        failed = await it.until(RunStatus.FAILED)

        assert failed.restarts == 0
        assert failed.reason.startswith("exit 78 at start: app:app is a str, not a fairlead.App")


async def test_app_that_cannot_start_fails_after_four_tries(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write("import nothing_like_this\n")
        await it.runs.converge((it.wanted(),))
        failed = await it.until(RunStatus.FAILED)

        assert failed.reason == "exit 1 at start: ModuleNotFoundError: No module named 'nothing_like_this'"
        assert failed.restarts == 3
        assert failed.last_lines


async def test_end_of_the_window_stops_it_without_control(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        pid = (await it.until(RunStatus.READY)).pids["app"]
        ends = to_text(SystemClock().now() + timedelta(seconds=0.2))
        await it.runs.converge((it.wanted(ends=ends),))
        ended = await it.until(RunStatus.SUCCEEDED)

        assert ended.reason == "the window closed"
        assert ended.pids == {}
        assert proc.start_time(pid) is None
        assert it.control.state["stopped"][0] == b"true"
        assert list(it.home.children.glob("*.json")) == []


async def test_a_run_that_was_never_ready_has_failed_when_its_window_closes(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(
            "import asyncio\nimport fairlead\napp = fairlead.App()\n@app.start\nasync def begin():\n    await asyncio.sleep(600)\n"
        )
        await it.runs.converge((it.wanted(),))
        await wait_for(lambda: it.report().pids, it.said)
        ends = to_text(SystemClock().now())
        await it.runs.converge((it.wanted(ends=ends),))
        assert (await it.until(RunStatus.FAILED)).reason == "the window closed before it was ready"


async def test_finished_run_is_not_started_by_the_next_keeper(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(ends="2026-01-02T00:00:00Z"),))
        ended = await it.until(RunStatus.FAILED)
        await it.runs.let_go()
        it.runs = it.keeper()
        it.runs.adopt()
        await it.runs.converge((it.wanted(ends="2026-01-02T00:00:00Z"),))

        assert ended.reason.startswith("the window closed before it could start")
        assert it.report() == ended


async def test_unwanted_run_is_stopped_and_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        pid = (await it.until(RunStatus.READY)).pids["app"]
        await it.runs.converge(())
        await wait_for(lambda: not it.runs.reports(), it.said)

        assert proc.start_time(pid) is None
        assert not (it.home.run / "run-1").exists()
        assert not (it.home.scratch / "run-1").exists()


async def test_run_that_was_removed_while_no_keeper_was_there_is_stopped_and_swept(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(APP)
        await it.runs.converge((it.wanted(),))
        pid = (await it.until(RunStatus.READY)).pids["app"]
        await it.runs.let_go()
        ended = it.home.keeper / "runs" / "run-2.json"
        ended.write_bytes(b"{}")
        (it.home.scratch / "run-2").mkdir()
        it.runs = it.keeper()
        it.runs.adopt()
        await it.runs.converge(())
        await wait_for(lambda: not it.runs.reports(), it.said)

        assert proc.start_time(pid) is None
        assert list(it.home.scratch.iterdir()) == []
        assert list((it.home.keeper / "runs").iterdir()) == []


PROGRAM = """#!/bin/sh
echo "started $FAIRLEAD_RUN in $PWD"
touch "$TMPDIR/mine" || exit 3
touch "$PWD/not-mine" 2>/dev/null && exit 4
exec sleep 600
"""


async def test_program_of_any_language_gets_a_folder_and_the_channel(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(PROGRAM, "watch.sh")
        await it.runs.converge((it.wanted(entry=None, processes={"watch": ("./watch.sh",)}),))
        await it.until(RunStatus.READY)

        assert f"started run-1 in {it.bundle}" in (it.home.logs / "run-1.log").read_text()
        assert (it.home.scratch / "run-1" / "mine").exists()


WEB_APP = """
import fairlead

async def site(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    status = 200 if scope["path"] == "/up" else 404
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": app.run.place.encode()})

app = fairlead.App(web=site)
"""


async def test_run_with_a_page_is_ready_when_the_page_answers(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(WEB_APP)
        await it.runs.converge((it.wanted(web="/up"),))
        ready = await it.until(RunStatus.READY)

        assert ready.page
        assert it.runs.pages() == {"run-1": str(it.home.run / "run-1" / "page" / "p.sock")}
        await it.runs.converge((it.wanted(web="/up", stop="stopped by ada"),))
        assert (await it.until(RunStatus.SUCCEEDED)).reason == "stopped by ada"
        assert it.runs.pages() == {}


async def test_new_attempt_begins_with_a_clean_slate(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write("import fairlead\napp = 1\n")
        await it.runs.converge((it.wanted(),))
        await it.until(RunStatus.FAILED)
        it.write(APP)
        await it.runs.converge((it.wanted(attempt=1),))
        await wait_for(lambda: it.report().status is RunStatus.READY, it.said)

        assert it.report().attempt == 1


async def test_a_run_gets_its_secrets(tmp_path: Path) -> None:
    """S-70: opened in the process alone: neither in its arguments nor in its record."""
    async with house(tmp_path) as it:
        it.write("import os, sys\nprint('key', os.environ['KEY'] == 'hunter22')\nsys.exit(78)\n")
        sealed = {"KEY": SEALER.seal("hunter22", secret_name("cool", "KEY"))}
        await it.runs.converge((it.wanted(secrets=sealed),))
        await it.until(RunStatus.FAILED)

        assert "key True" in (it.home.logs / "run-1.log").read_text()
        assert not any("hunter22" in file.read_text() for file in it.home.children.glob("*.json"))


async def test_a_run_whose_secret_is_missing_names_it(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write("import fairlead\napp = fairlead.App()\n")
        await it.runs.converge((it.wanted(secrets={"KEY": b""}),))

        assert "needs the secret KEY" in (await it.until(RunStatus.FAILED)).reason


GREEDY = """
import os, pathlib, fairlead
app = fairlead.App()

@app.start
async def begin():
    mark = await app.state.get("starts", 0)
    await app.state.set("starts", mark + 1)
    if mark:
        return
    if os.fork() == 0:  # outlives whoever only ends the app
        os.setsid()
        import time
        time.sleep(600)
    for number in range(40):
        pathlib.Path(os.environ["TMPDIR"], f"file-{number}").write_bytes(os.urandom(1024 * 1024))
"""


async def test_s62_a_run_that_fills_the_disk_is_ended_says_why_and_gives_the_room_back(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(GREEDY)
        scratch = it.home.scratch / "run-1"

        def shut_out(name: str, error: ErrorInfo) -> AbstractAsyncContextManager[None]:
            found = it.runs.shut_out(name, f"{error.code}: {error.message}")
            assert found is not None
            return found

        bound = DiskBound(it.home, 20, SystemClock(), shut_out)
        await it.runs.converge((it.wanted(),))
        await wait_for(lambda: len(list(scratch.glob("file-*"))) == 40, it.said)
        assert await bound.once() == ("run-1",)
        await wait_for(lambda: it.report().restarts == 1, it.said)
        assert not list(scratch.glob("file-*"))
        await it.until(RunStatus.READY)
        assert "disk_quota: its files took" in (it.home.logs / "run-1.log").read_text()
        assert await bound.once() == ()
        if (uid := scratch.stat().st_uid) != os.getuid():
            assert len(strays.find("", uids=(uid,))) == 1, "what it forked is gone"
        assert it.runs.shut_out("run-2", "") is None


HEAVY = """
import os, time, fairlead
app = fairlead.App()

@app.start
async def begin():
    mark = await app.state.get("starts", 0)
    await app.state.set("starts", mark + 1)
    if mark == 0 and os.fork() == 0:  # what it holds counts, wherever it holds it
        os.setsid()
        kept = b"x" * 300 * 1024 * 1024
        print("held", flush=True)
        time.sleep(600)
"""


async def test_s62_a_run_that_holds_too_much_memory_is_ended_says_why_and_begins_again(tmp_path: Path) -> None:
    async with house(tmp_path) as it:
        it.write(HEAVY)
        log = it.home.logs / "run-1.log"

        async def end(one: Over, error: ErrorInfo) -> None:
            found = it.runs.shut_out(one.name, f"{error.code}: {error.message}")
            assert found is not None
            async with found:
                pass

        bound = MemoryBound(it.runs.bounded, SystemClock(), end)
        await it.runs.converge((it.wanted(memory_mb=200),))
        await wait_for(lambda: log.exists() and "held" in log.read_text(), it.said)
        assert [one.name for one in await bound.once()] == ["run-1"]
        await wait_for(lambda: it.report().restarts == 1, it.said)
        await it.until(RunStatus.READY)
        assert "oom: its processes held" in log.read_text()
        assert await bound.once() == ()
