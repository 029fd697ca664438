"""Which simulation counts where places lie in one another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from fairlead.devices import registry, simulations
from fairlead.errors import Invalid
from fairlead.messages import BodyWanted
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CAMERA = """
name = "camera"
version = "1.0.0"
[properties.image]
type = "string"
contentMediaType = "image/jpeg"
"""


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        registry.add_type(session, CAMERA, NOON, by="root")
        registry.add_location(session, "campus/lab", NOON, by="root")
        registry.add_device(session, "c-1", NOON, by="root", type="camera", at="campus/lab")
        yield session


def simulate(session: Session, at: str, fault: str | None = None, **more: object) -> None:
    faults = {} if fault is None else {"c-1": fault}
    simulations.start(session, at, NOON, by="root", faults=faults, **more)  # type: ignore[arg-type]


def body(session: Session) -> BodyWanted:
    (found,) = simulations.wanted(session).bodies
    return found


@pytest.mark.parametrize("order", [("campus", "campus/lab"), ("campus/lab", "campus")], ids=["outer", "inner"])
def test_the_nearest_that_names_a_device_decides_its_fault_and_what_it_shows(
    session: Session, order: tuple[str, str]
) -> None:
    said = {"campus": ("stuck", "simulated/a.jpg"), "campus/lab": ("offline", "simulated/b.jpg")}
    for at in order:
        fault, key = said[at]
        simulate(session, at, fault, media={"c-1": (key,)})

    assert (body(session).fault, body(session).media) == ("offline", ("simulated/b.jpg",))


def test_one_that_does_not_name_it_leaves_what_is_said_above(session: Session) -> None:
    simulate(session, "campus", "stuck", media={"c-1": ("simulated/a.jpg",)})
    simulate(session, "campus/lab", speed=60)

    assert (body(session).speed, body(session).fault, body(session).media) == (60, "stuck", ("simulated/a.jpg",))


def test_a_device_keeps_its_pictures_where_one_says_so_and_loses_them_where_it_is_left_out(session: Session) -> None:
    simulate(session, "campus", media={"c-1": ("simulated/a.jpg",)})
    simulate(session, "campus", media={"c-1": None, "gone": None})
    assert body(session).media == ("simulated/a.jpg",)

    simulate(session, "campus", media={})
    assert body(session).media == ()


def test_none_takes_a_fault_away_that_is_said_above(session: Session) -> None:
    simulate(session, "campus", "stuck")
    simulate(session, "campus/lab", "none")

    assert body(session).fault == ""
    with pytest.raises(Invalid, match="no fault"):
        simulate(session, "campus/lab", "tired")
