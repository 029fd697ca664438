"""Names and small shapes that all Envoy resources share. Source of every field: Envoy 1.40, api/envoy v3 protos."""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]
"""One Envoy message as JSON; only this room builds them."""

LISTENER = "door"
ROUTES = "door"
CLAIM_USER = "x-fairlead-user"
CLAIM_ROLE = "x-fairlead-role"
CLAIM_TOKEN = "x-fairlead-token"  # noqa: S105 - the name of a header
CLAIM_AUDIENCE = "x-fairlead-audience"
CLAIM_EXPIRES = "x-fairlead-expires"
PAGE = "x-fairlead-page"
"""The run whose page is asked for."""
GATE = "x-fairlead-gate"
MODEL = "x-fairlead-model"
METADATA = "fairlead"
"""Where a cluster has what is added to each request to it, by the names of the headers."""
AGAIN = "x-fairlead-again"
"""With it a replica says that it did not begin and another shall answer."""

_TYPE = "type.googleapis.com/"


def typed(kind: str, /, **fields: Any) -> Resource:
    """Return an ``Any`` of message ``kind``, given without the common prefix of type URLs."""
    return {"@type": f"{_TYPE}{kind}", **fields}


def extension(name: str, kind: str, /, **fields: Any) -> Resource:
    """Return a ``TypedExtensionConfig``."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def address(endpoint: str) -> Resource:
    """Return the address of a Unix socket (an absolute path) or of ``host:port``."""
    if endpoint.startswith("/"):
        return {"pipe": {"path": endpoint}}
    host, _, port = endpoint.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def seconds(value: float) -> str:
    """Return a protobuf duration."""
    return f"{value:.3f}s"


def header(name: str, value: str) -> Resource:
    """Return a header to add, replacing any of the same name."""
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
