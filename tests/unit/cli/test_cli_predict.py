"""``fairlead predict`` and names in paths: what is wrong is said before anything is called."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize(
    "path", ["/devices/../types/fan", "/devices/", "/devices/a b", "/jobs/x?y=1", "/runs/%2e", "/jobs/\udcff"]
)
def test_no_path_leads_elsewhere(signed_in: Door, path: str) -> None:
    with Api() as api, pytest.raises(Refused) as refused:
        api.get(path)

    assert (refused.value.code, signed_in.asked) == ("name_invalid", [])


@pytest.mark.parametrize("words", [("secrets", "rm", "\udcff", "A"), ("jobs", "replay", "\udcff")])
def test_a_name_that_is_no_utf_8_is_no_name(cli: Callable[..., Said], signed_in: Door, words: tuple[str, ...]) -> None:
    code, _, err = cli(*words)

    assert (code, "no name" in err) == (5, True)
    assert signed_in.asked == []


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
        (("--json", "@in.json"), "write --file in.json"),
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


def test_a_text_that_was_read_as_a_number_says_how_to_write_it(cli: Callable[..., Said], signed_in: Door) -> None:
    problem = {"path": "name", "rule": "type", "message": "123 is not text", "hint": "give text", "line": None}
    error = {"code": "invalid_input", "message": "name: 123 is not text", "hint": "x", "problems": [problem]}
    signed_in.says("POST /v1/models/m/predict", {"error": error}, 422)

    code, _, err = cli("predict", "m", "--set", "name=123")

    assert code == 5
    assert "as text: --set name='\"123\"'" in err


def test_a_hint_that_names_a_page_names_all_of_its_address(cli: Callable[..., Said], signed_in: Door) -> None:
    error = {"code": "not_found", "message": "no", "hint": "see /docs/api"}
    signed_in.says("POST /v1/models/m/predict", {"error": error}, 404)

    assert f"hint: see {signed_in.url}/docs/api (not_found)" in cli("predict", "m")[2]


def bundle(folder: Path, code: str = "class A:\n    def predict(self, n: int) -> int:\n        return n\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "fairlead.toml").write_text('kind = "model"\nname = "m"\n[run]\nentry = "model:A"\n')
    (folder / "model.py").write_text(code)
    return folder


def test_a_syntax_error_is_told_of_in_its_own_file(cli: Callable[..., Said], signed_in: Door, tmp_path: Path) -> None:
    wrong = bundle(tmp_path, "x = 1\nclass A\n")

    assert cli("check", str(wrong))[1].splitlines() == ["model.py:2 expected ':'; correct the line (syntax)"]
    _, _, err = cli("push", str(wrong))
    assert err.splitlines()[:2] == ["error: model.py:2: expected ':'", "  hint: correct the line (bundle_invalid)"]


def test_a_folder_that_is_no_bundle_is_one_line(cli: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")

    code, out, _ = cli("check", str(tmp_path))

    assert (code, out) == (
        5,
        f"fairlead.toml is missing in {tmp_path}; fairlead init KIND NAME writes one; KIND is model or app (missing)\n",
    )
    assert cli("check", str(tmp_path / "no"))[1].startswith(f"{tmp_path}/no is not a folder; ")


@pytest.mark.parametrize(
    ("alias", "status", "address", "said"),
    [
        ("production", 202, "/v1/models/m/predict", "sent "),
        ("staging", 202, "/v1/models/m@staging/predict", "sent "),
        ("none", 200, "/v1/models/m@3/predict", "unchanged: m@3 has the same content"),
    ],
)
def test_a_push_says_what_it_did_and_where_it_answers(
    cli: Callable[..., Said], signed_in: Door, tmp_path: Path, alias: str, status: int, address: str, said: str
) -> None:
    view = {"kind": "model", "name": "m", "version": "3", "url": f"{signed_in.url}/v1/models/m/predict"}
    signed_in.says(f"POST /api/v1/bundles?alias={alias}", view, status)

    code, out, err = cli("push", str(bundle(tmp_path)), "--alias", alias, "--no-wait")

    assert (code, out) == (0, f"m@3 {signed_in.url}{address}\n")
    assert said in err


def test_a_refusal_speaks_of_the_model_not_of_a_path(cli: Callable[..., Said], signed_in: Door) -> None:
    error = {"code": "version_not_found", "message": "/v1/models/m@9/predict: the model has no such alias", "hint": "x"}
    signed_in.says("POST /v1/models/m@9/predict", {"error": error}, 404)

    assert cli("predict", "m@9")[2].startswith("error: m@9: the model has no such alias\n")


@pytest.mark.parametrize("weight", ["\u00b2", "\u0663", "9" * 5000, "-1", "1e3", "0"])
def test_a_weight_that_is_no_number_is_refused_in_words(cli: Callable[..., Said], signed_in: Door, weight: str) -> None:
    code, _, err = cli("models", "alias", "m", f"production=4:10,3:{weight}")
    assert code == 2
    assert "the weight is a whole number from 1 to 1000" in err or "takes no call" in err
    assert signed_in.calls == []


def test_a_push_that_fails_names_the_file_and_the_folder(
    cli: Callable[..., Said], signed_in: Door, tmp_path: Path
) -> None:
    folder = bundle(tmp_path / "my model")
    (folder / "fairlead.toml").write_text('name = "m"\n[run]\nentry = "model:A"\n')
    assert cli("push", str(folder))[2].startswith("error: fairlead.toml: kind is missing")

    bundle(folder)
    error = {"code": "load_failed", "message": "KeyError: 'x'", "hint": "try it here with: fairlead serve FOLDER"}
    view = {"kind": "model", "name": "m", "version": "3", "url": f"{signed_in.url}/v1/models/m/predict"}
    signed_in.says("POST /api/v1/bundles?alias=production", view, 202)
    events = f"event: error\ndata: {json.dumps({'said': 'no', 'error': error})}\n\n"
    signed_in.answers["GET /api/v1/models/m/versions/3/events"] = (200, events.encode(), "text/event-stream")
    code, _, err = cli("push", str(folder))
    assert code == 1
    assert f"fairlead serve '{folder}' (load_failed)" in err
