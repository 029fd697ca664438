"""What an installation is told, read from ``settings.toml``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead import settings
from fairlead.errors import Invalid


def test_hosts_are_a_list_or_one_text(tmp_path: Path) -> None:
    for said in ('"hooks.lan, 10.0.3.0/24"', '["hooks.lan", "10.0.3.0/24"]'):
        (tmp_path / "settings.toml").write_text(f"callback_hosts = {said}\n")
        assert settings.load({"home": tmp_path}, {}).callback_hosts == "hooks.lan, 10.0.3.0/24"


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("callback_hosts = [1]\n")
    with pytest.raises(Invalid) as refused:
        settings.load({"home": tmp_path}, {})
    assert refused.value.message == "settings: callback_hosts: Expected `str | null`, got `array`"
    assert str(tmp_path / "settings.toml") in (refused.value.hint or "")


def test_wrong_settings_keep_nothing_from_being_stopped(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text("callback_hosts = [1]\n")
    assert cli("down", "--home", str(tmp_path)) == (0, f"{tmp_path}: nothing was running\n", "")
