"""The demo has a home of its own, and a home that is a demo's says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import demo, welcome
from fairlead.settings import Home, Settings


def test_the_demo_has_a_home_of_its_own_unless_one_is_named() -> None:
    usual = demo.default_home({})

    assert demo.home_of({}) == usual.with_name(f"{usual.name}-demo")
    assert demo.home_of({"FAIRLEAD_HOME": "/srv/mine"}) == Path("/srv/mine")


@pytest.mark.parametrize("is_demo", [True, False])
def test_a_home_that_is_a_demos_says_so_at_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_demo: bool
) -> None:
    settings = Settings(home=tmp_path / "h")
    if is_demo:
        file = demo.marker(Home(settings.home))
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    greeting = welcome.Welcome(settings, demo=False)
    monkeypatch.setattr(greeting, "_sign_in_first", lambda: "")
    monkeypatch.setattr(greeting, "_say_which", lambda: None)
    house: Any = None

    asyncio.run(greeting.greet(house))

    said = capsys.readouterr().err
    assert ("is the home of a demo" in said) is is_demo
    assert ("fairlead up --home FOLDER" in said) is is_demo
