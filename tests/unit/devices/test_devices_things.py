"""Things of the Web of Things: all shipped types against the W3C's own schemas of TD 1.1, and what the forms say."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from sdf_wot_converter.validation import td_validator, tm_validator

from fairlead.devices import builtins, things
from fairlead.devices.things import Thing
from fairlead.devices.types import DeviceType

URL = "https://house:8443"
THING = Thing("x-1", "In the corner", "campus/lab", datetime(2026, 11, 20, 14, 3, tzinfo=UTC), URL)
SHIPPED = {kind.name: kind for _, kind in builtins.all_types()}


def faults(validator: Any, document: things.Json) -> list[str]:
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(document)]


@pytest.fixture(params=sorted(SHIPPED))
def kind(request: pytest.FixtureRequest) -> DeviceType:
    return SHIPPED[request.param]


def test_shipped_types_are_thing_models(kind: DeviceType) -> None:
    assert faults(tm_validator, things.thing_model(kind, URL)) == []


def test_devices_of_shipped_types_are_things(kind: DeviceType) -> None:
    assert faults(td_validator, things.thing_description(THING, kind)) == []


def test_the_schemas_find_what_is_wrong() -> None:
    good = things.thing_description(THING, SHIPPED["fan"])
    for spoil in ("title", "security", "securityDefinitions", "@context"):
        bad = copy.deepcopy(good)
        del bad[spoil]
        assert faults(td_validator, bad), spoil
    bad = copy.deepcopy(good)
    del bad["properties"]["on"]["forms"][0]["href"]
    assert faults(td_validator, bad)
    assert faults(tm_validator, {**things.thing_model(SHIPPED["fan"], URL), "@type": "Thing"})


def test_a_property_has_the_forms_that_its_access_allows(kind: DeviceType) -> None:
    told = things.thing_description(THING, kind)
    for name, prop in kind.properties.items():
        affordance = told["properties"][name]
        operations = {op for form in affordance["forms"] for op in form["op"]}
        assert ("readproperty" in operations, "writeproperty" in operations) == (prop.readable, prop.writable)
        assert ("observeproperty" in operations) is affordance["observable"]
        assert (affordance["readOnly"], affordance["writeOnly"]) == (not prop.writable, not prop.readable)
        for key in ("unit", "minimum", "maximum", "contentMediaType"):
            assert affordance.get(key) == prop.schema.get(key)
    for name in kind.events:
        assert told["events"][name]["forms"][0]["op"] == ["subscribeevent", "unsubscribeevent"]


def test_a_thing_leads_to_its_model() -> None:
    told = things.thing_description(THING, SHIPPED["fan"])
    model = things.thing_model(SHIPPED["fan"], URL)
    link = next(link for link in told["links"] if link["rel"] == "type")
    assert link["href"] == f"{model['id']}/td"
    assert told["version"]["model"] == model["version"]["model"]
