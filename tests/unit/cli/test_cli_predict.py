"""``fairlead predict`` and names in paths: what is wrong is said before anything is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli.api import Api, Refused

from .conftest import Door

Said = tuple[int, str, str]


def test_a_model_is_called(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("POST /v1/models/m@staging/predict", {"hot": True})

    assert cli("predict", "m@staging", "--set", "at=lab", "--set", "n=3") == (0, '{"hot": true}\n', "")
    assert signed_in.asked == [("POST /v1/models/m@staging/predict", b'{"at":"lab","n":3}')]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "flo wers/../x"), "'flo wers/../x' is not the name of a model"),
        (("predict", ""), "'' is not the name of a model"),
        (("models", "show", "../etc"), "'../etc' is not the name of a model"),
        (("models", "rm", "../types/fan", "--yes"), "'../types/fan' is not the name of a model"),
        (("models", "rm", "m@../x", "--yes"), "'../x' is not the name of a version"),
        (("models", "alias", "m", "a/b=3"), "'a/b' is not the name of an alias"),
        (("users", "set", "x?y", "--role", "user"), "'x?y' is not the name of a user"),
    ],
)
def test_what_is_no_name_leads_nowhere(
    cli: Callable[..., Said], signed_in: Door, words: tuple[str, ...], said: str
) -> None:
    code, _, err = cli(*words)

    assert (code, err.splitlines()[0]) == (5, f"error: {said}")
    assert signed_in.asked == []


@pytest.mark.parametrize("path", ["/devices/../types/fan", "/devices/", "/devices/a b", "/jobs/x?y=1", "/runs/%2e"])
def test_no_path_leads_elsewhere(signed_in: Door, path: str) -> None:
    with Api() as api, pytest.raises(Refused) as refused:
        api.get(path)

    assert (refused.value.code, signed_in.asked) == ("name_invalid", [])


@pytest.mark.parametrize("place", ["nowhere/x", "."])
def test_a_place_that_cannot_be_written_is_refused_before_the_call(
    cli: Callable[..., Said], signed_in: Door, tmp_path: Path, place: str
) -> None:
    code, _, err = cli("predict", "m", "-o", str(tmp_path / place))

    assert (code, signed_in.asked) == (5, [])
    assert err.startswith(f"error: {tmp_path / place}: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--json", "{}", "--set", "a=1"), "--json is the whole body"),
        (("--set", "a=1", "--set", "a=2"), "--set a is given twice"),
    ],
)
def test_what_would_be_ignored_is_refused(
    cli: Callable[..., Said], signed_in: Door, words: tuple[str, ...], said: str
) -> None:
    code, _, err = cli("predict", "m", *words)

    assert (code, signed_in.asked) == (2, [])
    assert said in err


def test_an_alias_of_one_version_takes_no_weight(cli: Callable[..., Said], signed_in: Door) -> None:
    code, _, err = cli("models", "alias", "m", "production=4:10")

    assert (code, signed_in.asked) == (2, [])
    assert "write production=4" in err
