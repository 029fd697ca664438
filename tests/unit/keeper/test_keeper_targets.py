"""Which version a call of a run goes to."""

from __future__ import annotations

import pytest

from fairlead.errors import NotFound
from fairlead.keeper.serving.targets import Targets, choose
from fairlead.messages import ModelRoute, Target

FACES = ModelRoute("faces", "team", "ada", {"production": (Target("4"),)}, versions=("4",), gone=("3",))
SECRET = ModelRoute("secret", "private", "ada", {"production": (Target("1"),)}, versions=("1",))
TARGETS = Targets((FACES, SECRET))


@pytest.mark.parametrize(
    ("ref", "user", "found"),
    [
        ("faces@production", "zoe", ("faces", "4")),
        ("faces@4", "zoe", ("faces", "4")),
        ("faces", "zoe", ("faces", "4")),
        ("secret", "ada", ("secret", "1")),
    ],
)
def test_where_a_call_goes(ref: str, user: str, found: tuple[str, str]) -> None:
    assert TARGETS.target(ref, user) == found


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("secret", "no_such_model"),
        ("ghosts", "no_such_model"),
        ("faces@3", "version_gone"),
        ("faces@staging", "version_not_found"),
    ],
)
def test_what_is_not_there_for_others(ref: str, code: str) -> None:
    with pytest.raises(NotFound) as refused:
        TARGETS.target(ref, "zoe")
    assert refused.value.code == code


@pytest.mark.parametrize(("chance", "version"), [(0.0, "1"), (0.09, "1"), (0.1, "2"), (0.99, "2")])
def test_weights_share_calls(chance: float, version: str) -> None:
    shared = ModelRoute("m", "team", "ada", {"production": (Target("1", 10), Target("2", 90))}, versions=("1", "2"))
    assert choose(shared, "production", chance) == version
