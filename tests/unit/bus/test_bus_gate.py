"""Who is let in, and how the table is kept."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from fairlead.bus.gate import DeviceGate, password_hash, refusal
from fairlead.messages import DeviceAccess

TABLE = {"t1": password_hash("t1", "secret"), "fan-1": password_hash("fan-1", "other")}


@pytest.mark.parametrize(
    ("user", "password", "client_id", "let_in"),
    [
        ("t1", "secret", "t1", True),
        ("t1", "secret", "", True),
        ("t1", "secret", "anything", True),
        ("t1", "secret", "t1:tx", True),
        ("t1", "secret", "fan-1", False),
        ("t1", "secret", "fan-1:tx", False),
        ("t1", "secret", "fan-1x", True),
        ("t1", "other", "t1", False),
        ("t1", "", "t1", False),
        ("t2", "secret", "t2", False),
        ("", "", "", False),
    ],
)
def test_refusals(user: str, password: str, client_id: str, let_in: bool) -> None:
    assert (refusal(TABLE, user, password, client_id) == "") is let_in


def test_nobody_is_let_in_by_an_empty_table_or_an_empty_hash() -> None:
    assert refusal({}, "t1", "secret", "t1")
    assert refusal({"t1": ""}, "t1", "", "t1")


def access(device: str, password: str) -> DeviceAccess:
    return DeviceAccess(device, password_hash(device, password))


def test_a_replaced_table_names_those_that_must_go(tmp_path: Path) -> None:
    gate = DeviceGate(tmp_path / "keeper" / "devices.msgpack")
    assert gate.replace([access("a", "1"), access("b", "1"), access("c", "1")]) == frozenset()
    assert gate.replace([access("a", "1"), access("b", "2"), access("d", "1")]) == {"b", "c"}
    assert gate.replace([access("a", "1"), access("b", "2"), access("d", "1")]) == frozenset()


def test_others_see_a_change_at_their_next_look(tmp_path: Path) -> None:
    file = tmp_path / "devices.msgpack"
    writer, reader = DeviceGate(file), DeviceGate(file)
    assert reader.table == {}
    for number in range(5):
        writer.replace([access("a", str(number))])
        assert reader.table == writer.table == {"a": password_hash("a", str(number))}


def test_the_table_outlives_its_writer_and_is_the_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "devices.msgpack"
    DeviceGate(file).replace([access("a", "1")])
    assert DeviceGate(file).table == {"a": password_hash("a", "1")}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_broken_table_leaves_the_last_good_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "devices.msgpack"
    gate = DeviceGate(file)
    gate.replace([access("a", "1")])
    file.write_bytes(b"\x00 broken")
    with caplog.at_level(logging.ERROR):
        assert gate.table == {"a": password_hash("a", "1")}
    assert "cannot be read" in caplog.text
    assert DeviceGate(file).table == {}
