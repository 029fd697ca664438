"""Apps that do not work, each in its own way, and what is said of it."""

from __future__ import annotations

from pathlib import Path

from tests.thread import kit
from tests.thread.load_deploy import is_served
from tests.thread.rig import Platform, until

from fairlead.bundles.pack import pack

_APP = "import fairlead\n\napp = fairlead.App()\n"
_START = f"{_APP}\n\n@app.start\nasync def begin() -> None:\n"
_WARM = """
import http.server, os


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(503, "still warming up")


http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""
_FORK = """    import os, time

    for _ in range(100_000):
        if os.fork() == 0:
            time.sleep(600)
"""
_FILL = """    import os
    from pathlib import Path

    for number in range(64):
        Path(os.environ["TMPDIR"], str(number)).write_bytes(bytes(1024**2))
"""
_PAGE = ('web = "/up"', '[processes]\nweb = ["python", "app.py"]\n')
_ENTRY = ('entry = "app:app"', "")
_LATE = "not ready after 6 s: "
APPS: dict[str, tuple[str, tuple[str, str], str, str]] = {
    "no-role": (_APP + "app.device('lamp')\n", _ENTRY, "failed", "asks for role lamp, which [devices] of its"),
    "no-model": (_APP, (_ENTRY[0], '[models]\njudge = "nobody"\n'), "planned", "waits: there is no model nobody"),
    "crashes": (f"{_START}    raise OSError('no licence')\n", _ENTRY, "failed", "exit 1 at start: OSError: no licence"),
    "hangs": (
        f"{_START}    import time\n\n    time.sleep(600)\n",
        _ENTRY,
        "failed",
        f"{_LATE}it never said that it is",
    ),
    "no-port": (
        "import time\n\ntime.sleep(600)\n",
        _PAGE,
        "failed",
        f"{_LATE}none of its programs listens on its PORT",
    ),
    "other-port": (
        "import socket\n\nsocket.create_server(('127.0.0.1', 0))\n",
        _PAGE,
        "failed",
        "(a page listens on its PORT at 127.0.0.1, and nowhere else)",
    ),
    "bad-page": (_WARM, _PAGE, "failed", f"{_LATE}GET /up answered 503, not 200"),
    "forks": (_START + _FORK, _ENTRY, "failed", "(a run has at most 512 processes and threads)"),
    "fills": (_START + _FILL, _ENTRY, "starting, ready", "disk_quota: its files took"),
}
"""Code, manifest, in which status it is found, and words of the reason."""
SCRATCH_MB = 20


def start(made: Platform, folder: Path, place: str) -> dict[str, str]:
    """Push them all and run them at a place; return the run of each."""
    for name, (code, (run, more), _, words) in APPS.items():
        seconds = 6 if _LATE in words or name == "other-port" else 60
        manifest = f'kind = "app"\nname = "{name}"\n[run]\n{run}\nstart_timeout_s = {seconds}\n{more}'
        pack(kit.write(folder / name, {"fairlead.toml": manifest, "app.py": code}), folder / f"{name}.zip")
    found = {}
    with made.client() as client:
        for name in APPS:
            sent = (folder / f"{name}.zip").read_bytes()
            pushed = client.post("/api/v1/bundles", content=sent, headers={"Content-Type": "application/zip"})
            assert pushed.status_code == 202, pushed.text
        for name in APPS:
            until(lambda name=name: is_served(made, f"/apps/{name}"), f"{name} is there", 120)
            made_of = client.post("/api/v1/schedules", json={"app": name, "at": place, "now": True})
            assert made_of.status_code == 201, made_of.text
            one = made_of.json()["id"]
            (run, *_) = until(lambda one=one: made.get("/runs", schedule=one)["items"], f"{name} has a run", 60)
            found[name] = str(run["id"])
    return found
