"""``fairlead serve`` of apps: simulated devices, models that answer, a page, and nothing of a platform."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import aiohttp
import httpx
import pytest
from tests.process.test_serve import DEADLINE_S, Begin, begin

__all__ = ["begin"]
pytestmark = pytest.mark.timeout(180)
MANIFEST = """
kind = "app"
name = "smart"
[run]
entry = "app:app"
web = "/healthz"
[models]
comfort = "comfort@production"
[devices]
thermometer = { type = "temperature" }
fan = { type = "fan" }
[params]
comfort_c = { type = "number", default = 20 }
"""
APP = """
import fairlead

async def site(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": "echo " + message["text"]})
    elif scope["type"] == "http":
        starts = await app.state.get("starts")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"one {app.run.place} {starts}".encode()})

app = fairlead.App(web=site)
thermometer, fan, comfort = app.device("thermometer"), app.device("fan"), app.model("comfort")

@app.start
async def begin():
    await app.state.set("starts", await app.state.get("starts", 0) + 1)

@app.on(thermometer.temperature)
async def look(reading):
    try:
        verdict = await comfort.predict(temperature=reading.value)
    except fairlead.Error as error:
        app.log.error("no verdict: %s", error.code)
        return
    app.log.info("above %s: %s", app.params.comfort_c, verdict["hot"])
    await fan.send(on=verdict["hot"], hold_s=0.2)
    job = await comfort.submit(temperature=1)
    app.log.info("job %s", await job.result())
    await app.mail("It is hot", "so", to="ada@example.org")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "smart"
    made.mkdir()
    (made / "fairlead.toml").write_text(MANIFEST)
    (made / "app.py").write_text(APP)
    (tmp_path / "comfort.json").write_text('{"hot": true}')
    return made


@pytest.fixture(autouse=True)
def nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FAIRLEAD_URL", "FAIRLEAD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FAIRLEAD_CONFIG", str(tmp_path / "config"))


def text(url: str, wanted: str) -> None:
    """Return once the page says ``wanted``."""
    end, said = time.monotonic() + DEADLINE_S, ""
    while time.monotonic() < end:
        try:
            said = httpx.get(url, timeout=DEADLINE_S).text
        except httpx.TransportError as error:
            said = str(error)
        if said == wanted:
            return
        time.sleep(0.05)
    raise AssertionError(said)


def test_an_app_lives_among_simulated_devices_and_is_started_again_on_change(folder: Path, begin: Begin) -> None:
    stand_in = f"comfort={folder.parent / 'comfort.json'}"
    served = begin("--here", "--model", stand_in, "--set", "comfort_c=22", "--every", "0.3", "--at", "lab", str(folder))
    url = served.says(r"^ready (http://127\.0\.0\.1:\d+/)$")[1]

    served.says(r"device fan: fan-1 \(fan, simulated\)")
    served.says(r"^\| above 22: True$")
    served.says(r'^fan-1: on = true \(reading thermometer-1\.temperature [\d.]+ .*comfort@stand-in: {"hot": true}\)')
    served.says(r"^fan-1: on = false \(.*its safe value\)")
    served.says(r"^\| job {'hot': True}$")
    served.says(r"^mail to ada@example\.org: It is hot$")
    text(url, "one lab 1")
    assert asyncio.run(echoed(url)) == "echo ping"

    (folder.parent / "comfort.json").write_text('{"hot": false}')  # no file of the bundle
    served.says(r"^\| above 22: False$")

    mark = len(served.said)
    (folder / "app.py").write_text("def broken(:\n")
    served.says("the app goes on as it was", after=mark)
    text(url, "one lab 1")
    (folder / "app.py").write_text(APP.replace("one {", "two {"))
    text(url, "two lab 2")  # what it keeps is kept

    pids = descendants(served.process.pid)
    assert served.end() == 0
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def echoed(url: str) -> str:
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{url}live") as socket:
        await socket.send_str("ping")
        return str(await socket.receive_str(timeout=DEADLINE_S))


def descendants(pid: int) -> list[int]:
    found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [one for child in found for one in descendants(child)]


def test_an_app_ends_with_a_serve_that_was_killed(folder: Path, begin: Begin) -> None:
    served = begin("--here", str(folder))
    served.says("^ready ")
    pids = descendants(served.process.pid)
    served.process.kill()
    end = time.monotonic() + DEADLINE_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


SCRIPT = """
import time
from fairlead.compat import *

while True:
    warm = get_sensor_data(0)
    first, second = get_stream_image(1, 2)
    print("room", warm, first.pil().size, get_sensor_image(1).media_type, flush=True)
    print("said", get_prediction(0, {"temperature": warm}), get_prediction_using_image(1, first.read()), flush=True)
    print("done", send_controller_data(2, True, 2), flush=True)
    send_email_notification("ada@example.org", "Warm", "it is warm")
    time.sleep(0.2)
"""
SCRIPT_MANIFEST = """
kind = "app"
name = "older"
[processes]
main = ["python", "main.py"]
other = ["python", "-c", "import time; print('beside', flush=True); time.sleep(600)"]
[models]
comfort = "comfort"
faces = "faces"
[devices]
thermometer = { type = "temperature" }
eye = { type = "camera" }
fan = { type = "fan" }
"""


def test_a_script_of_blocking_functions_plays_in_one_of_two_processes(tmp_path: Path, begin: Begin) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    (folder / "fairlead.toml").write_text(SCRIPT_MANIFEST)
    (folder / "main.py").write_text(SCRIPT)
    for role in ("comfort", "faces"):
        (tmp_path / f"{role}.json").write_text(json.dumps(role))
    models = [word for role in ("comfort", "faces") for word in ("--model", f"{role}={tmp_path / f'{role}.json'}")]
    served = begin("--here", "--every", "0.2", *models, str(folder))

    served.says("^ready older$")
    served.says(r"^main \| room [\d.]+ \(\d+, \d+\) image/jpeg$")
    served.says(r"^main \| said comfort faces$")
    served.says(r"^fan-1: on = true, speed = 2")
    served.says(r"^main \| done True$")
    served.says(r"^mail to ada@example\.org: Warm$")
    served.says(r"^other \| beside$")
    assert served.end() == 0


class Platform(BaseHTTPRequestHandler):
    """Answers for a model as a front door does."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        right = self.path == "/v1/models/comfort@production/predict" and self.headers["authorization"] == "Bearer fl_x"
        said = json.dumps({"hot": right and body["temperature"] > -100}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def platform() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_models_are_those_of_the_platform_one_is_signed_in_to(
    folder: Path, begin: Begin, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_URL", platform)
    monkeypatch.setenv("FAIRLEAD_TOKEN", "fl_x")
    served = begin("--here", "--every", "0.3", str(folder))

    served.says(rf"model comfort: comfort@production \({platform}\)")
    served.says(r"^\| above 20: True$")


def test_a_model_for_which_nobody_answers_is_told_of_and_is_an_error_of_the_app(folder: Path, begin: Begin) -> None:
    served = begin("--here", "--every", "0.3", str(folder))

    served.says(r"warning: nobody answers for model comfort \(comfort@production\): --model comfort=FILE\.json, or")
    served.says(r"^\| error: no verdict: model_missing$")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "faces=x.json"), r"\[models\] has no role faces"),
        (("--count", "fan=2"), "fan: 2 devices, but count = 1"),
        (("--count", "lamp=1"), r"\[devices\] has no role lamp"),
        (("--set", "comfort=1"), "the app has no such parameter"),
        (("--set", "comfort_c=warm"), "'warm' is not of type 'number'"),
        (("--type", "nowhere.toml"), "nowhere.toml"),
    ],
    ids=["model", "count", "role", "param", "value", "type"],
)
def test_what_does_not_fit_the_manifest_is_refused_before_anything_starts(
    words: tuple[str, ...], said: str, folder: Path, begin: Begin
) -> None:
    served = begin("--here", *words, str(folder))
    assert served.process.wait(DEADLINE_S) == 5
    served.says(said)


def test_a_type_that_is_not_built_in_comes_from_a_file(folder: Path, begin: Begin) -> None:
    (folder / "fairlead.toml").write_text(MANIFEST.replace('"fan"', '"turbine@2"'))
    served = begin("--here", str(folder))
    assert served.process.wait(DEADLINE_S) == 3
    served.says("fan: no type turbine@2 here")
    file = folder.parent / "turbine.toml"
    file.write_text(
        'name = "turbine"\nversion = "2.0.0"\n[properties.on]\ntype = "boolean"\naccess = "rw"\nsafe = false\n'
    )
    begin("--here", "--type", str(file), str(folder)).says("^ready ")


@pytest.mark.parametrize(
    ("code", "said", "hint"),
    [
        ("raise RuntimeError('no disk')", r"\| error: the app ended: RuntimeError: no disk", "save a change to try"),
        ("import os; os._exit(78)", "the app ended: app: exit code 78", "save a change to try again"),
        ("import os; os.kill(os.getpid(), 9)", "the app ended: app: signal 9", "save a change to try again"),
        ("app = 5", "is a int, not a fairlead.App", "save a change to try again"),
    ],
    ids=["raises", "config", "killed", "no_app"],
)
def test_an_app_that_does_not_start_says_so_and_starts_once_it_is_mended(
    code: str, said: str, hint: str, folder: Path, begin: Begin
) -> None:
    (folder / "app.py").write_text(f"app = None\n{code}\n")
    served = begin("--here", str(folder))
    served.says(said)
    served.says(hint)
    (folder / "app.py").write_text(APP)
    served.says("^ready ")


def test_an_app_whose_port_never_opens_is_ended_with_what_it_started(folder: Path, begin: Begin) -> None:
    forks = "import os, time\nos.fork()\nos.write(1, b'pid %d\\n' % os.getpid())\ntime.sleep(600)\n"
    manifest = (
        'kind = "app"\nname = "deaf"\n[run]\nweb = "/"\nstart_timeout_s = 8\n[processes]\nweb = ["python", "web.py"]\n'
    )
    (folder / "fairlead.toml").write_text(manifest)
    (folder / "web.py").write_text(forks)
    served = begin("--here", str(folder))
    served.says(r"^pid \d+$")
    served.says(r"not ready after 8 s")
    served.says(r"its page does not answer 200 at /; start_timeout_s below \[run\] gives it longer")
    pids = [int(line.split()[-1]) for line in served.said if "pid" in line.split()]
    assert len(pids) == 2
    assert not [pid for pid in pids if _lives(pid)]
    assert served.end() == 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_an_app_that_ends_later_is_started_again(folder: Path, begin: Begin) -> None:
    crash = '    if scope.get("path") == "/crash":\n        __import__("os")._exit(3)\n'
    (folder / "app.py").write_text(
        APP.replace('    if scope["type"] == "websocket":\n', f'{crash}    if scope["type"] == "websocket":\n')
    )
    served = begin("--here", str(folder))
    url = served.says(r"^ready (\S+)")[1]
    mark = len(served.said)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}crash", timeout=DEADLINE_S)
    served.says(r"the app ended: app: exit code 3")
    served.says(r"it is started again in \d")
    served.says("^ready ", after=mark)
