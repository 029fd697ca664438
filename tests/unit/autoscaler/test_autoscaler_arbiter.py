"""Who gets the cores: what is promised first, the rest by weight and by what objectives miss."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.autoscaler.arbiter import Claim, share


def claim(name: str, wanted: int, **more: float) -> Claim:
    return Claim(key=(name, "1"), wanted=wanted, **({"cpu": 1.0} | more))  # type: ignore[arg-type]


def granted(*claims: Claim, cores: float | None) -> dict[str, int]:
    return {key[0]: count for key, count in share(claims, cores).items()}


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


claims = st.lists(
    st.builds(
        Claim,
        key=st.tuples(st.text(st.characters(codec="ascii"), max_size=3), st.just("1")),
        wanted=st.integers(0, 30),
        least=st.integers(0, 3),
        cpu=st.sampled_from([0.1, 0.5, 1.0, 2.0]),
        weight=st.floats(0.1, 10),
        debt=st.floats(0, 1),
    ),
    max_size=8,
    unique_by=lambda one: one.key,
)


@given(claims, st.floats(0, 40))
def test_never_more_than_wanted_nor_than_there_is_beyond_what_is_promised(asked: list[Claim], cores: float) -> None:
    shares = share(asked, cores)

    promised = 0.0
    for one in asked:
        floor = min(one.wanted, max(1, one.least))
        assert floor <= shares[one.key] <= one.wanted
        promised += floor * one.cpu
    assert sum(shares[one.key] * one.cpu for one in asked) <= max(cores, promised) + 1e-6
