"""``fairlead models show`` of a version."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Door

Said = tuple[int, str, str]
MODEL = {
    "name": "m",
    "url": "http://door/v1/models/m/predict",
    "aliases": {"production": [{"version": "2", "weight": 90}, {"version": "1", "weight": 10}]},
}


def version(number: str, **more: Any) -> dict[str, Any]:
    known = {"version": number, "status": "ready", "reason": "", "created_by": "ada", "digest": "abc"}
    return known | {"created_at": "2026-11-21T15:36:14.637Z"} | more


@pytest.fixture
def house(signed_in: Door) -> Door:
    signed_in.says("GET /api/v1/models/m", MODEL)
    signed_in.says("GET /api/v1/models/m/versions/2", version("2", serving="as it is", warnings=["take care"]))
    signed_in.says("GET /api/v1/models/m/versions/1", version("1", status="failed", reason="no", last_lines=["boom"]))
    return signed_in


def test_one_version_is_shown(cli: Callable[..., Said], house: Door) -> None:
    code, out, _ = cli("models", "show", "m@2")

    assert (code, out.splitlines()) == (
        0,
        [
            "m@2  ready",
            "http://door/v1/models/m@2/predict",
            "  pushed by: ada",
            "  at: 2026-11-21 15:36:14Z",
            "  digest: abc",
            "  serving: as it is",
            "  warning: take care",
        ],
    )


def test_an_alias_shows_all_that_it_names(cli: Callable[..., Said], house: Door) -> None:
    code, out, _ = cli("models", "show", "m@production")

    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("m@")] == ["m@2  ready", "m@1  failed"]
    assert out.endswith("  | boom\n")


def test_as_json_it_is_the_view(cli: Callable[..., Said], house: Door) -> None:
    assert json.loads(cli("--json", "models", "show", "m@2")[1])["version"] == "2"


def test_a_version_that_is_not_there_is_told(cli: Callable[..., Said], house: Door) -> None:
    code, out, err = cli("models", "show", "m@9")
    assert (code, out) == (3, "")
    assert "nothing" in err


def test_an_alias_is_removed_by_naming_nothing(cli: Callable[..., Said], house: Door) -> None:
    house.says("DELETE /api/v1/models/m/aliases/staging", {})
    assert cli("models", "alias", "m", "staging=")[:2] == (0, "removed m@staging\n")


def test_the_hint_of_a_lone_weight_sums_to_a_hundred(cli: Callable[..., Said], house: Door) -> None:
    code, _, err = cli("models", "alias", "m", "production=3:40")
    assert code != 0
    assert "production=3:40,VERSION:60" in " ".join(err.replace("│", " ").split())


def test_who_may_call_a_model_is_changed(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("PATCH /api/v1/models/m", MODEL | {"visibility": "public"})
    assert cli("models", "set", "m", "--visibility", "public")[:2] == (0, "m: public\n")
    assert signed_in.asked[-1] == ("PATCH /api/v1/models/m", b'{"visibility":"public"}')

    signed_in.says("PATCH /api/v1/models/m", MODEL | {"visibility": "public", "pending": "the front door lags"}, 202)
    code, _, said = cli("models", "set", "m", "--visibility", "public")
    assert code == 6, said
    assert "not_in_force" in said


def test_a_model_is_handed_over(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("PATCH /api/v1/models/m", {"visibility": "team", "owner": "bob", "pending": None})

    assert cli("models", "set", "m", "--owner", "bob")[:2] == (0, "m: team, owner bob\n")
    assert json.loads(signed_in.asked[-1][1]) == {"owner": "bob"}


def test_a_rollback_says_what_it_did_and_how_to_undo_it(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("POST /api/v1/models/m/rollback", {"alias": "production", "from": "3:50,2:50", "to": "2"})

    code, out, err = cli("models", "rollback", "m")

    assert (code, out) == (0, "production: 3:50,2:50 → 2\n")
    assert "fairlead models alias m production=3:50,2:50" in err


def test_a_removal_is_waited_for_as_other_changes_are(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("DELETE /api/v1/models/m", {"pending": "the front door lags"}, 202)
    signed_in.says("GET /api/v1/pending", {"pending": None})

    assert cli("models", "rm", "m", "--yes") == (0, "removed m\n", "  the front door lags\n")
    assert signed_in.calls == ["DELETE /api/v1/models/m", "GET /api/v1/pending"]


def test_a_model_that_is_not_there_is_told_before_anything_is_asked(cli: Callable[..., Said], signed_in: Door) -> None:
    assert cli("models", "rm", "nope")[0] == 3
    assert signed_in.calls == ["GET /api/v1/models/nope"]


def test_a_removal_that_no_front_door_follows_says_so(
    cli: Callable[..., Said], signed_in: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.cli.commands.models.WAIT_S", -1.0)
    signed_in.says("DELETE /api/v1/models/m/versions/1", {"pending": "the front door lags"}, 202)

    code, _, err = cli("models", "rm", "m@1", "--yes")

    assert (code, "the front door lags" in err, "not_in_force" in err) == (6, True, True)


def test_a_version_tells_how_its_examples_went(cli: Callable[..., Said], signed_in: Door) -> None:
    tried = [{"title": "one", "ok": True, "said": ""}, {"title": "two", "ok": True, "said": ""}]
    evidence = {"at": "2026-11-22T04:03:00Z", "ok": True, "examples": tried}
    signed_in.says("GET /api/v1/models/m", MODEL)
    signed_in.says("GET /api/v1/models/m/versions/2", version("2", evidence=evidence))
    assert "  examples: as of 2026-11-22 04:03:00Z, 2 of 2 hold" in cli("models", "show", "m@2")[1].splitlines()

    tried[1] |= {"ok": False, "said": "4 instead of 5"}
    signed_in.says("GET /api/v1/models/m/versions/2", version("2", evidence=evidence))
    assert ", two: 4 instead of 5" in cli("models", "show", "m@2")[1]


def test_a_card_tells_whose_word_each_fact_is(cli: Callable[..., Said], signed_in: Door) -> None:
    facts = {
        "authors": {"value": ["Ada", "Bo"], "source": "manifest"},
        "scores": {"value": {"auc": 0.7}, "source": "manifest"},
    }
    site = {"url": "https://arxiv.org/abs/1", "source": "arxiv", "state": "waiting", "why": "", "facts": {}}
    signed_in.says("GET /api/v1/models/m/card", {"facts": facts, "sites": [site]})

    code, out, _ = cli("models", "card", "m")

    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["authors", "Ada,", "Bo", "manifest"],
        ["scores", "auc", "0.7", "manifest"],
        ["https://arxiv.org/abs/1", "waiting", "arxiv"],
    ]


def test_models_are_searched(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("GET /api/v1/models?author=ada&q=red+boat", {"items": []})

    assert cli("models", "--author", "ada", "--search", "red boat")[0] == 0
