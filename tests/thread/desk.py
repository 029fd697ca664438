"""Where a person works who follows the guide: a folder, a shell, a token; and a browser."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tests.thread.rig import LATE_S, Platform

HTML = "text/html,application/xhtml+xml;q=0.9"


class Desk:
    """A folder, a shell and a token."""

    def __init__(self, house: Platform, folder: Path) -> None:
        self.house, self.folder = house, folder

    def bash(self, script: str, stdin: str = "") -> str:
        return self._run(["bash", "-euo", "pipefail", "-c", self._here(script)], stdin)

    def python(self, script: str) -> str:
        return self._run([sys.executable, "-c", self._here(script)])

    @property
    def env(self) -> dict[str, str]:
        """Variables of the shell; programs of mosquitto use the platform's port, as they do the usual one."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for program in ("mosquitto_pub", "mosquitto_sub"):
            file = self.house.config / program
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"-p {self.house.mqtt}\n")
        own = {"PATH": path, "FAIRLEAD_URL": self.house.url, "FAIRLEAD_TOKEN": self.house.token}
        return self.house.env | own | {"XDG_CONFIG_HOME": str(self.house.config)}

    def _here(self, script: str) -> str:
        return script.replace("127.0.0.1:8080", f"127.0.0.1:{self.house.port}")

    def _run(self, command: list[str], stdin: str = "") -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, (command[-1], done.stdout, done.stderr, self.house.logs())
        return done.stdout


class Browser:
    """What a browser does at the front door: it keeps the cookies of each host, and follows where it is led."""

    def __init__(self, house: Platform) -> None:
        self._house = house
        self._cookies: dict[str, str] = {}
        self._client = httpx.Client(base_url=house.url, timeout=60, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def open(self, url: str) -> httpx.Response:
        """Ask for a page, follow wherever it leads, and return what is shown in the end."""
        for _ in range(6):
            answer = self._ask("GET", url)
            if answer.status_code != httpx.codes.SEE_OTHER:
                return answer
            url = str(httpx.URL(url).join(answer.headers["location"]))
        raise AssertionError(f"led in circles: {url}")

    def sign_in(self, form: httpx.Response, user: str, password: str) -> httpx.Response:
        """Fill in the form that :meth:`open` returned, and return what is shown in the end."""
        assert 'action="/sign-in"' in form.text, form.text
        hidden = {name: _value(form.text, name) for name in ("at", "next")}
        answer = self._ask("POST", f"{self._house.url}/sign-in", {"user": user, "password": password} | hidden)
        assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
        return self.open(str(httpx.URL(self._house.url).join(answer.headers["location"])))

    def cookie(self, host: str) -> str:
        return self._cookies[host]

    def _ask(self, method: str, url: str, data: dict[str, str] | None = None) -> httpx.Response:
        parts = urlsplit(url)
        headers = {"host": parts.netloc, "accept": HTML, "origin": f"http://{parts.netloc}"}
        if parts.netloc in self._cookies:
            headers["cookie"] = self._cookies[parts.netloc]
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        self._client.cookies.clear()
        answer = self._client.request(method, path, headers=headers, data=data)
        for name, value in answer.cookies.items():
            self._cookies[parts.netloc] = f"{name}={value}"
        return answer


def _value(form: str, name: str) -> str:
    return form.partition(f'name="{name}" value="')[2].partition('"')[0]


class WebSocket:
    """A WebSocket at the front door, as far as a test needs one: texts that come (RFC 6455 §5.2)."""

    def __init__(self, house: Platform, host: str, path: str, *headers: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", house.port), timeout=LATE_S)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        head = [f"GET {path} HTTP/1.1", f"host: {host}", "connection: Upgrade", "upgrade: websocket"]
        head += [f"sec-websocket-key: {key}", "sec-websocket-version: 13", *headers, "", ""]
        self._socket.sendall("\r\n".join(head).encode())
        self.status = int(self._file.readline().split()[1])
        self.head = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.head[name] = value

    def body(self) -> bytes:
        """Return the body of a refusal."""
        return self._file.read(int(self.head["content-length"]))

    def text(self) -> str | None:
        """Return the next text; None when the other end closed, or ended."""
        try:
            while head := self._file.read(2):
                length = head[1] & 127
                if length == 126:
                    length = int.from_bytes(self._file.read(2), "big")
                content = self._file.read(length)
                if head[0] & 15 == 1:
                    return content.decode()
                if head[0] & 15 == 8:
                    return None
        except ConnectionError:
            pass
        return None

    def close(self) -> None:
        self._file.close()
        self._socket.close()
