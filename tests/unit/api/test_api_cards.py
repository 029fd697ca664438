"""Cards over HTTP: each fact with whose word it is; models by author, task, tag and words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fairlead.control.cardfacts import CardFacts
from fairlead.errors import Unavailable
from fairlead.hub import service
from fairlead.hub.cards import Ref
from fairlead.store.records import CardFact

CARD = '[card]\nauthors = ["Ada Lovelace"]\npaper = "arXiv:2112.10752"\nhuggingface = "owner/name"\ntask = "text-to-image"\ntags = ["diffusion"]\n'


class Told:
    """Both sites, as far as control sees them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_down = False

    def ask(self, ref: Ref) -> dict[str, Any]:
        self.asked.append(ref.id)
        if self.is_down:
            raise Unavailable("arXiv does not answer", code="site_down")
        return {"abstract": "By decomposing.", "license": "mit"}


@pytest.fixture
def told(world: Any) -> Told:
    sites = Told()
    world.house.card_facts = CardFacts(world.house.database, world.house.clock, sites, is_on=True)  # type: ignore[arg-type]
    return sites


async def test_a_card_says_what_the_manifest_says_until_sites_were_asked_and_then_whose_word_each_fact_is(
    world: Any, told: Told
) -> None:
    await world.model(more=CARD)
    before = await world.ok(world.by("zoe").get("/api/v1/models/flowers/card"))
    assert before["facts"]["authors"] == {"value": ["Ada Lovelace"], "source": "manifest", "at": None}
    assert [(one["source"], one["id"], one["state"]) for one in before["sites"]] == [
        ("arxiv", "2112.10752", "waiting"),
        ("huggingface", "owner/name", "waiting"),
    ]

    assert await world.house.card_facts.once() == 2
    assert await world.house.card_facts.once() == 0
    assert told.asked == ["2112.10752", "owner/name"]

    after = await world.ok(world.by("zoe").get("/api/v1/models/flowers/card"))
    assert (after["facts"]["abstract"]["value"], after["facts"]["abstract"]["source"]) == ("By decomposing.", "arxiv")
    assert after["facts"]["license"]["source"] == "huggingface"
    assert after["facts"]["license"]["at"] == after["sites"][1]["fetched_at"] is not None
    assert {one["state"] for one in after["sites"]} == {"fetched"}


async def test_a_site_that_is_down_is_told_tried_later_and_takes_away_nothing(world: Any, told: Told) -> None:
    await world.model(more=CARD)
    await world.house.card_facts.once()
    told.is_down = True
    now = world.house.clock.now()
    late, soon = now + timedelta(days=8), now + timedelta(days=8, minutes=59)
    due = await world.house.database.read(lambda s: service.due(s, late))
    assert len(due) == 2

    await world.house.database.write(
        lambda s: service.write(s, due[0], None, "arXiv does not answer (site_down)", late)
    )
    assert [one.id for one in await world.house.database.read(lambda s: service.due(s, soon))] == ["owner/name"]
    card = await world.ok(world.by("zoe").get("/api/v1/models/flowers/card"))
    assert (card["sites"][0]["state"], card["sites"][0]["why"]) == ("fetched", "arXiv does not answer (site_down)")
    assert card["facts"]["abstract"]["value"] == "By decomposing."


async def test_a_site_that_never_answered_has_failed_and_what_no_card_names_is_forgotten(
    world: Any, told: Told
) -> None:
    told.is_down = True
    await world.model(more=CARD)
    await world.house.card_facts.once()
    card = await world.ok(world.by("zoe").get("/api/v1/models/flowers/card"))
    assert [(one["state"], one["why"]) for one in card["sites"]] == [
        ("failed", "arXiv does not answer (site_down)")
    ] * 2

    await world.model(more='[card]\nhuggingface = "owner/other"\n', content="2")
    await world.house.card_facts.once()
    kept = await world.house.database.read(lambda s: [one.ref for one in s.query(CardFact)])
    assert kept == ["owner/other"]


async def test_models_are_found_by_author_task_tag_and_words_among_those_one_may_see(world: Any) -> None:
    await world.model(more=CARD)
    await world.model("roses", by="ben")
    await world.model("weeds", more=CARD)
    await world.ok(world.by("ada").patch("/api/v1/models/weeds", json={"visibility": "private"}))

    async def found(**asked: str) -> list[str]:
        return [one["name"] for one in (await world.ok(world.by("zoe").get("/api/v1/models", params=asked)))["items"]]

    assert await found(author="lovelace") == ["flowers"]
    assert await found(author="ben") == ["roses"]
    assert await found(task="text-to-image", tag="diffusion") == ["flowers"]
    assert await found(q="says flow") == ["flowers"]
    assert await found() == ["flowers", "roses"]
    world.refused(await world.by("zoe").get("/api/v1/models/weeds/card"), 404, "no_such_model")


async def test_the_short_view_has_what_lists_show_and_nothing_that_is_long(world: Any) -> None:
    await world.model(more=CARD)
    await world.model("roses", by="ben")

    async def listed(**asked: str) -> list[dict[str, Any]]:
        view = await world.ok(world.by("zoe").get("/api/v1/models", params={"view": "short"} | asked))
        return list(view["items"])

    flowers, roses = await listed()
    whole = await world.ok(world.by("zoe").get("/api/v1/models/flowers"))
    assert (flowers["name"], flowers["summary"], flowers["task"]) == ("flowers", whole["summary"], "text-to-image")
    assert (flowers["authors"], roses["authors"]) == (whole["card"]["authors"], ["ben"])
    assert (flowers["version"], flowers["status"]) == ("1", whole["versions"][0]["status"])
    assert flowers["changed_at"] == whole["versions"][0]["created_at"]
    assert not {"signature", "examples", "versions", "replicas"} & set(flowers)
    assert [one["name"] for one in await listed(author="ben")] == ["roses"]
    world.refused(await world.by("zoe").get("/api/v1/models", params={"view": "none"}), 422, "invalid_input")
