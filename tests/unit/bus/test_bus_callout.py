"""What is answered of those who sign in when thousands do at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import nkeys
import pytest

from fairlead.bus import server
from fairlead.bus.callout import Responder
from fairlead.bus.credentials import Key, SealKey, claims_of, mint
from fairlead.bus.gate import DeviceGate, password_hash
from fairlead.bus.server import SIGN_IN_S
from fairlead.messages import DeviceAccess

USER = Key.new(nkeys.PREFIX_BYTE_USER).public


class Question:
    """A question of nats-server, and what came back."""

    def __init__(self, data: bytes, sealed_by: str) -> None:
        self.data, self.headers = data, {"Nats-Server-Xkey": sealed_by}
        self.answers: list[bytes] = []

    async def respond(self, data: bytes) -> None:
        self.answers.append(data)


def asked(access: server.GateAccess, theirs: SealKey, password: str) -> Question:
    """Return what nats-server asks about a device that signs in now."""
    claims = {
        "connect_opts": {"user": "t1", "auth_token": password},
        "client_info": {"mqtt_id": "t1", "type": "mqtt"},
        "user_nkey": USER,
        "server_id": {"id": "N1"},
    }
    jwt = mint(Key(access.auth_seed), USER, "", claims)
    return Question(theirs.seal(jwt.encode(), SealKey(access.seal_seed).public), theirs.public)


@pytest.mark.parametrize(("late_s", "is_answered"), [(0, True), (SIGN_IN_S + 2, False)])
async def test_a_question_nobody_waits_for_any_more_takes_no_time_from_others(
    tmp_path: Path, late_s: float, is_answered: bool
) -> None:
    server.prepare(tmp_path / "bus", "local")
    access, theirs = server.gate_access(tmp_path / "bus"), SealKey.new()
    gate = DeviceGate(tmp_path / "gate")
    gate.replace([DeviceAccess("t1", password_hash("t1", "right"))])
    question = asked(access, theirs, "right")

    await Responder(access, gate, now=lambda: time.time() + late_s).take(question)

    assert bool(question.answers) is is_answered
    for answer in question.answers:
        told = claims_of(theirs.open(answer, SealKey(access.seal_seed).public))["nats"]
        assert claims_of(told["jwt"].encode())["name"] == "t1"


def test_the_answer_is_awaited_longer_than_thousands_of_sign_ins_take(tmp_path: Path) -> None:
    server.prepare(tmp_path / "bus", "local")

    options = json.loads((tmp_path / "bus" / "server.conf").read_text())

    assert options["authorization"]["timeout"] == options["mqtt"]["authorization"]["timeout"] == SIGN_IN_S
