"""Files that a real Envoy refuses: what it took last holds, now and when it starts again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.process.test_front_door import House, build, model

from fairlead.gateway import DoorState


@pytest.fixture
def moving() -> Iterator[House]:
    with ExitStack() as stack:
        yield build(stack)


def test_files_that_envoy_refuses_leave_the_last_good_ones(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    long = "/" + "x" * 200
    said = moving.publish(endpoints={"flowers@1": (long,)})
    assert "clusters" in said
    assert "exceeds maximum UNIX domain socket path" in said
    assert "clusters" in moving.publish(), "what it has refused is not in force because it lies there"
    assert moving.predict("flowers", moving.token()).status == 200
    assert moving.publish(endpoints={"flowers@1": (one,)}) == ""


@pytest.mark.parametrize("is_new", [False, True], ids=["the-keeper-lives", "the-keeper-begins-anew"])
def test_envoy_that_dies_while_a_file_is_refused_starts_from_the_last_that_it_took(moving: House, is_new: bool) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    gateway = moving.gateway()
    assert moving.publish(gateway) == ""
    assert "clusters" in moving.publish(gateway, endpoints={"flowers@1": ("/" + "x" * 200,)})
    moving.kill()

    if is_new:
        moving.start()
    else:
        moving.run(gateway)

    assert moving.predict("flowers", moving.token()).status == 200
    assert "clusters" in moving.publish(gateway), "it is still refused"
    assert moving.predict("flowers", moving.token()).status == 200
    assert moving.publish(gateway, endpoints={"flowers@1": (one,)}) == ""
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
    assert moving.publish(gateway, endpoints={"flowers@1": ("/" + "x" * 200,)}) == "", "nobody is there to refuse it"
    moving.run(gateway)
    assert moving.predict("flowers", moving.token()).status == 503

    assert "clusters" in moving.publish(gateway)

    assert moving.predict("flowers", moving.token()).status == 200


def test_clusters_that_leave_stay_while_the_routes_to_them_do(moving: House) -> None:
    one = moving.echo("one")
    moving.state = DoorState(jwks=moving.keys.jwks(), routes=(model("flowers"),), endpoints={"flowers@1": (one,)})
    moving.start()
    roses = {"routes": (model("roses"),), "endpoints": {"roses@1": (one,)}}
    assert "routes" in moving.publish(**roses, gates={"roses@1": "no\nheader"})
    assert moving.predict("flowers", moving.token()).status == 200
    assert moving.publish(**roses, gates={}) == ""
    assert moving.predict("roses", moving.token()).status == 200
    assert moving.predict("flowers", moving.token()).status == 404
