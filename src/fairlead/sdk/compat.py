"""Blocking functions for scripts: devices and models by the position of their role in the manifest, from 0.

They speak the run's channel, so they work in any process of a run. Everything raises :class:`fairlead.Error`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.errors import Invalid, NotFound, Unavailable
from fairlead.sdk.calls import encode_json, media
from fairlead.sdk.channel import Channel, model_call
from fairlead.sdk.files import File, Image
from fairlead.sdk.wire import Binding, CommandStates, MailBody, Measure, Measures, SendBody

_POLL_S = 0.1
_IMAGES_TIMEOUT_S = 60.0

__all__ = [
    "get_prediction",
    "get_prediction_using_image",
    "get_sensor_data",
    "get_sensor_image",
    "get_stream_image",
    "send_controller_data",
    "send_email_notification",
]


def get_sensor_data(i: int) -> Any:
    """Return the last value of the first readable property of role ``i``."""
    channel = Channel()
    role, binding = _role(channel, i)
    names = [name for name, schema in binding.properties.items() if schema.get("access", "r") != "w"]
    return _value(_last(channel, role, names[0] if names else "value"))


def get_sensor_image(i: int) -> Image:
    """Return the last picture of role ``i``."""
    channel = Channel()
    role, binding = _role(channel, i)
    return _image(_last(channel, role, _picture_of(role, binding)))


def get_stream_image(i: int, n: int) -> list[Image]:
    """Return the next ``n`` pictures of role ``i``, the last one first among them; raises after a minute of waiting."""
    channel = Channel()
    role, binding = _role(channel, i)
    name, seen = _picture_of(role, binding), ""
    found: list[Image] = []
    deadline = time.monotonic() + _IMAGES_TIMEOUT_S
    while len(found) < n:
        measure = _last(channel, role, name)
        if measure.at != seen:
            seen = measure.at
            found.append(_image(measure))
        elif time.monotonic() > deadline:
            raise Unavailable(
                f"{role}.{name}: {len(found)} of {n} pictures came within {_IMAGES_TIMEOUT_S:g} s",
                code="timed_out",
                hint="ask for fewer",
            )
        else:
            time.sleep(_POLL_S)
    return found


def send_controller_data(i: int, *args: Any) -> bool:
    """Set the writable properties of role ``i`` in the order of its type; return whether every device did it."""
    channel = Channel()
    role, binding = _role(channel, i)
    names = [name for name, schema in binding.properties.items() if "w" in schema.get("access", "r")]
    if not 0 < len(args) <= len(names):
        raise Invalid(
            f"role {role} takes 1 to {len(names)} values, not {len(args)}",
            code="invalid_input",
            hint=f"in this order: {', '.join(names) or 'none'}",
        )
    body = SendBody(set=dict(zip(names, args, strict=False)))
    answer = channel.call_blocking("POST", f"/devices/{role}", content=encode_json(body))
    states = msgspec.json.decode(answer.content, type=CommandStates).items
    return bool(states) and all(state.status in ("applied", "observed") for state in states)


def get_prediction(i: int, json: Mapping[str, Any]) -> Any:
    """Return the answer of the model of role ``i`` to one row."""
    return model_call(_model(i), json)


def get_prediction_using_image(i: int, image: Any) -> Any:
    """Return the answer of the model of role ``i`` to a picture: an Image, an array, a PIL image, bytes or a path."""
    return model_call(_model(i), [image if isinstance(image, File) else Image(image)])


def send_email_notification(email: str, subject: str, body: str) -> None:
    """Send a mail."""
    mail = MailBody(subject, body, (email,))
    Channel().call_blocking("POST", "/mail", content=msgspec.json.encode(mail))


def _role(channel: Channel, i: int) -> tuple[str, Binding]:
    bindings = list(channel.welcome.bindings.items())
    if not 0 <= i < len(bindings):
        raise NotFound(
            f"there is no device {i}", code="role_unknown", hint=f"[devices] has {len(bindings)}, counted from 0"
        )
    return bindings[i]


def _model(i: int) -> str:
    roles = list(Channel().welcome.models)
    if not 0 <= i < len(roles):
        raise NotFound(f"there is no model {i}", code="role_unknown", hint=f"[models] has {len(roles)}, counted from 0")
    return roles[i]


def _picture_of(role: str, binding: Binding) -> str:
    for name, schema in binding.properties.items():
        if str(schema.get("contentMediaType", "")).startswith("image/"):
            return name
    raise NotFound(f"role {role} ({binding.type}) has no pictures", code="property_unknown", hint="see its type")


def _last(channel: Channel, role: str, name: str) -> Measure:
    """Return the last reading; where there is none yet the device is asked, and waited for a few seconds."""
    for params in ({}, {"max_age_s": 0}):
        answer = channel.call_blocking("GET", f"/devices/{role}/{name}", params=params)
        if measures := msgspec.json.decode(answer.content, type=Measures).items:
            return measures[0]
    raise NotFound(f"{role}.{name} has no reading yet", code="no_reading", hint="is the device online?")


def _value(measure: Measure) -> Any:
    return media(measure.media, measure.content_type) if measure.content_type else measure.value


def _image(measure: Measure) -> Image:
    return Image(measure.media, media_type=measure.content_type or None)
