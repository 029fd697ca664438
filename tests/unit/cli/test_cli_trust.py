"""Whom the command line trusts: what the machine does, SSL_CERT_FILE, and what a login was told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from tests.certificates import Authority

from fairlead.cli import session

Said = tuple[int, str, str]
Cli = Callable[..., Said]


class Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b'{"token": "fl_a.b.c", "user": "ada", "roles": ["user"], "used": null}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def chain(authority: Authority, tmp_path: Path) -> Path:
    certificate, key = authority.issue()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "chain.pem").write_bytes(certificate)
    return tmp_path / "chain.pem"


@pytest.fixture
def url(chain: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, chain.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda request, address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def login(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    def sign_in(*more: str) -> Said:
        monkeypatch.setattr("sys.stdin", StringIO("password\n"))
        return cli("login", url, *more)

    return sign_in


def test_a_certificate_that_nobody_trusts_is_refused_with_what_to_do(login: Cli, url: str) -> None:
    code, _, err = login()

    assert (code, session.all_of()) == (6, ())
    assert "its certificate is not trusted" in err
    assert f"fairlead login {url} --ca FILE" in err


@pytest.mark.parametrize("trusted", ["ca.pem", "chain.pem"])
def test_what_a_login_was_told_to_trust_is_remembered(cli: Cli, login: Cli, tmp_path: Path, trusted: str) -> None:
    assert login("--ca", str(tmp_path / trusted))[0] == 0
    assert session.current().ca == str(tmp_path / trusted)
    assert cli("--json", "whoami")[0] == 0


def test_ssl_cert_file_is_remembered_and_rules_while_it_is_set(
    cli: Cli, login: Cli, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert login()[0] == 0
    monkeypatch.delenv("SSL_CERT_FILE")
    assert cli("--json", "whoami")[0] == 0
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    assert cli("--json", "whoami")[0] == 6


def test_a_file_of_certificates_that_is_not_there_is_refused(login: Cli, tmp_path: Path) -> None:
    assert login("--ca", str(tmp_path / "none.pem"))[0] == 2
