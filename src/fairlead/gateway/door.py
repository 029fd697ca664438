"""What the front door is told: its settings, and the state of the house at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from fairlead.gateway.cors import origins_of
from fairlead.messages import ModelRoute, PageRoute, Spent
from fairlead.settings import Home, Settings

CONNECTIONS_MAX = 20_000


class DoorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What stays as long as the front door runs. Sockets and files are absolute paths."""

    listen: str
    """``host:port``."""
    devices: str = ""
    """``host:port`` for MQTT; empty: no devices' door."""
    url: str
    """URL of the installation as people write it."""
    apps_domain: str
    control_socket: str
    waker_socket: str
    admin_socket: str
    jobs_socket: str = ""
    """Who takes small calls that are kept as jobs; empty: control takes them as all else."""
    page_socket: str = ""
    """Who joins what lasts on pages to them; empty: it goes to them straight, and outlives its token."""
    metrics_socket: str = ""
    """Who answers ``/metrics``; empty: control."""
    web_socket: str = ""
    """Who serves the web page; empty: it has no route of its own."""
    page_origins: tuple[str, ...] = ()
    """Origins of pages elsewhere that may ask with a token."""
    cert: str = ""
    key: str = ""
    body_max_bytes: int = 100 * 1024**2
    bundle_max_bytes: int = 4 * 1024**3
    """Largest body to control: bundles are pushed there."""
    connections_max: int = CONNECTIONS_MAX
    public_per_s: int = 20
    """Requests a second of one client address to one public model or page."""
    public_burst: int = 100
    user_per_s: int = 0
    """Requests a second of one person; 0: any number."""
    token_per_s: int = 0
    """Requests a second by one token; 0: any number."""
    workers: int = 0
    """Threads of the front door; 0: one per core."""
    access_log: str = ""
    """File that gets a line a request; empty: none is written."""
    access_log_errors_only: bool = False
    """Only requests that are answered 400 or above."""
    otlp: str = ""
    """URL of who takes spans by OTLP over HTTP; empty: no spans are made."""

    @property
    def discovery_socket(self) -> str:
        """Where Envoy asks for the endpoints of versions: beside its admin socket."""
        return str(Path(self.admin_socket).with_name("endpoints.sock"))

    @property
    def is_https(self) -> bool:
        """Whether browsers come by TLS, to us or to who stands before us."""
        return bool(self.cert) or self.url.startswith("https:")


class DoorState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the front door's files are made from. Versions are named ``name@version``."""

    jwks: str
    """Public keys of tokens, JSON."""
    routes: tuple[ModelRoute, ...] = ()
    pages: tuple[PageRoute, ...] = ()
    endpoints: Mapping[str, tuple[str, ...]] = {}
    """Version to the sockets of its replicas that are ready; missing or empty: the waker is asked."""
    ejected: frozenset[str] = frozenset()
    """Of those, the sockets that get hardly any calls."""
    gates: Mapping[str, str] = {}
    """Version to the secret that its replicas expect."""
    page_endpoints: Mapping[str, str] = {}
    """Run to the socket path or ``host:port`` of its page."""
    devices_upstream: str = ""
    """``host:port`` that speaks MQTT and knows the devices; empty: they must try again."""
    denied: Mapping[str, float] = {}
    """Revoked token ids and when they would have expired (Unix seconds)."""
    spent: Spent = Spent()
    """Who calls no model any more today."""


def door_settings(
    settings: Settings, home: Home, *, workers: int = 0, connections_max: int = CONNECTIONS_MAX
) -> DoorSettings:
    """Return the front door's part of ``settings``."""
    return DoorSettings(
        listen=settings.listen,
        devices=settings.devices,
        url=settings.url,
        apps_domain=settings.apps_domain,
        control_socket=str(home.control_socket),
        waker_socket=str(home.waker_socket),
        admin_socket=str(home.admin_socket),
        jobs_socket=str(home.jobs_socket),
        page_socket=str(home.page_socket),
        metrics_socket=str(home.metrics_socket),
        web_socket=str(home.web_socket),
        page_origins=tuple(origins_of(settings.page_origins or "")),
        cert=str(settings.cert or ""),
        key=str(settings.key or ""),
        body_max_bytes=settings.body_max_bytes,
        bundle_max_bytes=settings.bundle_max_bytes,
        connections_max=connections_max,
        user_per_s=settings.user_per_s,
        token_per_s=settings.token_per_s,
        workers=workers,
        access_log="" if settings.access_log == "off" else str(home.access_log),
        access_log_errors_only=settings.access_log == "errors",
        otlp=settings.otlp or "",
    )


def version_key(model: str, version: str) -> str:
    """Return ``name@version``, as endpoints, gates, clusters and ``x-fairlead-model`` name a version."""
    return f"{model}@{version}"
