"""Who gets cores and memory: what is promised first, the rest by weight and by what objectives miss."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fairlead.autoscaler.arbiter import HELD, Claim, Grant, Room, share


def claim(name: str, wanted: int, **more: float) -> Claim:
    return Claim(key=(name, "1"), wanted=wanted, **({"cpu": 1.0} | more))  # type: ignore[arg-type]


def granted(*claims: Claim, cores: float | None, memory_mb: float | None = None) -> dict[str, int]:
    shares = share(claims, Room(cores=cores, memory_mb=memory_mb))
    return {key[0]: grant.replicas for key, grant in shares.items()}


def test_all_is_granted_while_there_is_room() -> None:
    assert granted(claim("a", 3), claim("b", 5), cores=8) == {"a": 3, "b": 5}


def test_nobody_knows_the_cores() -> None:
    assert granted(claim("a", 300), cores=None) == {"a": 300}


def test_what_is_short_is_shared_evenly_and_what_one_does_not_want_is_the_others() -> None:
    assert granted(claim("a", 20), claim("b", 20), cores=8) == {"a": 4, "b": 4}
    assert granted(claim("a", 2), claim("b", 20), cores=8) == {"a": 2, "b": 6}


def test_everybody_with_work_has_one_however_few_cores_there_are() -> None:
    assert granted(*(claim(name, 9) for name in "abcdef"), cores=2) == dict.fromkeys("abcdef", 1)


def test_the_least_of_a_manifest_is_promised() -> None:
    assert granted(claim("a", 9, least=4), claim("b", 9), cores=6) == {"a": 4, "b": 2}


def test_weight_and_what_an_objective_misses_count() -> None:
    assert granted(claim("a", 20, weight=3), claim("b", 20), cores=8) == {"a": 6, "b": 2}
    assert granted(claim("a", 20, debt=1.0), claim("b", 20), cores=9) == {"a": 6, "b": 3}


def test_a_small_one_fits_where_a_large_one_does_not() -> None:
    assert granted(claim("big", 5, cpu=4.0), claim("small", 5, cpu=0.5), cores=6) == {"big": 1, "small": 4}


def test_memory_is_shared_out_like_cores_and_what_is_short_is_said() -> None:
    big, small = claim("big", 20, memory_mb=1000.0, cpu=0.1), claim("small", 4, memory_mb=100.0, cpu=0.1)
    shares = share([big, small], Room(cores=64, memory_mb=5000))
    assert shares == {("big", "1"): Grant(4, "memory"), ("small", "1"): Grant(4)}
    assert share([claim("a", 9)], Room(cores=4, memory_mb=5000)) == {("a", "1"): Grant(4, "cores")}
    assert granted(big, small, cores=None, memory_mb=None) == {"big": 20, "small": 4}


def test_what_one_takes_most_of_is_what_it_is_compared_by() -> None:
    """One that takes cores and one that takes memory both get half of what they want: neither is in the other's way."""
    assert granted(
        claim("thinks", 8, cpu=1.0, memory_mb=10.0),
        claim("holds", 8, cpu=0.01, memory_mb=1000.0),
        cores=4,
        memory_mb=4100,
    ) == {"thinks": 3, "holds": 4}


def test_a_replica_that_runs_is_not_stopped_for_a_figure_that_wavers() -> None:
    runs = claim("a", 4, memory_mb=1000.0, there=4)
    assert granted(runs, cores=64, memory_mb=4000) == {"a": 4}
    assert granted(runs, cores=64, memory_mb=4000 * HELD) == {"a": 4}
    assert granted(runs, cores=64, memory_mb=3000) == {"a": 3}
    assert granted(claim("a", 4, memory_mb=1000.0, there=3), cores=64, memory_mb=3650) == {"a": 3}


def test_without_any_memory_left_everybody_with_work_has_one() -> None:
    assert granted(claim("a", 3, memory_mb=500.0), claim("b", 3, least=2), cores=64, memory_mb=-100) == {"a": 1, "b": 3}


claims = st.lists(
    st.builds(
        Claim,
        key=st.tuples(st.text(st.characters(codec="ascii"), max_size=3), st.just("1")),
        wanted=st.integers(0, 30),
        least=st.integers(0, 3),
        there=st.integers(0, 30),
        cpu=st.sampled_from([0.1, 0.5, 1.0, 2.0]),
        memory_mb=st.sampled_from([0.0, 10.0, 512.0]),
        weight=st.floats(0.1, 10),
        debt=st.floats(0, 1),
    ),
    max_size=8,
    unique_by=lambda one: one.key,
)


memories = st.none() | st.floats(-1000, 20_000)


@given(claims, st.floats(0, 40), memories)
def test_never_more_than_wanted_nor_than_there_is_beyond_what_is_promised(
    asked: list[Claim], cores: float, memory_mb: float | None
) -> None:
    shares = share(asked, Room(cores=cores, memory_mb=memory_mb))

    promised, promised_mb = 0.0, 0.0
    for one in asked:
        floor, grant = min(one.wanted, max(1, one.least)), shares[one.key]
        assert floor <= grant.replicas <= one.wanted
        assert bool(grant.short) == (grant.replicas < one.wanted)
        promised += floor * one.cpu
        promised_mb += one.held_mb(floor)
    assert sum(shares[one.key].replicas * one.cpu for one in asked) <= max(cores, promised) + 1e-6
    if memory_mb is not None:
        assert sum(one.held_mb(shares[one.key].replicas) for one in asked) <= max(memory_mb, promised_mb) + 1e-6


@given(claims, st.floats(0, 40), memories, st.data())
def test_more_weight_never_brings_less(
    asked: list[Claim], cores: float, memory_mb: float | None, data: st.DataObject
) -> None:
    if not asked:
        return
    room, one = Room(cores=cores, memory_mb=memory_mb), data.draw(st.sampled_from(asked))
    same = [replace(each, cpu=0.5, memory_mb=100.0, there=0) for each in asked]
    heavier = [replace(each, weight=4 * each.weight) if each.key == one.key else each for each in same]

    assert share(heavier, room)[one.key].replicas >= share(same, room)[one.key].replicas


@given(claims, st.floats(0, 40), st.floats(0, 40))
def test_where_memory_is_no_matter_it_changes_nothing(asked: list[Claim], cores: float, more: float) -> None:
    plenty = sum(one.wanted * one.memory_mb for one in asked) + more
    without = [replace(one, memory_mb=0.0) for one in asked]
    assert {key: grant.replicas for key, grant in share(without, Room(cores=cores, memory_mb=plenty)).items()} == {
        key: grant.replicas for key, grant in share(without, Room(cores=cores)).items()
    }
