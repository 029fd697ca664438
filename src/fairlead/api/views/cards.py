"""The card of a model: each fact with whose word it is."""

from __future__ import annotations

from typing import Any

from fairlead.api.views.base import View, moment
from fairlead.hub.cards import Known, facts_of
from fairlead.store.records import Model


class FactView(View):
    value: Any
    source: str
    """manifest, arxiv or huggingface."""
    at: str | None
    """When the site said so."""


class SiteView(View):
    """One site and what it says of the paper or the weights that the manifest names."""

    source: str
    id: str
    url: str
    state: str
    """fetched, waiting (to be asked), failed (with why) or off (by setting)."""
    why: str
    fetched_at: str | None
    tried_at: str | None
    facts: dict[str, Any]


class CardView(View):
    model: str
    owner: str
    summary: str
    facts: dict[str, FactView]
    paper: str
    """As the manifest names it; empty where it names none."""
    sites: list[SiteView]


def card_view(model: Model, known: list[Known], *, is_on: bool) -> CardView:
    facts = facts_of(model.card, known)
    return CardView(
        model=model.name,
        owner=model.owner,
        summary=model.summary,
        facts={name: FactView(value=one.value, source=one.source, at=moment(one.at)) for name, one in facts.items()},
        paper=str(model.card.get("paper", "")),
        sites=[_site(one, is_on) for one in known],
    )


def _site(known: Known, is_on: bool) -> SiteView:
    state = "fetched" if known.facts else "off" if not is_on else "failed" if known.why else "waiting"
    return SiteView(
        source=known.ref.site,
        id=known.ref.id,
        url=known.ref.url,
        state=state,
        why=known.why,
        fetched_at=moment(known.fetched_at),
        tried_at=moment(known.tried_at),
        facts=dict(known.facts or {}),
    )
