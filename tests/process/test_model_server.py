"""A real model server in a process of its own: over its two sockets, as front door and keeper see it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fairlead.messages import (
    Abandon,
    BatchSpec,
    Beat,
    Drain,
    ErrorInfo,
    Evidence,
    ExampleSpec,
    Fork,
    FromReplica,
    JobCancel,
    JobDone,
    JobHeld,
    JobProgress,
    JobStart,
    Message,
    ModelSpec,
    frame,
)
from fairlead.modelserver.server import EXIT_ABANDONED
from fairlead.sandbox.ground import base_of
from fairlead.sandbox.level import Level, isolation
from fairlead.sandbox.rules import VARIABLE, Ground, Rules, for_replica
from fairlead.status import ReplicaStatus

DEADLINE_S = 30.0
GATE = "the-gate"
MODEL = """
import asyncio, time
from typing import Annotated
import fairlead

class M(fairlead.Model):
    def predict(self, x: Annotated[float, fairlead.Field(ge=0)]) -> float:
        if x == 13: raise RuntimeError("unlucky")
        if x == 14: raise fairlead.InvalidInput("is fourteen", "x")
        if x == 15: raise SystemExit(3)
        return 2 * x
    def block(self, s: float) -> str:
        time.sleep(s)
        return "done"
    def hold(self, name: str = "go") -> str:
        while not (self.folder / name).exists():
            time.sleep(0.01)
        return "done"
    async def nap(self, name: str) -> str:
        return self.hold(name)  # blocks, which async code must not do
    def steps(self, n: int) -> str:
        for step in range(n):
            fairlead.progress(step + 1, n, note="working")
            time.sleep(0.02)
        return fairlead.request().user
    def picture(self, image: fairlead.Image, note: str = "") -> fairlead.File:
        return fairlead.File(image.read() + note.encode(), media_type="image/png")
"""
SERVE = (
    "import os, sys, msgspec\n"
    "from fairlead.messages import Fork\n"
    "from fairlead.modelserver.server import serve\n"
    "os._exit(serve(msgspec.json.decode(sys.argv[1], type=Fork)))\n"
)


class Keeper:
    """The keeper's end of a replica's channel."""

    def __init__(self, path: str) -> None:
        self.heard: list[FromReplica] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        wait_for(lambda: self._socket.connect_ex(path) == 0)  # it is bound a moment before it listens
        self._buffer = b""

    def send(self, message: Message) -> None:
        self._socket.sendall(frame(message))

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """Return the first message heard that is ``wanted``."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            for index, message in enumerate(self.heard):
                if wanted(message):
                    del self.heard[: index + 1]
                    return message
            self.heard.clear()
            self._read(end - time.monotonic())
        raise AssertionError("the replica never said it")

    def _read(self, timeout_s: float) -> None:
        if select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            data = self._socket.recv(1 << 20)
            assert data, "the replica hung up"
            self._buffer += data
        while len(self._buffer) >= 4:
            (length,) = struct.unpack(">I", self._buffer[:4])
            if len(self._buffer) < 4 + length:
                return
            self.heard.append(msgspec.msgpack.decode(self._buffer[4 : 4 + length], type=FromReplica))
            self._buffer = self._buffer[4 + length :]

    def status(self, status: ReplicaStatus) -> Beat:
        found: Beat = self.until(lambda message: isinstance(message, Beat) and message.status is status)
        return found

    def done(self, job: str) -> JobDone:
        found: JobDone = self.until(lambda message: isinstance(message, JobDone) and message.job == job)
        return found

    def close(self) -> None:
        self._socket.close()


class Replica:
    """A served bundle in a short folder, since paths of sockets are short."""

    def __init__(
        self, code: str, spec: ModelSpec, *, fenced: bool = False, logged: bool = False, body_max_bytes: int = 1 << 20
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fl-"))
        (self.folder / "served_model.py").write_text(textwrap.dedent(code))
        self.fork = Fork(
            "r1",
            spec,
            GATE,
            str(self.folder),
            str(self.folder),
            str(self.folder / "s"),
            str(self.folder / "k"),
            body_max_bytes=body_max_bytes,
        )
        argument = msgspec.json.encode(self.fork).decode()
        command = [sys.executable, "-P", "-c", SERVE, argument]
        environment = dict(os.environ)
        if fenced:
            environment[VARIABLE] = msgspec.json.encode(self._fence(command)).decode()
            command = [sys.executable, "-P", "-m", "fairlead.sandbox.run"]
        log = (self.folder / "log").open("ab") if logged else None
        self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        if log is not None:
            log.close()
        self.keeper = Keeper(self.fork.keep)
        transport = httpx.HTTPTransport(uds=self.fork.serve)
        headers = {"x-fairlead-gate": GATE, "x-fairlead-user": "ada"}
        self.http = httpx.Client(transport=transport, base_url="http://r", headers=headers, timeout=DEADLINE_S)

    def _fence(self, command: list[str]) -> Rules:
        """Return the rules that a replica has: a user of its own, no network, nothing to write but its folder."""
        uid = 64999 if os.getuid() == 0 else None
        if uid is not None:
            os.chown(self.folder, uid, uid)
        folder = str(self.folder)
        ground = Ground(
            environment=sys.prefix, base=base_of(Path(sys.prefix)), bundle=folder, scratch=folder, memory_mb=2048
        )
        return for_replica(ground, command, isolation(), uid=uid, sockets=folder, logs=folder)

    def call(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.http.post(f"/v1/models/m/{path}", json=body, **options)

    def end(self) -> None:
        self.http.close()
        self.keeper.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        shutil.rmtree(self.folder)


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def spec_of(**changes: Any) -> ModelSpec:
    return ModelSpec(**({"name": "m", "version": "7", "runtime": "python", "entry": "served_model:M"} | changes))


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    """One replica for the tests that leave it as it is."""
    made = Replica(MODEL, spec_of(examples=(ExampleSpec("two", {"x": 2}, 4),), concurrency=2, timeout_s=20))
    made.keeper.status(ReplicaStatus.READY)
    yield made
    made.end()


@pytest.fixture
def start() -> Iterator[Callable[..., Replica]]:
    made: list[Replica] = []

    def begin(code: str = MODEL, **changes: Any) -> Replica:
        made.append(Replica(code, spec_of(**changes)))
        return made[-1]

    yield begin
    for one in made:
        one.end()


@pytest.fixture
def logged() -> Iterator[Callable[..., Replica]]:
    """Replicas whose log is a file."""
    made: list[Replica] = []

    def begin(code: str, **changes: Any) -> Replica:
        made.append(Replica(code, spec_of(**changes), logged=True))
        return made[-1]

    yield begin
    for one in made:
        one.end()


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert {"code", "message", "id"} <= error.keys()
    return error


def test_predict_answers_with_version_id_and_timing(replica: Replica) -> None:
    response = replica.call("predict", {"x": 3}, headers={"x-request-id": "req-7"})
    assert (response.status_code, response.json()) == (200, 6)
    assert response.headers["x-fairlead-version"] == "7"
    assert response.headers["x-request-id"] == "req-7"
    assert "compute;dur=" in response.headers["server-timing"]
    assert replica.call("predict", {"x": 3}).headers["x-request-id"].startswith("req-")


def test_rows_instances_queries_and_references(replica: Replica) -> None:
    assert replica.call("predict", [{"x": 1}, {"x": 2}]).json() == [2, 4]
    assert replica.call("predict", []).json() == []
    assert replica.http.post("/v1/models/m:predict", json={"instances": [1, 2]}).json() == {"predictions": [2, 4]}
    assert replica.http.post("/v1/models/m:predict", json={"instances": [{"x": 1}]}).json() == {"predictions": [2]}
    assert replica.http.get("/v1/models/m@production/predict?x=4").json() == 8
    assert replica.http.post("/v1/models/m@7/predict", data={"x": "5"}).json() == 10


def test_files_as_the_body_in_a_form_and_in_json(replica: Replica) -> None:
    png = b"\x89PNG\r\n\x1a\n\r\n--x"
    raw = replica.http.post("/v1/models/m/picture?note=hi", content=png, headers={"content-type": "image/png"})
    assert (raw.content, raw.headers["content-type"]) == (png + b"hi", "image/png")
    form = replica.http.post("/v1/models/m/picture", files={"image": ("a.png", png, "image/png")}, data={"note": "!"})
    assert form.content == png + b"!"
    assert replica.call("picture", {"image": "iVBORw=="}).content == b"\x89PNG"
    told = replica.call("picture", {"image": "iVBORw=="}, headers={"accept": "application/json"})
    assert (told.json()[:11], told.headers["content-type"]) == ("data:image/", "application/json")


def test_wrong_input_names_every_field_and_bad_json_is_400(replica: Replica) -> None:
    refused = replica.call("predict", {"x": -1, "y": 2})
    assert refused.status_code == 422
    assert {problem["path"] for problem in error_of(refused)["problems"]} == {"x", "y"}
    assert replica.http.post("/v1/models/m/predict", content=b"{").status_code == 400
    many = replica.call("predict", [{"x": 1}, {"x": 14}])
    assert many.status_code == 422
    assert error_of(many)["problems"][0]["path"] == "[1].x"


def test_what_the_model_raises_fails_that_call_alone(replica: Replica) -> None:
    failed = replica.call("predict", {"x": 13})
    assert (failed.status_code, error_of(failed)["code"]) == (500, "model_failed")
    assert "unlucky" in error_of(failed)["message"]
    assert replica.call("predict", {"x": 14}).status_code == 422
    assert replica.call("predict", {"x": 15}).status_code == 500
    assert replica.call("predict", {"x": 1}).json() == 2


def test_nobody_gets_in_beside_the_front_door(replica: Replica) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=replica.fork.serve), base_url="http://r") as outside:
        for headers in ({}, {"x-fairlead-gate": ""}, {"x-fairlead-gate": "the-gatf"}, {"x-fairlead-gate": "ü"}):
            encoded = [(key, value.encode("latin-1")) for key, value in headers.items()]
            response = outside.post("/v1/models/m/predict", json={"x": 1}, headers=encoded)
            assert (response.status_code, error_of(response)["code"]) == (403, "gate_required")
        assert outside.get("/v1/models/m/docs").status_code == 403
        assert outside.get("/healthz").json() == {"live": True, "ready": True, "status": "ready"}


def test_unknown_paths_methods_and_types_are_told_what_there_is(replica: Replica) -> None:
    assert error_of(replica.call("predikt", {}))["code"] == "endpoint_unknown"
    assert replica.http.post("/v1/models/other/predict", json={}).status_code == 404
    assert replica.http.delete("/v1/models/m/predict").status_code == 405
    strange = replica.http.post("/v1/models/m/predict", content=b"<x/>", headers={"content-type": "text/xml"})
    assert strange.status_code == 415


def test_docs_and_openapi_tell_the_signature(replica: Replica) -> None:
    openapi = replica.http.get("/v1/models/m/openapi.json").json()
    assert openapi["info"] == {"title": "m", "version": "7"}
    assert {"/v1/models/m/predict", "/v1/models/m/block"} <= openapi["paths"].keys()
    page = replica.http.get("/v1/models/m@7/docs")
    assert "POST /v1/models/m/predict" in page.text


@pytest.mark.parametrize("endpoint", ["hold", "nap"])
def test_health_and_beats_go_on_while_the_model_blocks(replica: Replica, endpoint: str) -> None:
    body = msgspec.json.encode({"name": f"go-{endpoint}"})
    replica.keeper.send(JobStart(f"job-{endpoint}", 1, endpoint, body, "application/json", "*/*", "ada", 60))
    stuck = replica.keeper.until(lambda message: isinstance(message, Beat) and message.stuck_s > 0.5)
    assert stuck.in_flight == 1
    assert replica.http.get("/healthz").json()["live"]
    (replica.folder / f"go-{endpoint}").touch()
    assert replica.keeper.done(f"job-{endpoint}").body == b'"done"'
    assert replica.keeper.until(lambda message: isinstance(message, Beat) and not message.in_flight).stuck_s == 0


def test_a_call_may_ask_for_less_time(replica: Replica) -> None:
    late = replica.call("block", {"s": 0.6}, headers={"prefer": "wait=0.1"})
    assert (late.status_code, error_of(late)["code"]) == (504, "timed_out")


def test_a_job_reports_progress_and_ends(replica: Replica) -> None:
    order = JobStart("job-1", 3, "steps", b'{"n": 5}', "application/json", "*/*", "grace", 20)
    replica.keeper.send(order)
    moved = replica.keeper.until(lambda message: isinstance(message, JobProgress))
    assert (moved.job, moved.epoch, moved.total, moved.note) == ("job-1", 3, 5, "working")
    done = replica.keeper.done("job-1")
    assert (done.epoch, done.body, done.error) == (3, b'"grace"', None)


def test_a_canceled_job_stops_where_it_tells_its_progress(replica: Replica) -> None:
    replica.keeper.send(JobStart("job-2", 1, "steps", b'{"n": 2000}', "application/json", "*/*", "", 60))
    replica.keeper.until(lambda message: isinstance(message, JobProgress))
    replica.keeper.send(JobCancel("job-2"))
    error = replica.keeper.done("job-2").error
    assert error is not None
    assert (error.code, error.retry) == ("canceled", False)


def test_a_wrong_job_is_not_tried_again_and_a_broken_one_is(replica: Replica) -> None:
    for job, body, retry in (("job-3", b'{"x": -1}', False), ("job-4", b'{"x": 13}', True)):
        replica.keeper.send(JobStart(job, 1, "predict", body, "application/json", "*/*", "", 20))
        error = replica.keeper.done(job).error
        assert error is not None
        assert error.retry is retry


def test_a_result_that_no_keeper_heard_is_kept_for_the_next(start: Callable[..., Replica]) -> None:
    replica = start()
    replica.keeper.status(ReplicaStatus.READY)
    replica.keeper.send(JobStart("job-5", 1, "hold", b"{}", "application/json", "*/*", "", 60))
    replica.keeper.until(lambda message: isinstance(message, Beat) and message.in_flight == 1)
    replica.keeper.close()
    (replica.folder / "go").touch()
    wait_for(lambda: replica.call("predict", {"x": 1}).status_code == 200)  # behind the job in the only thread
    replica.keeper = Keeper(replica.fork.keep)
    assert replica.keeper.done("job-5").body == b'"done"'


def test_a_new_keeper_is_told_what_is_in_hand(start: Callable[..., Replica]) -> None:
    replica = start()
    replica.keeper.status(ReplicaStatus.READY)
    replica.keeper.send(JobStart("job-5", 3, "hold", b"{}", "application/json", "*/*", "", 60))
    replica.keeper.until(lambda message: isinstance(message, Beat) and message.in_flight == 1)
    replica.keeper.close()
    replica.keeper = Keeper(replica.fork.keep)
    held = replica.keeper.until(lambda message: isinstance(message, JobHeld))
    assert (held.job, held.epoch) == ("job-5", 3)
    assert 0 < held.left_s <= 60
    (replica.folder / "go").touch()
    assert replica.keeper.done("job-5").epoch == 3


def test_drain_finishes_what_is_in_hand_and_exits_0(start: Callable[..., Replica]) -> None:
    replica = start()
    replica.keeper.status(ReplicaStatus.READY)
    replica.keeper.send(JobStart("job-6", 1, "hold", b"{}", "application/json", "*/*", "", 60))
    replica.keeper.until(lambda message: isinstance(message, Beat) and message.in_flight == 1)
    replica.keeper.send(Drain(grace_s=20))
    replica.keeper.status(ReplicaStatus.DRAINING)
    refused = replica.call("predict", {"x": 1})
    assert (refused.status_code, error_of(refused)["code"]) == (503, "draining")
    (replica.folder / "go").touch()
    assert replica.keeper.done("job-6").body == b'"done"'
    assert replica.process.wait(DEADLINE_S) == 0


def test_sigterm_drains_too(start: Callable[..., Replica]) -> None:
    replica = start()
    replica.keeper.status(ReplicaStatus.READY)
    replica.process.send_signal(signal.SIGTERM)
    assert replica.process.wait(DEADLINE_S) == 0


def test_drain_gives_up_after_its_grace(start: Callable[..., Replica]) -> None:
    replica = start()
    replica.keeper.status(ReplicaStatus.READY)
    replica.keeper.send(JobStart("job-7", 1, "block", b'{"s": 600}', "application/json", "*/*", "", 600))
    replica.keeper.until(lambda message: isinstance(message, Beat) and message.in_flight == 1)
    replica.keeper.send(Drain(grace_s=0.2))
    assert replica.process.wait(DEADLINE_S) == 0


def test_a_replica_that_is_ended_answers_its_callers_why_and_leaves_jobs_to_others(
    start: Callable[..., Replica],
) -> None:
    replica = start(concurrency=2)
    replica.keeper.status(ReplicaStatus.READY)
    replica.keeper.send(JobStart("job-8", 1, "block", b'{"s": 600}', "application/json", "*/*", "", 600))
    with ThreadPoolExecutor() as pool:
        call = pool.submit(replica.call, "block", {"s": 600})
        replica.keeper.until(lambda message: isinstance(message, Beat) and message.in_flight == 2)
        replica.keeper.send(Abandon(ErrorInfo("oom", "it held too much", hint="less")))
        answer = call.result(DEADLINE_S)
    assert (answer.status_code, error_of(answer)["code"], error_of(answer)["hint"]) == (500, "oom", "less")
    assert replica.process.wait(DEADLINE_S) == EXIT_ABANDONED
    assert not [one for one in replica.keeper.heard if isinstance(one, JobDone)]


@pytest.mark.parametrize(
    ("code", "changes", "error_code", "said"),
    [
        ("import no_such_thing", {}, "load_failed", "no_such_thing"),
        ("class M:\n    def load(self): raise SystemExit('bye')", {}, "load_failed", "bye"),
        ("class N: ...", {}, "entry_invalid", "has no M"),
        ("class M: ...", {}, "entry_invalid", "neither predict"),
        (MODEL, {"examples": (ExampleSpec("wrong", {"x": 2}, 5),)}, "example_differs", "4.0 instead of 5"),
        (MODEL, {"examples": (ExampleSpec("broken", {"x": -2}),)}, "example_failed", "below 0"),
    ],
)
def test_a_model_that_does_not_start_says_why_and_exits_1(
    start: Callable[..., Replica], code: str, changes: dict[str, Any], error_code: str, said: str
) -> None:
    replica = start(code, **changes)
    evidence: list[Evidence] = []

    def is_over(message: Any) -> bool:
        evidence.extend([message.evidence] if isinstance(message, Beat) and message.evidence else [])
        return isinstance(message, Beat) and message.status is ReplicaStatus.CRASHED

    error = replica.keeper.until(is_over).error
    assert error is not None
    assert error.code == error_code
    assert said in error.message
    if "examples" in changes:
        (tried,) = evidence[0].examples
        assert (tried.ok, tried.checked) == (False, error_code == "example_differs")
        assert said in tried.said
    assert replica.process.wait(DEADLINE_S) == 1


def test_how_the_examples_went_is_told_once_to_each_keeper_that_dials(replica: Replica) -> None:
    keeper = Keeper(replica.fork.keep)
    try:
        told = keeper.until(lambda message: isinstance(message, Beat) and message.evidence is not None).evidence
        assert [(one.title, one.ok, one.checked) for one in told.examples] == [("two", True, True)]
        assert keeper.until(lambda message: isinstance(message, Beat)).evidence is None
    finally:
        keeper.close()


def test_a_model_that_hangs_while_it_loads_is_still_seen(start: Callable[..., Replica]) -> None:
    replica = start("import time\ntime.sleep(600)")
    assert replica.keeper.status(ReplicaStatus.STARTING).reason == "loading"
    replica.keeper.status(ReplicaStatus.STARTING)
    wait_for(lambda: Path(replica.fork.serve).exists())
    assert replica.http.get("/healthz").json() == {"live": True, "ready": False, "status": "starting"}
    loading = replica.call("predict", {"x": 1})
    assert (loading.status_code, error_of(loading)["code"]) == (503, "starting")
    replica.process.kill()
    assert replica.process.wait(DEADLINE_S) == -signal.SIGKILL


def test_a_full_queue_is_429_with_retry_after(start: Callable[..., Replica]) -> None:
    replica = start(queue_max=1, batch=BatchSpec(max_size=1))
    replica.keeper.status(ReplicaStatus.READY)
    replica.keeper.send(JobStart("job-q", 1, "hold", b"{}", "application/json", "*/*", "", 60))
    replica.keeper.until(lambda message: isinstance(message, Beat) and message.in_flight)
    with ThreadPoolExecutor() as callers:
        waiting = callers.submit(replica.call, "hold", {})
        replica.keeper.status(ReplicaStatus.BUSY)
        full = replica.call("hold", {})
        assert (full.status_code, error_of(full)["code"]) == (429, "queue_full")
        assert int(full.headers["retry-after"]) >= 1
        (replica.folder / "go").touch()
        assert waiting.result(DEADLINE_S).status_code == 200
    replica.keeper.done("job-q")
    replica.keeper.status(ReplicaStatus.READY)


def test_of_callers_who_cannot_wait_so_long_some_are_refused_at_once_and_the_others_answered(
    start: Callable[..., Replica],
) -> None:
    replica = start()
    replica.keeper.status(ReplicaStatus.READY)
    for _ in range(3):
        assert replica.call("block", {"s": 0.5}).status_code == 200

    def called(number: int) -> tuple[httpx.Response, float]:
        began = time.monotonic()
        return replica.call("block", {"s": 0.5}, headers={"prefer": "wait=3"}), time.monotonic() - began

    with ThreadPoolExecutor(20) as callers:
        found = list(callers.map(called, range(20)))
    refused = [(answer, took_s) for answer, took_s in found if answer.status_code == 429]
    assert refused
    for answer, _ in refused:
        assert error_of(answer)["code"] == "overloaded"
        assert 1 <= int(answer.headers["retry-after"]) <= 25
    assert min(took_s for _, took_s in refused) < 2
    assert sum(answer.status_code == 200 for answer, _ in found) >= 2


@pytest.mark.skipif(isolation().level.rank < Level.LANDLOCK.rank, reason="this kernel has no Landlock")
def test_it_serves_inside_the_sandbox_where_nothing_can_be_connected() -> None:
    code = """
        import socket, fairlead
        def predict(path: str) -> str:
            with socket.socket(socket.AF_UNIX) as unix:
                try:
                    unix.connect(path)
                except OSError as error:
                    return type(error).__name__
            return "connected"
        """
    replica = Replica(code, spec_of(entry="served_model:predict"), fenced=True)
    try:
        replica.keeper.status(ReplicaStatus.READY)
        assert replica.call("predict", {"path": replica.fork.keep}).json() == "PermissionError"
        replica.keeper.send(JobStart("job-f", 1, "predict", b'{"path": "x"}', "application/json", "*/*", "", 20))
        assert replica.keeper.done("job-f").body == b'"PermissionError"'
        replica.keeper.send(Drain(5))
        assert replica.process.wait(DEADLINE_S) == 0
    finally:
        replica.end()


def test_the_user_of_another_uid_is_hung_up_on(replica: Replica) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    os.chmod(replica.folder, 0o755)
    os.chmod(replica.fork.keep, 0o777)
    code = (
        "import os, socket, sys\n"
        "os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])\n"
        "sys.exit(0 if s.recv(1) == b'' else 1)\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, replica.fork.keep], timeout=DEADLINE_S, check=False).returncode == 0
    )


def log_of(replica: Replica) -> list[dict[str, Any]]:
    """Return what the replica wrote to its log: every line is an object."""
    text = (replica.folder / "log").read_bytes()
    return [msgspec.json.decode(line) for line in text.splitlines()]


def test_what_a_model_says_and_raises_is_in_its_log_with_time_and_request(logged: Callable[..., Replica]) -> None:
    replica = logged(
        """
        import json, fairlead
        class M(fairlead.Model):
            def predict(self, name: str) -> str:
                print("hi", name)
                if name == "boom":
                    self.inner()
                return name
            def inner(self):
                return json.loads("{")
        """
    )
    replica.keeper.status(ReplicaStatus.READY)
    failed = replica.call("predict", {"name": "boom"}, headers={"x-request-id": "req-77"})
    assert failed.status_code == 500
    assert error_of(failed)["hint"] == "its traceback: fairlead logs m@7 --grep req-77"
    replica.keeper.send(JobStart("job-9", 1, "predict", b'{"name": "boom"}', "application/json", "*/*", "", 20))
    replica.keeper.done("job-9")
    lines = log_of(replica)
    assert [line["said"] for line in lines if line["said"].startswith("hi")] == ["hi boom", "hi boom"]
    assert all(line["at"] for line in lines)
    errors = [line for line in lines if line.get("level") == "error"]
    assert [line["id"] for line in errors] == ["req-77", "job-9"]
    trace = errors[0]["traceback"].splitlines()
    assert trace[1].startswith('  File "served_model.py", line 7, in predict')
    assert any("/json/" in line for line in trace)
    assert trace[-1].startswith("json.decoder.JSONDecodeError: ")


def test_a_model_that_fails_all_the_time_does_not_fill_the_disk(logged: Callable[..., Replica]) -> None:
    replica = logged("def predict(x: int) -> int:\n    raise ValueError(x)", entry="served_model:predict")
    replica.keeper.status(ReplicaStatus.READY)
    for number in range(200):
        replica.call("predict", {"x": number})
    wait_for(lambda: any("left_out" in line for line in log_of(replica)))
    failures = [line for line in log_of(replica) if "traceback" in line]
    left_out = sum(line.get("left_out", 0) for line in log_of(replica))
    assert len(failures) < 100
    assert len(failures) + left_out <= 200


def test_a_model_that_does_not_load_says_where_in_its_own_files(logged: Callable[..., Replica]) -> None:
    replica = logged(
        """
        import fairlead
        class M(fairlead.Model):
            def load(self):
                (self.folder / "names.txt").read_text()
            def predict(self, x: int) -> int: ...
        """
    )
    beat = replica.keeper.until(lambda message: isinstance(message, Beat) and message.error is not None)
    text = "\n".join(beat.last_lines)
    assert 'File "served_model.py", line 5, in load' in text
    assert str(replica.folder) not in text + beat.error.message
    assert beat.last_lines[-1].startswith("FileNotFoundError: ")
    wait_for(lambda: any("traceback" in line for line in log_of(replica)))
