"""What a home was started with is known at its next start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.keeper import listening
from fairlead.settings import Home, Settings, load, options


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.keeper.mkdir()
    return made


def start(home: Home, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    """Start as ``fairlead up`` does; return the settings of that start."""
    said = {"home": home.root, **flags}
    chosen = load(said, environ or {})
    listening.remember(home, options(said, environ or {}))
    return chosen


def test_a_start_without_options_is_as_the_last_one(home: Home) -> None:
    first = start(home, listen="127.0.0.1:8091", devices="127.0.0.1:1894", store="postgresql://u:p@h/d")
    assert start(home) == first
    assert load({"home": home.root}, {}) == first  # status, doctor, down
    assert home.options.stat().st_mode & 0o777 == 0o600


def test_what_is_said_now_counts_and_the_rest_stays(home: Home) -> None:
    start(home, listen="127.0.0.1:8091", devices="127.0.0.1:1894", apps_domain="apps.example")
    start(home, {"FAIRLEAD_DEVICES": "127.0.0.1:1895"}, listen="127.0.0.1:8092")

    now = start(home)

    assert (now.listen, now.devices, now.apps_domain) == ("127.0.0.1:8092", "127.0.0.1:1895", "apps.example")


def test_the_settings_file_is_stronger_and_is_not_remembered(home: Home) -> None:
    home.settings.write_text('listen = "127.0.0.1:9000"\n')
    assert start(home, listen="127.0.0.1:8091").listen == "127.0.0.1:8091"
    assert start(home).listen == "127.0.0.1:9000"
    home.settings.unlink()
    assert start(home).listen == "127.0.0.1:8091"


def test_insecure_was_said_of_the_addresses_of_then(home: Home) -> None:
    start(home, listen="0.0.0.0:8080", insecure=True)
    assert start(home).insecure
    assert start(home, listen="0.0.0.0:8080").insecure
    assert not start(home, listen="10.0.0.1:8080").insecure


def test_a_certificate_is_found_from_any_folder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.root)
    start(home, cert=Path("chain.pem"), key=Path("key.pem"))
    monkeypatch.chdir("/")
    assert start(home).cert == home.root / "chain.pem"


@pytest.mark.parametrize("text", ["", "[1]", '{"home": "/elsewhere", "unknown": 1}'])
def test_a_file_that_is_none_is_as_good_as_no_file(home: Home, text: str) -> None:
    home.options.write_text(text)
    assert start(home) == Settings(home=home.root)
