"""The devices' door: MQTT passed on as bytes to the bus, and only while the bus can tell devices apart.

nats-server refuses for good (CONNACK 5) a device that comes before somebody answers its question who that is. So the
cluster has an endpoint only then; until it has, connections are closed, which MQTT clients take as a reason to try
again (see ``bus.server``).
"""

from __future__ import annotations

from fairlead.gateway.door import DoorSettings
from fairlead.gateway.resources import Resource, address, extension, typed
from fairlead.gateway.tls import terminated

DEVICES = "devices"
"""Name of the listener and of the cluster."""
_BACKLOG = 4096
_BUFFER_BYTES = 64 * 1024


def device_listener(door: DoorSettings, *, secret_file: str) -> Resource:
    """Return the listener for MQTT; TLS ends here where the installation has a certificate."""
    proxy = extension(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=DEVICES,
        cluster=DEVICES,
        idle_timeout="0s",  # MQTT has its own keep-alive
    )
    chain: Resource = {"filters": [proxy]}
    if door.cert:
        chain["transport_socket"] = terminated(secret_file)
    return typed(
        "envoy.config.listener.v3.Listener",
        name=DEVICES,
        address=address(door.devices),
        per_connection_buffer_limit_bytes=_BUFFER_BYTES,
        tcp_backlog_size=_BACKLOG,
        filter_chains=[chain],
    )
