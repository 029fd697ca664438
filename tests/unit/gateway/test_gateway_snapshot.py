"""The front door's files, as values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.gateway import DoorFiles, DoorSettings, DoorState, snapshot
from fairlead.gateway.assignments import Sockets, sockets
from fairlead.gateway.refusals import LINES
from fairlead.gateway.snapshot import bootstrap, document
from fairlead.messages import ModelRoute, PageRoute, Target

DOOR = DoorSettings(
    listen="127.0.0.1:8080",
    url="http://127.0.0.1:8080",
    apps_domain="apps.localhost",
    control_socket="/run/control.sock",
    waker_socket="/run/waker.sock",
    admin_socket="/run/envoy.sock",
)
FILES = DoorFiles(Path("/home/envoy"))
STATE = DoorState(
    jwks='{"keys": []}',
    routes=(
        ModelRoute(
            model="flowers",
            visibility="private",
            owner="ada",
            targets={"production": (Target("1", 90), Target("2", 10))},
            versions=("1", "2"),
            timeout_s=9,
        ),
    ),
    pages=(PageRoute(name="night", run="run-1", visibility="team", owner="ada"),),
    endpoints={"flowers@1": ("/run/b.sock", "/run/a.sock"), "other@1": ("/run/c.sock",)},
    gates={"flowers@1": "secret-1", "flowers@2": "secret-2"},
    page_endpoints={"run-1": "127.0.0.1:7000"},
    denied={"tok-old": 100.0, "tok-new": 300.0},
)


def made(state: DoorState = STATE, door: DoorSettings = DOOR) -> dict[str, Any]:
    parts = snapshot(door, state, FILES, now=200)
    return {
        name: json.loads(document(getattr(parts, name)))["resources"]
        for name in ("listeners", "routes", "clusters", "denied")
    }


def walk(value: Any, key: str) -> list[Any]:
    """Every value under ``key`` somewhere in ``value``."""
    if isinstance(value, list):
        return [found for item in value for found in walk(item, key)]
    if not isinstance(value, dict):
        return []
    own = [value[key]] if key in value else []
    return own + [found for item in value.values() for found in walk(item, key)]


def test_the_same_state_gives_the_same_bytes() -> None:
    shuffled = msgspec.structs.replace(STATE, endpoints=dict(reversed(list(STATE.endpoints.items()))))
    assert made() == made(shuffled)


def test_a_version_leads_to_its_replicas_and_its_cluster_to_none() -> None:
    clusters = {cluster["name"]: cluster for cluster in made()["clusters"]}
    assert set(clusters) == {"control", "flowers@1", "flowers@2", "page/run-1"}
    assert clusters["flowers@1"]["type"] == "EDS"
    assert sockets(STATE) == {"flowers@1": Sockets(("/run/a.sock", "/run/b.sock")), "flowers@2": Sockets()}
    assert walk(clusters["page/run-1"], "port_value") == [7000]
    awake = msgspec.structs.replace(
        STATE, endpoints={"flowers@2": ("/run/c.sock",)}, ejected=frozenset({"/run/c.sock"})
    )
    assert made(awake)["clusters"] == made()["clusters"]


def test_f09_an_ejected_replica_is_told_apart_and_the_last_one_is_not() -> None:
    ejected = msgspec.structs.replace(STATE, ejected=frozenset({"/run/b.sock"}))
    assert sockets(ejected)["flowers@1"] == Sockets(("/run/a.sock",), ("/run/b.sock",))
    both = msgspec.structs.replace(STATE, ejected=frozenset({"/run/a.sock", "/run/b.sock"}))
    assert sockets(both) == sockets(STATE)


def test_the_defaults_that_drop_requests_are_not_the_defaults() -> None:
    for cluster in made()["clusters"]:
        assert cluster["circuit_breakers"]["thresholds"][0]["max_retries"] == 10_000
    flowers = next(cluster for cluster in made()["clusters"] if cluster["name"] == "flowers@1")
    assert flowers["outlier_detection"]["max_ejection_percent"] == 100
    assert made()["listeners"][0]["tcp_backlog_size"] == 4096


def test_each_version_carries_its_own_gate() -> None:
    shares = walk(made()["routes"], "weighted_clusters")[0]["clusters"]
    assert [(share["name"], share["weight"]) for share in shares] == [("flowers@1", 90), ("flowers@2", 10)]
    clusters = {cluster["name"]: cluster for cluster in made()["clusters"]}
    carried = [walk(clusters[name], "fairlead") for name in ("flowers@1", "flowers@2", "control")]
    assert carried == [
        [{"x-fairlead-model": "flowers@1", "x-fairlead-gate": "secret-1"}],
        [{"x-fairlead-model": "flowers@2", "x-fairlead-gate": "secret-2"}],
        [],
    ]


@pytest.mark.parametrize("visibility", ["team", "private", "public"])
def test_a_model_takes_few_bytes_in_all_files_together(visibility: str) -> None:
    def size(count: int) -> int:
        names = [f"copy-{number:04d}" for number in range(count)]
        routes = tuple(
            ModelRoute(
                model=name,
                visibility=visibility,
                owner="ada",
                targets={"production": (Target("1"),)},
                versions=("1",),
            )
            for name in names
        )
        state = msgspec.structs.replace(STATE, routes=routes, gates={f"{name}@1": "k" * 43 for name in names})
        parts = snapshot(DOOR, state, FILES, now=200)
        return sum(len(document(part)) for part in (parts.routes, parts.clusters) if part is not None)

    assert (size(11) - size(1)) / 10 < {"team": 6_000, "private": 7_500, "public": 9_500}[visibility]


def test_every_route_says_who_may() -> None:
    for host in made()["routes"][0]["virtual_hosts"]:
        of_host = host.get("typed_per_filter_config", {})
        routes = [route for routes in walk(host, "routes") for route in routes]
        assert routes
        for route in routes:
            config = of_host | route["typed_per_filter_config"]
            assert set(config) >= {"jwt", "roles"}, (host["name"], route["match"])
            assert config["jwt"]["requirement_name"]
        assert "roles" not in of_host, "what a route forgets to say is nobody's"


def test_only_tokens_that_still_count_stand_in_the_deny_list() -> None:
    (found,) = walk(made()["denied"], "exact_match_map")
    assert set(found["map"]) == {"tok-new"}
    (nobody,) = walk(made(msgspec.structs.replace(STATE, denied={}))["denied"], "exact_match_map")
    assert set(nobody["map"]) == {"none"}


def test_a_host_is_named_once_whoever_claims_it() -> None:
    twice = (*STATE.pages, PageRoute(name="night", run="run-2", visibility="team", owner="eve"))
    hosts = made(msgspec.structs.replace(STATE, pages=twice))["routes"][0]["virtual_hosts"]
    domains = [domain for host in hosts for domain in host["domains"]]
    assert len(domains) == len(set(domains))
    assert "run-2.apps.localhost" in domains


def test_tls_comes_with_a_certificate() -> None:
    assert walk(made()["listeners"], "transport_socket") == []
    door = msgspec.structs.replace(DOOR, cert="/c.pem", key="/k.pem")
    assert walk(made(door=door)["listeners"], "alpn_protocols") == [["h2", "http/1.1"]]


def test_the_admin_interface_is_a_private_socket() -> None:
    admin = bootstrap(DOOR, FILES)["admin"]["address"]
    assert admin == {"pipe": {"path": "/run/envoy.sock", "mode": 0o600}}


def test_watched_files_have_folders_of_their_own() -> None:
    folders = {file.parent for file in (FILES.listeners, FILES.routes, FILES.clusters, FILES.denied)}
    assert len(folders) == 4
    assert FILES.bootstrap.parent not in folders


def test_refusals_have_codes_and_say_what() -> None:
    for line in LINES:
        assert line.code
        assert line.message
        assert 400 <= line.status < 600
    assert all(line.retry_after_s for line in LINES if line.status in (429, 503))


def test_who_goes_away_in_the_middle_of_a_long_body_is_told_as_unavailable() -> None:
    """Envoy says 507 then: the body was too long for it to be sent once more."""
    told = [line.code for line in LINES if "response.code == 507" in line.rule]

    assert told == ["replica_lost", "control_unavailable"]
