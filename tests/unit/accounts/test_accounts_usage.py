"""Calls are counted once, whatever is told of them, how often and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import service, usage
from fairlead.accounts.policy import SYSTEM
from fairlead.accounts.usage import TOKEN, USER
from fairlead.keeper.serving.meter import COUNTERS_MAX
from fairlead.keeper.serving.meter import Meter as KeeperMeter
from fairlead.messages import CallsTold, Metered, decode, encode
from fairlead.modelserver.meter import Meter
from fairlead.store.records import CallMark, Token, Usage
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 23, 50, tzinfo=UTC)
TOKENS = {"tok-a": "ada", "tok-b": "ada", "tok-c": "bob"}


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        furnish(opened)
        yield opened


def furnish(session: Session) -> None:
    for user in sorted(set(TOKENS.values())):
        service.add(session, SYSTEM, user, ["user"], None, NOW)
    session.flush()
    for jti, user in TOKENS.items():
        expires = NOW + timedelta(days=30)
        session.add(Token(jti=jti, user=user, label=jti, roles=("user",), created_at=NOW, expires_at=expires))
    session.flush()


class World:
    """Two replicas that can be replaced, a keeper that can begin anew, messages that are late, lost and repeated."""

    def __init__(self, session: Session) -> None:
        self.session, self.now = session, NOW
        self.replicas = [self._replica(), self._replica()]
        self.keeper = KeeperMeter(lambda: self.now)
        self.under_way: list[bytes] = []
        self.heard: Counter[tuple[str, str]] = Counter()
        """By day and token what some keeper has heard of: what must not be lost."""
        self._beaten: dict[tuple[int, str, str], int] = {}

    def _replica(self) -> Meter:
        return Meter(self.now.timestamp())

    def call(self, replica: int, token: str) -> None:
        self.replicas[replica].calls[token] += 1

    def beat(self, replica: int, *, whole: bool = False) -> None:
        one = self.replicas[replica]
        said = one.metered(whole=whole)
        self.keeper.heard(f"m-1a-{id(one)}", said)
        for day, calls in (said.days if said else {}).items():
            for token, count in calls.items():
                self.heard[day, token] += count - self._beaten.get((id(one), day, token), 0)
                self._beaten[id(one), day, token] = count

    def replace(self, replica: int) -> None:
        """It ends after a last beat, as one that drains does; the next in its place begins at 0."""
        self.beat(replica)
        self.deliver_all()
        self._kept = [*getattr(self, "_kept", []), self.replicas[replica]]  # no id() is used twice
        self.replicas[replica] = self._replica()

    def send(self) -> None:
        told = self.keeper.due(2)
        if told:
            self.under_way.append(encode(CallsTold("local", told)))

    def deliver(self, which: int, *, is_answered: bool, stays: bool) -> None:
        """Have control take one of the messages; the answer may be lost, and the message come once more later."""
        if not self.under_way:
            return
        message = decode(self.under_way[which % len(self.under_way)], CallsTold)
        usage.take(self.session, message.told, self.now)
        self.session.commit()
        self.session.expunge_all()  # control ends and begins anew: it knows nothing but its records
        if is_answered:
            self.keeper.written(message.told)
        if not stays:
            self.under_way.pop(which % len(self.under_way))

    def deliver_all(self) -> None:
        while told := self.keeper.due(2):
            usage.take(self.session, told, self.now)
            self.keeper.written(told)

    def restart_keeper(self) -> None:
        """It is killed: it knows nothing any more, but those replicas that live say all again."""
        self.keeper = KeeperMeter(lambda: self.now)
        for replica in range(len(self.replicas)):
            self.beat(replica, whole=True)

    def midnight(self) -> None:
        self.now += timedelta(minutes=15)
        for one in self.replicas:
            one.turn(self.now.timestamp())


ACTS = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 1), st.sampled_from(sorted(TOKENS))),
    st.tuples(st.just("beat"), st.integers(0, 1)),
    st.tuples(st.just("replace"), st.integers(0, 1)),
    st.tuples(st.just("send")),
    st.tuples(st.just("deliver"), st.integers(0, 9), st.booleans(), st.booleans()),
    st.tuples(st.just("restart_keeper")),
    st.tuples(st.just("midnight")),
)


@given(st.lists(ACTS, max_size=40))
def test_whatever_is_told_and_how_often_each_call_is_counted_once(acts: list[tuple[str, ...]]) -> None:
    with memory() as session:
        furnish(session)
        session.commit()
        world = World(session)
        for name, *rest in acts:
            if name == "deliver":
                which, is_answered, stays = rest
                world.deliver(int(which), is_answered=bool(is_answered), stays=bool(stays))
            else:
                getattr(world, name)(*rest)
            check(session, world, at_most=True)
        for replica in range(2):
            world.beat(replica)
        world.deliver_all()
        for left in range(len(world.under_way)):  # those that come last of all change nothing
            world.deliver(left, is_answered=False, stays=True)
        check(session, world, at_most=False)


def check(session: Session, world: World, *, at_most: bool) -> None:
    """What is written down is at most what was heard, and in the end exactly that; people have their tokens' sums."""
    rows = {(row.day, row.kind, row.name): row.calls for row in session.scalars(select(Usage))}
    tokens = {(day, name): calls for (day, kind, name), calls in rows.items() if kind == TOKEN}
    people = {(day, name): calls for (day, kind, name), calls in rows.items() if kind == USER}
    wanted: Counter[tuple[str, str]] = Counter()
    for (day, token), calls in tokens.items():
        assert calls <= world.heard[day, token]
        wanted[day, TOKENS[token]] += calls
    assert people == dict(wanted)
    if not at_most:
        assert tokens == {key: calls for key, calls in world.heard.items() if calls}


def test_a_call_after_midnight_is_one_of_the_next_day() -> None:
    meter = Meter(NOW.timestamp())
    assert meter.metered() is None
    meter.calls["tok-a"] += 1
    meter.turn((NOW + timedelta(minutes=9)).timestamp())
    meter.calls["tok-a"] += 1
    meter.turn((NOW + timedelta(minutes=11)).timestamp())
    meter.calls["tok-a"] += 1
    meter.turn(NOW.timestamp())  # the clock was put back: the day stays
    meter.calls["tok-b"] += 1
    said = meter.metered()
    assert said is not None
    assert said.days == {"2026-11-20": {"tok-a": 2}, "2026-11-21": {"tok-a": 1, "tok-b": 1}}
    meter.turn((NOW + timedelta(days=1, minutes=11)).timestamp())
    said = meter.metered()
    assert said is not None
    assert said.days == {"2026-11-21": {"tok-a": 1, "tok-b": 1}}


def test_what_did_not_change_since_it_was_told_is_told_to_those_alone_who_are_new() -> None:
    meter = Meter(NOW.timestamp())
    meter.calls.update({"tok-a": 1, "tok-b": 1})
    assert said_by(meter) == {"2026-11-20": {"tok-a": 1, "tok-b": 1}}
    assert said_by(meter) == {}
    meter.calls["tok-b"] += 1
    assert said_by(meter) == {"2026-11-20": {"tok-b": 2}}
    meter.calls["tok-a"] += 1
    meter.turn((NOW + timedelta(minutes=11)).timestamp())
    meter.calls["tok-c"] += 1
    assert said_by(meter) == {"2026-11-20": {"tok-a": 2}, "2026-11-21": {"tok-c": 1}}
    assert said_by(meter) == {}
    assert said_by(meter, whole=True) == {"2026-11-20": {"tok-a": 2, "tok-b": 2}, "2026-11-21": {"tok-c": 1}}
    assert said_by(meter) == {}


def said_by(meter: Meter, *, whole: bool = False) -> dict[str, dict[str, int]]:
    said = meter.metered(whole=whole)
    return said.days if said is not None else {}


def test_a_replica_that_invents_names_for_itself_leaves_the_marks_of_one(session: Session) -> None:
    day = {"2026-11-20": {"tok-a": 1}}
    usage.take(session, [Metered("m-1a-0/one", day), Metered("m-1a-0/two", day)], NOW)
    for number in range(20):
        usage.take(session, [Metered(f"m-1a-0/x{number}", day)], NOW)
    usage.take(session, [Metered("m-1a-00/one", day), Metered("m-1a-0/one", {"2026-11-20": {"tok-a": 5}})], NOW)
    session.flush()
    assert {mark.source: mark.calls for mark in session.scalars(select(CallMark))} == {
        "m-1a-0/one": 5,
        "m-1a-00/one": 1,
    }
    assert usage.calls(session, TOKEN, ["tok-a"], NOW) == {"tok-a": 6}


@pytest.mark.parametrize(
    ("day", "token", "calls"),
    [
        ("2026-11-20", "tok-z", 5),
        ("2026-11-17", "tok-a", 5),
        ("2026-12-24", "tok-a", 5),
        ("yesterday", "tok-a", 5),
        ("2026-11-20", "tok-a", 0),
        ("2026-11-20", "tok-a", -5),
        ("2026-11-20", "tok-a", 2**60),
    ],
)
def test_what_cannot_be_is_not_believed(session: Session, day: str, token: str, calls: int) -> None:
    usage.take(session, [Metered("m-1a-0/x", {day: {token: calls}})], NOW)
    assert session.scalars(select(Usage)).all() == []
    assert session.scalars(select(CallMark)).all() == []


def test_a_keeper_passes_over_what_no_replica_of_ours_says() -> None:
    keeper = KeeperMeter(lambda: NOW)
    keeper.heard("m-1a-0", Metered("x" * 41, {"2026-11-20": {"tok-a": 1}}))
    keeper.heard("m-1a-0", Metered("x", {"../../etc": {"tok-a": 1}, "2026-11-20": {"ada": 1, "tok-a": -1}}))
    assert keeper.due() == ()


def test_a_replica_that_counts_nonsense_keeps_no_other_from_being_counted(session: Session) -> None:
    """Quotas of a whole machine must not end by what one bundle says of days to come, or of very many tokens."""
    keeper = KeeperMeter(lambda: NOW)
    good = Metered("x", {"2026-11-20": {"tok-a": 2}})
    bad = {f"9999-01-0{day}": {"tok-a": 1} for day in range(1, 9)}
    keeper.heard("m-1a-0", good)
    keeper.heard("evil-1a-0", Metered("x", {**bad, "2026-11-20": {f"tok-{n}": 1 for n in range(COUNTERS_MAX + 5)}}))
    keeper.heard("m-1a-0", good)
    told = keeper.due(10**6)
    assert {day for one in told for day in one.days} == {"2026-11-20"}
    assert sum(len(one.days["2026-11-20"]) for one in told) == COUNTERS_MAX + 1
    usage.take(session, [one for one in told if one.source.startswith("m-")], NOW)
    assert usage.calls(session, TOKEN, ["tok-a"], NOW) == {"tok-a": 2}


def test_days_are_forgotten_and_what_comes_late_is_not_counted_again(session: Session) -> None:
    told = [Metered("m-1a-0/x", {"2026-11-20": {"tok-a": 3}})]
    usage.take(session, told, NOW)
    for days in range(5):
        later = NOW + timedelta(days=days)
        usage.forget(session, later - timedelta(days=90), later)
        usage.take(session, told, later)
        assert usage.calls(session, TOKEN, ["tok-a"], NOW) == {"tok-a": 3}
    assert usage.forget(session, NOW + timedelta(days=1), NOW) == 2
    assert usage.calls(session, TOKEN, ["tok-a"], NOW) == {}


def test_what_grew_while_it_was_told_is_still_due(session: Session) -> None:
    keeper = KeeperMeter(lambda: NOW)
    keeper.heard("m-1a-0", Metered("x", {"2026-11-20": {"tok-a": 1}}))
    told = keeper.due()
    keeper.heard("m-1a-0", Metered("x", {"2026-11-20": {"tok-a": 3}}))
    keeper.heard("m-1a-0", Metered("x", {"2026-11-20": {"tok-a": 2}}))  # late
    usage.take(session, told, NOW)
    keeper.written(told)
    usage.take(session, keeper.due(), NOW)
    assert usage.calls(session, USER, ["ada"], NOW) == {"ada": 3}


def test_a_keeper_sends_many_counters_in_pieces() -> None:
    keeper = KeeperMeter(lambda: NOW)
    keeper.heard("m-1a-0", Metered("x", {"2026-11-20": {f"tok-{number}": 1 for number in range(2500)}}))
    sizes = []
    while told := keeper.due():
        sizes.append(sum(len(calls) for one in told for calls in one.days.values()))
        keeper.written(told)
    assert sizes == [1000, 1000, 500]
