"""Both doors with a certificate, from the outside: people, programs, devices; and bodies through the front door."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
import pytest
from tests.certificates import Authority
from tests.thread.kit import model
from tests.thread.rig import LATE_S, Platform, platform, until

pytestmark = pytest.mark.timeout(300)
LIMIT = 300_000
CODE = """
import fairlead


class M(fairlead.Model):
    def predict(self, text: str) -> int:
        return len(text)
"""


class Secured:
    """A platform whose doors have a certificate."""

    def __init__(self, house: Platform, authority: Authority, cert: Path, key: Path) -> None:
        self.house, self.authority, self.cert, self.key = house, authority, cert, key
        self.trust = ssl.create_default_context(cafile=str(authority.file))

    def client(self, token: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.house.url, headers=headers, verify=self.trust, timeout=60, trust_env=False)

    def replace(self, chain: bytes, key: bytes) -> None:
        self.cert.write_bytes(chain)  # not in one step: what a person does
        self.key.write_bytes(key)

    def shown(self, port: int, *alpn: str) -> tuple[bytes, str | None]:
        """Return the certificate that a door shows, and the protocol it chose."""
        trust = ssl.create_default_context(cafile=str(self.authority.file))
        trust.set_alpn_protocols(list(alpn) or ["http/1.1"])
        plain = socket.create_connection(("127.0.0.1", port), LATE_S)
        with trust.wrap_socket(plain, server_hostname="localhost") as connection:
            return connection.getpeercert(binary_form=True) or b"", connection.selected_alpn_protocol()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    cert, key = folder / "cert.pem", folder / "key.pem"
    with pytest.MonkeyPatch.context() as patch, platform(start=False) as house:
        patch.setenv("SSL_CERT_FILE", str(authority.file))
        house.url = house.url.replace("http:", "https:")
        house.home.mkdir(parents=True)
        (house.home / "settings.toml").write_text(f"body_max_bytes = {LIMIT}\n")
        made = Secured(house, authority, cert, key)
        made.replace(*authority.issue())
        house.up("--cert", str(cert), "--key", str(key))
        house.ok("push", str(model(folder / "texts", CODE, examples="[scale]\nmin = 1\n")))
        yield made


def test_the_command_line_talks_tls_and_trusts_whom_it_is_told_to(secured: Secured) -> None:
    house = secured.house
    assert f"ready {house.url}" in house.said
    assert house.ok("predict", "texts", "--json", '{"text": "abc"}') == "3"
    stranger = house.cli("status", SSL_CERT_FILE="/dev/null")
    assert stranger.returncode == 6
    assert "certificate is not trusted" in stranger.stderr


def test_http_2_is_chosen_by_the_client_and_plain_http_is_not_answered(secured: Secured) -> None:
    port = secured.house.port
    assert secured.shown(port, "h2", "http/1.1")[1] == "h2"
    assert secured.shown(port, "http/1.1")[1] == "http/1.1"
    with pytest.raises(httpx.TransportError), httpx.Client(trust_env=False) as plain:
        plain.get(f"http://127.0.0.1:{port}/healthz")


def test_a_device_signs_in_by_mqtt_over_tls(secured: Secured) -> None:
    house = secured.house
    house.ok("locations", "add", "hall", "--zone", "UTC")
    line = house.ok("devices", "add", "t1", "--type", "temperature", "--at", "hall")
    assert f"mqtts://127.0.0.1:{house.mqtt}" in line
    connected = threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="t1")
    client.username_pw_set("t1", line.split()[-1])
    client.tls_set(str(secured.authority.file))
    client.on_connect = lambda *said: None if said[3].is_failure else connected.set()
    client.connect("127.0.0.1", house.mqtt)
    client.loop_start()
    try:
        assert connected.wait(LATE_S)
        client.publish("dev/t1/state/temperature", "21.5").wait_for_publish(LATE_S)
        until(lambda: _value(secured), "the reading arrives")
    finally:
        client.disconnect()
        client.loop_stop()


def _value(secured: Secured) -> bool:
    return "21.5" in secured.house.ok("--json", "devices", "show", "t1")


def test_a_renewed_certificate_is_shown_at_once_and_one_that_does_not_fit_is_not(secured: Secured) -> None:
    house, envoy = secured.house, secured.house.pids()["envoy"]
    before = {secured.shown(port)[0] for port in (house.port, house.mqtt)}
    assert len(before) == 1
    fitting, other = secured.authority.issue(), secured.authority.issue()

    with secured.client(house.token) as open_before:
        assert open_before.get("/api/v1/me").status_code == 200
        secured.replace(fitting[0], other[1])
        until(lambda: "the changed certificate is not taken" in _keeper_log(house), "the keeper says why not")
        assert secured.shown(house.port)[0] in before
        secured.replace(*fitting)
        for port in (house.port, house.mqtt):
            until(lambda port=port: secured.shown(port)[0] not in before, "the new certificate is shown")
        assert open_before.get("/api/v1/me").status_code == 200
    assert house.pids()["envoy"] == envoy


def _keeper_log(house: Platform) -> str:
    file = house.home / "logs" / "keeper.log"
    return "\n".join(house.complained) + (file.read_text() if file.exists() else "")


def test_bodies_in_chunks_meet_the_limit_through_the_front_door(secured: Secured) -> None:
    """S-43, F-19: the limit is exact, and what goes beyond it is answered, not cut off."""

    def chunks(count: int) -> Iterator[bytes]:
        yield b'{"text":"'
        for start in range(0, count - 11, 50_000):
            yield b"x" * min(50_000, count - 11 - start)
        yield b'"}'

    with secured.client(secured.house.token) as client:
        for count in (LIMIT, LIMIT + 1, 4 * LIMIT):
            answer = client.post("/v1/models/texts/predict", content=chunks(count))
            if count <= LIMIT:
                assert (answer.status_code, answer.json()) == (200, count - 11)
            else:
                assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_a_body_that_drips_ends_by_itself(secured: Secured) -> None:
    """S-43, F-18: a caller that sends a byte now and then holds nothing for ever."""
    head = f"POST /v1/models/texts/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secured.house.token}\r\n"
    plain = socket.create_connection(("127.0.0.1", secured.house.port), LATE_S)
    with secured.trust.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.settimeout(1.0)
        connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())

        def said() -> bytes:
            connection.sendall(b"1\r\n \r\n")
            try:
                return connection.recv(4096)
            except TimeoutError:
                return b""

        assert until(said, "the front door answers", 3 * LATE_S).startswith(b"HTTP/1.1 408 ")
