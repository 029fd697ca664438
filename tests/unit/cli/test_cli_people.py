"""``fairlead tokens new``, ``users rm``, ``secrets set`` and what ``predict`` says of options."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from .conftest import Door

Said = tuple[int, str, str]
Cli = Callable[..., Said]
MADE = {"token": "fl_x", "id": "tok-1", "roles": ["user"], "expires_at": "2026-12-21T15:36:14Z"}


@pytest.mark.parametrize(
    ("mine", "words", "roles"),
    [
        (["ai_developer", "configurer", "user"], (), ["user"]),
        (["ai_developer", "configurer"], (), ["ai_developer"]),
        (["configurer", "user"], ("--role", "configurer"), ["configurer"]),
        (["configurer", "user"], ("--all-roles",), None),
    ],
)
def test_a_token_may_call_models_unless_more_is_asked_for(
    cli: Cli, signed_in: Door, mine: list[str], words: tuple[str, ...], roles: list[str] | None
) -> None:
    signed_in.says("GET /api/v1/me", {"roles": mine})
    signed_in.says("POST /api/v1/tokens", MADE, 201)

    code, out, err = cli("tokens", "new", "app", *words)

    assert (code, out) == (0, "fl_x\n")
    assert "it may do what the role user may" in err
    assert json.loads(signed_in.asked[-1][1])["roles"] == roles


def test_a_token_that_ends_with_the_one_that_made_it_says_so(cli: Cli, signed_in: Door) -> None:
    signed_in.says("GET /api/v1/me", {"roles": ["user"]})
    signed_in.says("POST /api/v1/tokens", MADE, 201)
    assert "no longer than" not in cli("tokens", "new", "app")[2]
    assert json.loads(signed_in.asked[-1][1])["days"] is None, "the platform knows what is left"

    signed_in.says("POST /api/v1/tokens", MADE | {"ends_with": "tok-1"}, 201)
    assert "no longer than the token that made it" in cli("tokens", "new", "app")[2]


def test_a_person_is_removed_once_that_is_confirmed(cli: Cli, signed_in: Door) -> None:
    signed_in.says("DELETE /api/v1/users/ada", {"name": "ada"})

    assert cli("users", "rm", "ada")[0] == 1
    assert signed_in.asked == []
    assert cli("users", "rm", "ada", "--yes")[:2] == (0, "removed ada\n")


def test_a_secret_that_nothing_asks_for_is_warned_of(
    cli: Cli, signed_in: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in.says("PUT /api/v1/secrets/mood/KEYY", {"warnings": ["no version of mood asks for KEYY"]})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"value\n")))

    assert cli("secrets", "set", "mood", "KEYY") == (
        0,
        "mood KEYY set\n",
        "warning: no version of mood asks for KEYY\n",
    )


def test_an_empty_standard_input_is_no_secret(cli: Cli, signed_in: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))

    code, _, err = cli("secrets", "set", "mood", "KEY")

    assert (code, signed_in.asked) == (5, [])
    assert "nothing came on standard input for KEY" in err
    assert "< FILE" in err


def refusal(message: str, *problems: dict[str, str], code: str = "invalid_input") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "hint": "as it was", "problems": list(problems)}}


@pytest.mark.parametrize(
    ("words", "problem", "hint"),
    [
        (
            ("--set", "x=1,2,3,4"),
            {"path": "x", "rule": "type", "message": "'1,2,3,4' is not a list", "hint": "give a list"},
            "a list is JSON: --set x='[1,2,3,4]'",
        ),
        (
            ("--json", "{}"),
            {"path": "images", "rule": "missing", "message": "is missing", "hint": "give base64 text or a data: URL"},
            "as it was; of a file: fairlead predict pets --file FILE",
        ),
    ],
)
def test_hints_of_a_call_name_options(
    cli: Cli, signed_in: Door, words: tuple[str, ...], problem: dict[str, str], hint: str
) -> None:
    signed_in.says("POST /v1/models/pets/predict", refusal("wrong", problem), 422)

    code, _, err = cli("predict", "pets", *words)

    assert (code, hint in err) == (5, True), err


def test_a_model_that_is_called_nearly_so_is_named(cli: Cli, signed_in: Door) -> None:
    signed_in.says("POST /v1/models/irsi@staging/predict", refusal("there is no model irsi", code="no_such_model"), 404)
    signed_in.says("GET /api/v1/models", {"items": [{"name": "iris"}, {"name": "pets"}]})

    assert "did you mean iris@staging? as it was" in cli("predict", "irsi@staging")[2]
