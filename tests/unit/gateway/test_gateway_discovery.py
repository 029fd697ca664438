"""What Envoy is told of endpoints: the assignment on the wire, and the protocol of one connection."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.errors import Invalid
from fairlead.gateway import protobuf
from fairlead.gateway.assignments import TYPE, Assignment, Sockets, assignment, unfit
from fairlead.gateway.telling import Telling, read

WAKER = "/run/waker.sock"


def parsed(message: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for field, value in protobuf.fields(message):
        found.setdefault(field, []).append(value)
    return found


def localities(parts: Sockets) -> list[tuple[str, list[str], int, int]]:
    """Zone, sockets, weight and priority of each."""
    found = []
    for one in parsed(assignment("m@1", parts, WAKER).encoded)[2]:
        fields = parsed(one)
        zone = parsed(fields[1][0])[2][0].decode()
        paths = []
        for endpoint in fields.get(2, []):
            address = parsed(parsed(parsed(endpoint)[1][0])[1][0])
            paths.append(parsed(address[2][0])[1][0].decode())
        found.append((zone, paths, parsed(fields[3][0])[1][0], fields[5][0]))
    return found


def test_replicas_come_first_and_the_waker_second() -> None:
    both = Sockets(("/run/a.sock", "/run/b.sock"))
    assert localities(both) == [("serving", ["/run/a.sock", "/run/b.sock"], 199, 0), ("waker", [WAKER], 1, 1)]
    assert localities(Sockets()) == [("serving", [], 199, 0), ("waker", [WAKER], 1, 1)]


def test_f09_an_ejected_replica_gets_one_call_of_two_hundred() -> None:
    """F-09: so few that the 99th of a hundred callers notices nothing."""
    found = localities(Sockets(("/run/a.sock",), ("/run/b.sock",)))
    assert found == [
        ("serving", ["/run/a.sock"], 199, 0),
        ("ejected", ["/run/b.sock"], 1, 0),
        ("waker", [WAKER], 1, 1),
    ]


def test_what_leads_elsewhere_has_another_version() -> None:
    one = assignment("m@1", Sockets(("/run/a.sock",)), WAKER)
    assert one.version == assignment("m@1", Sockets(("/run/a.sock",)), WAKER).version
    assert one.version != assignment("m@1", Sockets((), ("/run/a.sock",)), WAKER).version


def test_a_path_that_no_socket_can_have_is_not_told() -> None:
    told = {"a@1": Sockets(("/" + "x" * 107,)), "b@1": Sockets(("/" + "x" * 106,)), "c@1": Sockets()}
    assert set(unfit(told)) == {"a@1"}


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05ab", b"\xff" * 12, b"\x0b", b"\x09abc"])
def test_a_message_that_is_cut_off_is_refused(message: bytes) -> None:
    with pytest.raises(Invalid):
        list(protobuf.fields(message))


def request(
    *names: str, nonce: str = "", error: str = "", unsubscribe: str = "", held: tuple[str, str] = ("", "")
) -> bytes:
    """A request as Envoy sends it."""
    parts = [protobuf.text(2, TYPE), *(protobuf.text(3, name) for name in names)]
    if unsubscribe:
        parts.append(protobuf.text(4, unsubscribe))
    if held[0]:
        parts.append(protobuf.data(5, protobuf.text(1, held[0]) + protobuf.text(2, held[1])))
    if nonce:
        parts.append(protobuf.text(6, nonce))
    if error:
        parts.append(protobuf.data(7, protobuf.number(1, 3) + protobuf.text(2, error)))
    return b"".join(parts)


class Side:
    """Ours, with what is wanted."""

    def __init__(self) -> None:
        self.wanted = {"m@1": "one", "n@1": "one"}
        self.telling = Telling(lambda name: Assignment(self.wanted[name], self.wanted[name].encode()))

    def hear(self, *names: str, **more: Any) -> list[str]:
        return self.names(self.telling.hear(read(request(*names, **more))))

    def names(self, answer: bytes) -> list[str]:
        return [parsed(one)[3][0].decode() for one in parsed(answer).get(2, [])]


def test_what_is_asked_for_is_told_and_held_once_it_is_acknowledged() -> None:
    side = Side()
    assert side.hear("m@1", "n@1") == ["m@1", "n@1"]
    assert side.telling.lacks(["m@1", "n@1"]) == ["m@1", "n@1"]
    assert side.hear(nonce="1") == []
    assert side.telling.lacks(["m@1", "n@1"]) == []


def test_only_what_is_new_is_told_and_only_to_who_asked() -> None:
    side = Side()
    side.hear("m@1")
    side.hear(nonce="1")
    side.wanted = {"m@1": "two", "n@1": "two"}
    assert side.names(side.telling.due(["m@1", "n@1"])) == ["m@1"]
    assert side.telling.due(["m@1"]) == b"", "it was said"
    assert side.telling.lacks(["m@1"]) == ["m@1"]


def test_a_late_acknowledgement_is_of_what_was_told_then() -> None:
    side = Side()
    side.hear("m@1")
    side.wanted["m@1"] = "two"
    side.telling.due(["m@1"])
    side.hear(nonce="1")
    assert side.telling.lacks(["m@1"]) == ["m@1"]
    side.hear(nonce="2")
    assert side.telling.lacks(["m@1"]) == []


def test_a_connection_that_begins_anew_hears_only_of_what_changed() -> None:
    side = Side()
    assert side.hear("m@1", held=("m@1", "one")) == []
    assert side.telling.lacks(["m@1"]) == []
    later = Side()
    assert later.hear("m@1", held=("m@1", "older")) == ["m@1"]


def test_who_asks_again_is_told_again() -> None:
    side = Side()
    side.hear("m@1")
    side.hear(nonce="1")
    assert side.hear("m@1") == ["m@1"]


def test_a_refusal_says_why_until_something_else_is_told() -> None:
    side = Side()
    side.hear("m@1")
    side.hear(nonce="1", error="no such zone")
    assert side.telling.lacks(["m@1"]) == ["m@1"]
    assert side.telling.refused(["m@1"]) == "m@1: no such zone"
    side.wanted["m@1"] = "two"
    assert side.telling.refused(["m@1"]) == ""


def test_what_is_not_asked_for_any_more_is_not_told() -> None:
    side = Side()
    side.hear("m@1")
    side.hear(nonce="1", unsubscribe="m@1")
    side.wanted["m@1"] = "two"
    assert side.telling.due(["m@1"]) == b""
