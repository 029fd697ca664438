"""What the platform's own programs see of the environment that it was started with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from fairlead.engines.local import launch_for
from fairlead.keeper.programs import services
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted
from fairlead.settings import Home, Settings

CLOUDS = {"AWS_ACCESS_KEY_ID": "key", "GOOGLE_SERVICE_ACCOUNT": "/account.json", "AZURE_STORAGE_ACCOUNT_KEY": "key"}
PROXIES = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "127.0.0.1", "ALL_PROXY": "http://proxy:3128"}
OTHERS = {"MY_TOKEN": "secret", "PYTHONPATH": "/elsewhere", "HTTPS_PROXY_2": "x"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name, value in (CLOUDS | PROXIES | OTHERS | {"TZ": "Europe/Vienna"}).items():
        monkeypatch.setenv(name, value)
    return Home(tmp_path)


def test_control_reaches_the_bucket_as_the_keeper_does(home: Home) -> None:
    seen = services.control(Settings(home=home.root), home).env
    assert seen.items() >= (CLOUDS | PROXIES | {"TZ": "Europe/Vienna"}).items()
    assert not seen.keys() & OTHERS.keys()


def test_no_other_program_sees_how_the_bucket_is_reached(home: Home) -> None:
    async def nothing() -> None:
        return None

    settings = Settings(home=home.root)
    programs = (
        services.envoy(cast(Any, None), home, nothing),
        services.bus(settings, home, nothing),
    )
    for program in programs:
        assert program.env["TZ"] == "Europe/Vienna"
        assert not program.env.keys() & (CLOUDS | PROXIES | OTHERS).keys(), program.name


def test_a_bundle_sees_none_of_it(home: Home) -> None:
    wanted = VersionWanted(
        spec=ModelSpec(name="faces", version="1", runtime="python"),
        digest="sha256:0123456789abcdef",
        bundle_key="",
        environment=EnvironmentSpec(),
        gate="g",
    )
    launch = launch_for(wanted, home, bundle=home.root, environment=Path(sys.prefix))
    assert not launch.rules.env.keys() & (CLOUDS | PROXIES | OTHERS).keys()
