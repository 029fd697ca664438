"""What the look into a bundle found wrong reaches whoever pushed it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli.commands import bundles

from .conftest import Door


class Stream:
    """An API whose stream of a version's steps is written by the test."""

    def __init__(self, *events: tuple[str, dict[str, Any]]) -> None:
        self._events = events

    def events(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from self._events


def test_warnings_of_the_look_are_printed_once_the_version_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    pickled, older = "run.artifact: it may run code", "saved with scikit-learn 1.2.2, loaded with 1.7.2"
    stream: Any = Stream(("step", {"said": "looking into it"}), ("done", {"said": "", "warnings": [pickled, older]}))
    bundles._follow(stream, "model", "m", "1", told=(pickled,))
    printed = capsys.readouterr().err
    assert f"warning: {older}" in printed
    assert pickled not in printed


def test_a_warning_of_a_check_says_what_to_do(cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "fairlead.toml").write_text('kind = "model"\nname = "m"\n[run]\nartifact = "m.pkl"\n')
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"_sklearn_version": "1.5.2"}))

    code, _, err = cli("check", str(tmp_path))

    assert code == 0
    assert 'which was saved with 1.5.2; requires = ["scikit-learn==1.5.2"]' in err


def test_a_check_tells_what_the_installation_lacks_and_nothing_where_it_does_not_answer(
    cli: Callable[..., tuple[int, str, str]], signed_in: Door, tmp_path: Path
) -> None:
    manifest = 'kind = "app"\nname = "a"\n[run]\nentry = "app:app"\n[devices]\nl = { type = "lampe" }\n'
    (tmp_path / "fairlead.toml").write_text(manifest)
    (tmp_path / "app.py").write_text("import fairlead\napp = fairlead.App()\n")
    assert cli("check", str(tmp_path))[::2] == (0, "")

    signed_in.says("GET /api/v1/types", {"items": [{"name": "lamp", "version": "1.0.0"}]})
    signed_in.says("GET /api/v1/models", {"items": []})
    code, _, err = cli("check", str(tmp_path))

    assert code == 0
    assert "warning: devices.l.type: there is no device type lampe; did you mean lamp?" in err
