"""How settings become what the front door writes and sends."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.gateway import door_settings
from fairlead.gateway.observed import access_log, otlp_cluster, tracing
from fairlead.settings import Home, Settings


@pytest.mark.parametrize(
    ("kept", "written", "errors"), [("all", True, False), ("errors", True, True), ("off", False, False)]
)
def test_the_access_log_is_as_the_setting_says(kept: str, written: bool, errors: bool, tmp_path: Path) -> None:
    home = Home(tmp_path)

    door = door_settings(Settings(home=tmp_path, access_log=kept), home)  # type: ignore[arg-type]

    assert door.access_log == (str(home.access_log) if written else "")
    loggers = access_log(door)
    assert bool(loggers) is written
    assert any("filter" in logger for logger in loggers) is errors


def test_without_a_collector_no_spans_are_made(tmp_path: Path) -> None:
    assert tracing(door_settings(Settings(home=tmp_path), Home(tmp_path))) == {}


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "secure"),
    [
        ("http://collector:4318", "collector", 4318, "http://collector:4318/v1/traces", False),
        ("http://collector/", "collector", 80, "http://collector/v1/traces", False),
        ("https://a.example/otlp/", "a.example", 443, "https://a.example/otlp/v1/traces", True),
        ("http://[::1]:4318", "::1", 4318, "http://[::1]:4318/v1/traces", False),
    ],
)
def test_spans_go_where_the_setting_says(
    url: str, host: str, port: int, path: str, secure: bool, tmp_path: Path
) -> None:
    door = door_settings(Settings(home=tmp_path, otlp=url), Home(tmp_path))

    cluster = otlp_cluster(door)

    (group,) = cluster["load_assignment"]["endpoints"]
    address = group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert (address["address"], address["port_value"]) == (host, port)
    assert ("transport_socket" in cluster) is secure
    service = tracing(door)["tracing"]["provider"]["typed_config"]["http_service"]
    assert service["http_uri"]["uri"] == path
