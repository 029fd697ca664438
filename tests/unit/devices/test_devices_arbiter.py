"""Who holds: histories of claims in, decisions out."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fairlead.devices import arbiter
from fairlead.devices.arbiter import Claim, Send, Wait

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def claim(
    command: str, tier: str = "app", value: object = True, *, name: str = "on", minute: int = 0, **more: object
) -> Claim:
    moment = NOON + timedelta(minutes=minute)
    return Claim(command=command, property=name, value=value, tier=tier, since=moment, **more)  # type: ignore[arg-type]


def test_within_a_tier_the_latest_holds() -> None:
    first, second = claim("a", minute=0), claim("b", minute=1)

    assert arbiter.winners([second, first])["on"].command == "b"
    assert arbiter.decide("c", ["on"], "app", [first, second]) == Send()


def test_a_higher_tier_lets_wait_and_is_named() -> None:
    human = claim("h", "human", user="ada", until=NOON + timedelta(hours=1))

    decision = arbiter.decide("a", ["on", "speed"], "app", [human])

    assert decision == Wait("waits: ada (human) holds on until 2026-11-20 13:00:00 UTC", "h")


def test_safety_goes_before_a_person() -> None:
    assert isinstance(arbiter.decide("s", ["on"], "safety", [claim("h", "human")]), Send)


def test_an_earlier_claim_comes_back() -> None:
    first, second = claim("a", value=True), claim("b", value=False, minute=1)

    change = arbiter.settle([first, second], [first], {"on": False})

    assert change == arbiter.Change(back=(first,))


def test_nobody_left_means_the_safe_value() -> None:
    assert arbiter.settle([claim("a")], [], {"on": False, "other": 1}).safe == {"on": False}


def test_without_a_safe_value_it_is_left_as_it_is() -> None:
    assert arbiter.settle([claim("a")], [], {}) == arbiter.Change()


def test_what_waited_enters_and_spares_the_safe_value() -> None:
    waiting = claim("w", minute=1, sent=False)

    change = arbiter.settle([claim("h", "human"), waiting], [waiting], {"on": False})

    assert change == arbiter.Change(enter={"w": {"on": True}})


def test_of_two_that_waited_the_later_holds_in_the_end() -> None:
    early, late = claim("x", minute=1, sent=False), claim("y", minute=2, sent=False)

    change = arbiter.settle([claim("h", "human"), early, late], [late, early], {})

    assert change == arbiter.Change(enter={"y": {"on": True}}, superseded={"x": "y"})


def test_who_waited_takes_nothing_from_who_was_asked_later() -> None:
    waited = (claim("w", name="on", sent=False), claim("w", name="speed", value=2, sent=False))
    later = claim("l", name="speed", value=3, minute=1)

    change = arbiter.settle([claim("h", "human"), *waited, later], [*waited, later], {"on": False})

    assert change == arbiter.Change(enter={"w": {"on": True}})


def test_who_loses_all_it_held_is_superseded() -> None:
    first = (claim("a"), claim("a", name="speed"))
    second = claim("b", minute=1, sent=False)

    assert arbiter.settle(first, [*first, second], {}).superseded == {}
    assert arbiter.settle(first[:1], [first[0], second], {}).superseded == {"a": "b"}


def test_a_command_waits_as_a_whole() -> None:
    human = claim("h", "human", name="speed")
    waiting = (claim("w", name="on", sent=False), claim("w", name="speed", sent=False))

    assert "on" not in arbiter.winners([human, *waiting])
    assert arbiter.settle([human, *waiting], [human, *waiting], {}).enter == {}


def test_a_claim_that_ended_counts_no_more() -> None:
    assert arbiter.alive([claim("a", until=NOON)], NOON) == ()


def test_what_holds_is_told_by_command() -> None:
    held = [claim("a"), claim("a", name="speed", value=2), claim("b", name="speed", value=3, minute=1)]

    assert arbiter.desired(held) == {"a": {"on": True}, "b": {"speed": 3}}


def test_a_report_proves_a_value() -> None:
    assert arbiter.same(21.0000001, 21)
    assert not arbiter.same(1, True)
    assert arbiter.same("x", "x")


claims = st.lists(
    st.builds(
        Claim,
        command=st.sampled_from("abcdefgh"),
        property=st.sampled_from(("on", "speed")),
        value=st.integers(0, 3),
        tier=st.sampled_from(arbiter.TIERS),
        since=st.integers(0, 50).map(lambda minute: NOON + timedelta(minutes=minute)),
        sent=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda one: (one.command, one.property),
)


@given(before=claims, data=st.data())
def test_after_any_release_each_property_has_its_strongest_claim(before: list[Claim], data: st.DataObject) -> None:
    after = [one for one in before if data.draw(st.booleans())]
    held, holds = arbiter.winners(before), arbiter.winners(after)

    change = arbiter.settle(before, after, {"on": 0, "speed": 0})

    for name, winner in holds.items():
        assert all(winner.rank() >= one.rank() for one in after if one.sent and one.property == name)
    assert {one.property for one in change.back} <= {name for name in held if name in holds}
    assert not set(change.safe) & set(holds)
    assert not {one.property for one in change.back} & set(change.safe)
