"""Devices and types in the words of the Web of Things: Thing Descriptions and Thing Models. Pure.

W3C WoT Thing Description 1.1 (https://www.w3.org/TR/wot-thing-description11/): §5.3.1 what a Thing, its properties and
events have, §5.3.2 data schemas, §5.3.3 security, §5.3.4 forms, §9 Thing Models.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from fairlead.clock import to_text
from fairlead.devices.types import DeviceType, Property

CONTEXT = "https://www.w3.org/2022/wot/td/v1.1"
TD_MEDIA = "application/td+json"
TM_MEDIA = "application/tm+json"
_TEXT = ("title", "description")
Json = dict[str, Any]


class Thing(msgspec.Struct, frozen=True):
    """What a Thing Description tells of a device beside its type."""

    device: str
    title: str
    at: str
    created: datetime
    url: str
    """The platform's, without a slash at the end."""


def thing_model(kind: DeviceType, url: str) -> Json:
    """Return the Thing Model of a type; ``url`` is the platform's."""
    found: Json = {
        "@context": CONTEXT,
        "@type": "tm:ThingModel",
        "id": f"{url}/api/v1/types/{kind.name}@{kind.version}",
        "title": kind.title or kind.name,
        **_described(kind),
        "version": {"model": kind.version},
    }
    if kind.properties:
        found["properties"] = {name: _property(name, prop) for name, prop in kind.properties.items()}
    if kind.events:
        found["events"] = {name: _event(name, prop) for name, prop in kind.events.items()}
    return found


def thing_description(thing: Thing, kind: DeviceType) -> Json:
    """Return the Thing Description of a device of ``kind``: its properties and events, each with its forms."""
    self = f"{thing.url}/api/v1/devices/{thing.device}"
    found: Json = {
        "@context": CONTEXT,
        "id": self,
        "title": thing.title or thing.device,
        **_described(kind),
        "version": {"instance": kind.version, "model": kind.version},
        "created": to_text(thing.created.replace(microsecond=0)),
        "base": f"{self}/",
        "links": [
            {"rel": "type", "href": f"{thing.url}/api/v1/types/{kind.name}@{kind.version}/td", "type": TM_MEDIA},
            {"rel": "collection", "href": f"{thing.url}/api/v1/locations/{thing.at}", "type": "application/json"},
        ],
        "securityDefinitions": {"token": {"scheme": "bearer", "in": "header", "format": "jwt", "alg": "EdDSA"}},
        "security": ["token"],
    }
    if kind.properties:
        found["properties"] = {
            name: {**_property(name, prop), "forms": _forms(name, prop)} for name, prop in kind.properties.items()
        }
    if kind.events:
        found["events"] = {
            name: {**_event(name, prop), "forms": [_stream(name, "subscribeevent", "unsubscribeevent")]}
            for name, prop in kind.events.items()
        }
    return found


def _described(kind: DeviceType) -> Json:
    return {"description": kind.description} if kind.description else {}


def _property(name: str, prop: Property) -> Json:
    return {
        "title": name.replace("_", " "),
        **prop.schema,
        "readOnly": not prop.writable,
        "writeOnly": not prop.readable,
        "observable": prop.readable and prop.media is None,
    }


def _event(name: str, prop: Property) -> Json:
    texts = {key: value for key, value in prop.schema.items() if key in _TEXT}
    data = {key: value for key, value in prop.schema.items() if key not in _TEXT}
    return {"title": name.replace("_", " "), **texts, "data": data}


def _forms(name: str, prop: Property) -> list[Json]:
    kind = prop.media or "application/json"
    forms: list[Json] = []
    if prop.readable:
        forms.append({"op": ["readproperty"], "href": f"properties/{name}", "contentType": kind, **_method("GET")})
        if prop.media is None:
            forms.append(_stream(name, "observeproperty", "unobserveproperty"))
    if prop.writable:
        forms.append({"op": ["writeproperty"], "href": f"properties/{name}", "contentType": kind, **_method("PUT")})
    return forms


def _stream(name: str, *op: str) -> Json:
    return {
        "op": list(op),
        "href": f"properties/{name}/events",
        "contentType": "text/event-stream",
        "subprotocol": "sse",
        **_method("GET"),
    }


def _method(name: str) -> Mapping[str, str]:
    return {"htv:methodName": name}
