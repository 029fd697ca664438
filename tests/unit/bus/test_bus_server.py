"""What nats-server is started with."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from fairlead.bus import credentials, server
from fairlead.bus.credentials import Key, SealKey
from fairlead.errors import Internal, Invalid, Unavailable


def test_keys_and_the_programs_port_last_but_the_devices_port_is_new(tmp_path: Path) -> None:
    first = server.prepare(tmp_path / "bus", "local")
    seeds = server.access(tmp_path / "bus", "control").seed
    second = server.prepare(tmp_path / "bus", "local")
    assert first.url == second.url
    assert first.devices != second.devices
    assert server.access(tmp_path / "bus", "control").seed == seeds
    assert server.current(tmp_path / "bus") == second


def test_a_port_that_somebody_took_is_given_up(tmp_path: Path) -> None:
    first = server.prepare(tmp_path / "bus", "local")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(first.url.rpartition(":")[2])))
        taken.listen()
        second = server.prepare(tmp_path / "bus", "local")
    assert second.url != first.url
    assert server.access(tmp_path / "bus", "keeper").url == second.url


def test_it_listens_on_loopback_alone_and_has_no_monitor(tmp_path: Path) -> None:
    server.prepare(tmp_path / "bus", "local")
    options = json.loads((tmp_path / "bus" / "server.conf").read_text())
    assert options["listen"].startswith("127.0.0.1:")
    assert options["mqtt"]["host"] == "127.0.0.1"
    assert not {"http", "https", "http_port", "https_port", "no_auth_user", "cluster", "leafnodes", "gateway"} & set(
        options
    )


def test_without_a_bus_the_hint_is_to_start_one(tmp_path: Path) -> None:
    for ask in (server.current, server.gate_access, lambda folder: server.access(folder, "control")):
        with pytest.raises(Unavailable) as refused:
            ask(tmp_path)
        assert refused.value.code == "bus_down"


def test_another_nats_server_can_be_named() -> None:
    assert server.binary({"NATS_SERVER_BIN": "/opt/nats-server"}) == "/opt/nats-server"


def test_a_user_without_permissions_may_do_nothing() -> None:
    account = Key.new(0)
    jwt = credentials.user_jwt(account, account.public, "x", credentials.Permissions((), ()))
    claims = credentials.claims_of(jwt.encode())["nats"]
    assert claims["pub"] == claims["sub"] == {"deny": [">"]}


def test_what_is_sealed_opens_for_its_receiver_only() -> None:
    one, two, three = SealKey.new(), SealKey.new(), SealKey.new()
    sealed = one.seal(b"hello", two.public)
    assert two.open(sealed, one.public) == b"hello"
    for opener, sender, data in (
        (three, one.public, sealed),
        (two, three.public, sealed),
        (two, one.public, b"plain"),
        (two, one.public, sealed[:-1]),
        (two, "", sealed),
        (two, "?", sealed),
    ):
        with pytest.raises(Invalid):
            opener.open(data, sender)


@pytest.mark.parametrize("jwt", [b"", b"a.b", b"a.!!.c", b"a.bm90IGpzb24.c"])
def test_what_is_no_jwt_is_refused(jwt: bytes) -> None:
    with pytest.raises(Invalid):
        credentials.claims_of(jwt)


def test_broken_keys_are_named_with_their_file(tmp_path: Path) -> None:
    server.prepare(tmp_path / "bus", "local")
    file = tmp_path / "bus" / "keys.json"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(Internal, match=r"keys\.json is broken") as refused:
        server.prepare(tmp_path / "bus", "local")
    assert refused.value.code == "key_broken"
