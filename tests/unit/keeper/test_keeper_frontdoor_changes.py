"""What of the front door's files is made anew when something changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.clock import SystemClock
from fairlead.gateway import DoorFiles, DoorSettings, DoorStats, Snapshot
from fairlead.gateway.assignments import Sockets
from fairlead.keeper.doors.frontdoor import FrontDoor
from fairlead.messages import EnvironmentSpec, ModelRoute, ModelSpec, NodeWanted, Target, VersionWanted

DOOR = DoorSettings(
    listen="127.0.0.1:1",
    url="http://127.0.0.1:1",
    apps_domain="apps.localhost",
    control_socket="/run/c",
    waker_socket="/run/w",
    admin_socket="/run/a",
)


def wanted(generation: int, *models: str) -> NodeWanted:
    return NodeWanted(
        "local",
        generation,
        versions=tuple(
            VersionWanted(ModelSpec(name, "1", "python"), "sha256:0", "key", EnvironmentSpec(), f"gate of {name}")
            for name in models
        ),
        routes=tuple(
            ModelRoute(
                model=name, visibility="team", owner="ada", targets={"production": (Target("1"),)}, versions=("1",)
            )
            for name in models
        ),
    )


class Taking:
    """A gateway that takes all, or says what it is told to."""

    def __init__(self) -> None:
        self.files, self.said = DoorFiles(Path("/run")), ""
        self.published: list[Snapshot] = []

    async def publish(self, new: Snapshot) -> str:
        self.published.append(new)
        return self.said

    async def stats(self) -> DoorStats:
        return DoorStats()


class Watched:
    """A front door with what it told of sockets."""

    def __init__(self) -> None:
        self.gateway, self.endpoints = Taking(), dict[str, tuple[str, ...]]()
        self.told: list[set[str]] = []
        self.door = FrontDoor(
            self.gateway,  # type: ignore[arg-type]
            DOOR,
            lambda: "{}",
            lambda: dict(self.endpoints),
            dict,
            lambda: "",
            frozenset,
            lambda _, sockets: self.told.append(set(sockets)),
            SystemClock(),
        )


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_nothing_is_made_where_nothing_changed_and_what_is_held_is_told_all_the_same(watched: Watched) -> None:
    watched.endpoints["a@1"] = ("/run/1",)
    await watched.door.publish(wanted(1, "a"))
    await watched.door.publish(wanted(2, "a"))
    assert len(watched.gateway.published) == 1
    assert watched.told == [{"/run/1"}, {"/run/1"}]
    assert watched.door.generation == 2


async def test_a_model_that_wakes_leaves_all_files_alone(watched: Watched) -> None:
    await watched.door.publish(wanted(1, "a", "b"))
    watched.endpoints["a@1"] = ("/run/1",)
    await watched.door.publish(wanted(1, "a", "b"))
    first, second = watched.gateway.published
    assert first.routes is not None
    assert first.clusters is not None
    assert (second.routes, second.clusters) == (None, None)
    assert second.endpoints["a@1"] == Sockets(("/run/1",))


async def test_a_new_model_and_another_gate_change_the_routes(watched: Watched) -> None:
    await watched.door.publish(wanted(1, "a"))
    await watched.door.publish(wanted(2, "a", "b"))
    assert watched.gateway.published[-1].routes is not None


@pytest.mark.parametrize("how", ["refused", "restarted"])
async def test_where_it_is_not_known_what_envoy_holds_all_is_said_again(watched: Watched, how: str) -> None:
    await watched.door.publish(wanted(1, "a"))
    if how == "restarted":
        watched.door.restarted()
    else:
        watched.endpoints["a@1"] = ("/run/1",)
        watched.gateway.said = "clusters: refused"
        await watched.door.publish(wanted(1, "a"))
        assert watched.told == [set()]
        watched.gateway.said = ""
    await watched.door.publish(wanted(1, "a"))
    assert watched.gateway.published[-1].routes is not None
    assert len(watched.told) == 2
