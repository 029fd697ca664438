"""A card's facts, each with whose word it is; models found by author, task, tag and words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.hub import cards
from fairlead.hub.cards import ARXIV, HUGGINGFACE, Fact, Known, Ref

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("paper", "id"),
    [
        ("2112.10752", "2112.10752"),
        ("arXiv:2112.10752v2", "2112.10752v2"),
        ("https://arxiv.org/abs/1503.03832", "1503.03832"),
        ("http://www.arxiv.org/pdf/1503.03832v3.pdf", "1503.03832v3"),
        ("hep-th/9901001", "hep-th/9901001"),
        ("https://doi.org/10.1037/h0077714", ""),
        ("https://evil.example/arxiv.org/abs/1503.03832", ""),
        ("", ""),
    ],
)
def test_a_paper_is_known_by_its_id_wherever_it_is_written(paper: str, id: str) -> None:
    assert cards.refs_of({"paper": paper}) == ((Ref(ARXIV, id),) if id else ())


@pytest.mark.parametrize("name", ["owner/name", "https://huggingface.co/owner/name"])
def test_weights_are_known_by_owner_and_name(name: str) -> None:
    assert cards.refs_of({"huggingface": name}) == (Ref(HUGGINGFACE, "owner/name"),)


@pytest.mark.parametrize("name", ["name", "a/b/c", "../secret", "owner/na me", "owner/name?x=1", "o/../../x"])
def test_what_is_no_repository_is_none(name: str) -> None:
    assert cards.refs_of({"huggingface": name}) == ()


def test_the_manifest_has_the_first_word_and_sites_fill_in_what_it_leaves_out() -> None:
    card = {"authors": ["Ada"], "license": "", "abstract": "", "tags": []}
    paper = Known(Ref(ARXIV, "1"), {"authors": ["Someone"], "abstract": "About it."}, NOW)
    weights = Known(Ref(HUGGINGFACE, "a/b"), {"license": "mit", "tags": ["x"], "author": "a"}, NOW)

    assert cards.facts_of(card, [paper, weights]) == {
        "authors": Fact(["Ada"], "manifest"),
        "abstract": Fact("About it.", ARXIV, NOW),
        "license": Fact("mit", HUGGINGFACE, NOW),
        "tags": Fact(["x"], HUGGINGFACE, NOW),
    }
    assert cards.facts_of({}, [weights])["authors"] == Fact(["a"], HUGGINGFACE, NOW)
    assert cards.facts_of(card, [Known(Ref(ARXIV, "1"), why="it is down")]) == {"authors": Fact(["Ada"], "manifest")}


def test_what_a_site_says_is_bounded() -> None:
    long = {
        "title": " a\n  b\0 ",
        "abstract": "x" * 9000,
        "tags": ["y" * 400] * 300,
        "doi": None,
        "likes": 3,
        "none": [],
    }
    found = cards.bounded(long)

    assert found["title"] == "a b\ufffd"
    assert (len(found["abstract"]), len(found["tags"]), len(found["tags"][0])) == (8000, 200, 300)
    assert set(found) == {"title", "abstract", "tags", "likes"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, True),
        ({"author": "lovelace"}, True),
        ({"author": "ben"}, True),
        ({"author": "be"}, False),
        ({"task": "Text-to-Image"}, True),
        ({"task": "text"}, False),
        ({"tag": "diffusion"}, True),
        ({"tag": "diff"}, False),
        ({"q": "picture LOVELACE"}, True),
        ({"q": "picture nothing"}, False),
        ({"author": "ada", "tag": "other"}, False),
    ],
)
def test_a_model_is_found_by_what_its_card_says(asked: dict[str, Any], found: bool) -> None:
    card = {"authors": ["Ada Lovelace"], "task": "text-to-image", "tags": ["Diffusion"], "abstract": "Draws."}

    assert cards.matches("draw", "ben", "Makes a picture", card, **asked) is found
