"""Files that a real Envoy refuses: what it took last holds, now and when it starts again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from tests.process.test_front_door import House, build, model

from fairlead.gateway import DoorState
from fairlead.messages import ExtraRoute, PageRoute

REFUSED: dict[str, Any] = {
    "pages": (PageRoute(name="night", run="run-1", visibility="team", owner="ada"),),
    "page_endpoints": {"run-1": "/" + "x" * 200},
}
"""A page that no socket can have."""


@pytest.fixture
def moving() -> Iterator[House]:
    with ExitStack() as stack:
        yield build(stack)


def test_files_that_envoy_refuses_leave_the_last_good_ones(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    said = moving.publish(**REFUSED)
    assert "clusters" in said
    assert "exceeds maximum UNIX domain socket path" in said
    assert "clusters" in moving.publish(), "what it has refused is not in force because it lies there"
    assert moving.predict("flowers", moving.token()).status == 200
    assert moving.publish(pages=()) == ""


@pytest.mark.parametrize("is_new", [False, True], ids=["the-keeper-lives", "the-keeper-begins-anew"])
def test_envoy_that_dies_while_a_file_is_refused_starts_from_the_last_that_it_took(moving: House, is_new: bool) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    gateway = moving.gateway()
    assert moving.publish(gateway) == ""
    assert "clusters" in moving.publish(gateway, **REFUSED)
    moving.kill()

    if is_new:
        moving.start()
    else:
        moving.run(gateway)

    assert moving.predict("flowers", moving.token()).status == 200
    assert "clusters" in moving.publish(gateway), "it is still refused"
    assert moving.predict("flowers", moving.token()).status == 200
    assert moving.publish(gateway, pages=()) == ""
    moving.kill()
    moving.run(gateway)
    assert moving.predict("flowers", moving.token()).status == 200


def test_a_file_that_was_written_while_envoy_was_away_and_is_refused_gives_way_to_the_last_good_one(
    moving: House,
) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    gateway = moving.gateway()
    assert moving.publish(gateway) == ""
    moving.kill()
    assert moving.publish(gateway, **REFUSED) == "", "nobody is there to refuse it"
    moving.run(gateway)

    assert "clusters" in moving.publish(gateway)

    assert moving.predict("flowers", moving.token()).status == 200


def test_clusters_that_leave_stay_while_the_routes_to_them_do(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    bad = model("roses", extra=(ExtraRoute("/roses", ("GET",), "predict", produces="no\nheader"),))
    assert "routes" in moving.publish(routes=(bad,), endpoints={"roses@1": (one,)})
    assert moving.predict("flowers", moving.token()).status == 200
    assert moving.publish(routes=(model("roses"),)) == ""
    assert moving.predict("roses", moving.token()).status == 200
    assert moving.predict("flowers", moving.token()).status == 404


def test_a_socket_that_envoy_would_end_over_is_not_told(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()

    said = moving.publish(endpoints={"flowers@1": ("/" + "x" * 200,)})

    assert "exceeds maximum UNIX domain socket path" in said
    assert moving.envoy is not None
    assert moving.envoy.poll() is None
    assert moving.predict("flowers", moving.token()).status == 200
    assert moving.publish(endpoints={"flowers@1": (one,)}) == ""


def test_what_was_counted_survives_another_number_of_replicas(moving: House) -> None:
    one, two = moving.echo("one"), moving.echo("two")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    for _ in range(5):
        assert moving.predict("flowers", moving.token()).status == 200

    assert moving.publish(endpoints={"flowers@1": (one, two)}) == ""
    assert moving.publish(endpoints={"flowers@1": (one,)}) == ""

    assert moving.predict("flowers", moving.token()).status == 200
    assert asked(moving, one) == 6, "a cluster that is made anew counts anew"


def test_a_keeper_that_begins_anew_says_what_was_told_last(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),))
    moving.start()
    assert moving.publish(endpoints={"flowers@1": (one,)}) == ""
    moving.kill()
    moving.told, moving.state = None, DoorState(jwks=moving.keys.jwks())

    moving.start()

    assert moving.predict("flowers", moving.token()).status == 200


def asked(house: House, replica: str) -> int:
    """How often Envoy says that it asked ``replica`` of flowers@1."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=house.door.admin_socket), timeout=30) as admin:
        found = admin.get("http://envoy/clusters", params={"format": "json"}).json()["cluster_statuses"]
    hosts = [host for one in found if one["name"] == "flowers@1" for host in one["host_statuses"]]
    (stats,) = [host["stats"] for host in hosts if host["address"]["pipe"]["path"] == replica]
    return sum(int(stat.get("value", 0)) for stat in stats if stat["name"] == "rq_total")
