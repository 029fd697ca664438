"""Decides what a model's card says, and whose word each fact is: its manifest's, arXiv's or Hugging Face's. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead.supervisor import bounds

MANIFEST, ARXIV, HUGGINGFACE = "manifest", "arxiv", "huggingface"
_ARXIV_ID = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d{1,3})?")
_ARXIV = re.compile(
    rf"(?:arxiv:\s*|https?://(?:www\.|export\.)?arxiv\.org/(?:abs|pdf)/)?({_ARXIV_ID.pattern})(?:\.pdf)?/?", re.I
)
_REPOSITORY = re.compile(r"(?:https?://huggingface\.co/)?([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})/?", re.A)
TEXT_MAX, WORD_MAX, WORDS_MAX = 8_000, 300, 200
"""Characters of an abstract and of anything else, and entries of a list, that are kept of what a site says."""
_OWN = ("authors", "license", "abstract", "task", "tags", "datasets", "base_model", "homepage", "scores")
_OTHERWISE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "authors": ((ARXIV, "authors"), (HUGGINGFACE, "author")),
    "license": ((HUGGINGFACE, "license"),),
    "abstract": ((ARXIV, "abstract"),),
    "task": ((HUGGINGFACE, "task"),),
    "tags": ((HUGGINGFACE, "tags"),),
    "datasets": ((HUGGINGFACE, "datasets"),),
    "base_model": ((HUGGINGFACE, "base_model"),),
}
"""Where a fact comes from that the manifest does not tell: site and field, the first that has it."""


@dataclass(frozen=True, slots=True)
class Ref:
    """One thing that a site knows: a paper, or a repository of weights."""

    site: str
    id: str

    @property
    def url(self) -> str:
        base = "https://arxiv.org/abs/" if self.site == ARXIV else "https://huggingface.co/"
        return f"{base}{self.id}"


@dataclass(frozen=True, slots=True)
class Known:
    """What a site said of it, and when; no ``facts`` where it has not been asked, or could not be."""

    ref: Ref
    facts: Mapping[str, Any] | None = None
    fetched_at: datetime | None = None
    tried_at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact and whose word it is."""

    value: Any
    source: str
    at: datetime | None = None
    """When a site said so; None of a manifest, which does not change."""


def refs_of(card: Mapping[str, Any]) -> tuple[Ref, ...]:
    """Return what a card names that a site knows; a paper that lies elsewhere is none."""
    found = []
    if match := _ARXIV.fullmatch(str(card.get("paper", "")).strip()):
        found.append(Ref(ARXIV, match[1]))
    if match := _REPOSITORY.fullmatch(str(card.get("huggingface", "")).strip()):
        found.append(Ref(HUGGINGFACE, match[1]))
    return tuple(found)


def facts_of(card: Mapping[str, Any], known: Sequence[Known]) -> dict[str, Fact]:
    """Return the facts of a card by name: the manifest's own words first, for what it leaves out those of the sites."""
    said = {one.ref.site: one for one in known if one.facts}
    found = {name: Fact(card[name], MANIFEST) for name in _OWN if card.get(name)}
    for name, places in _OTHERWISE.items():
        if name in found:
            continue
        for site, field in places:
            one = said.get(site)
            if one is not None and one.facts and (value := one.facts.get(field)):
                found[name] = Fact(
                    [value] if name == "authors" and isinstance(value, str) else value, site, one.fetched_at
                )
                break
    return found


def matches(
    name: str,
    owner: str,
    summary: str,
    card: Mapping[str, Any],
    *,
    author: str = "",
    task: str = "",
    tag: str = "",
    q: str = "",
) -> bool:
    """Whether a model is one that is looked for: by a part of an author's name or its owner, its task, one of its tags,
    and words that all stand somewhere."""
    authors, tags = _words(card.get("authors")), _words(card.get("tags"))
    told = str(card.get("task", "")).casefold()
    if author and author.casefold() != owner and not any(author.casefold() in one for one in authors):
        return False
    if task and task.casefold() != told:
        return False
    if tag and tag.casefold() not in tags:
        return False
    if not q:
        return True
    text = "\n".join((name, owner, summary.casefold(), told, *authors, *tags, str(card.get("abstract", "")).casefold()))
    return all(word in text for word in q.casefold().split())


def bounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a site said, no longer than is kept; what says nothing is left out."""
    cut = {name: _cut(value, TEXT_MAX if name == "abstract" else WORD_MAX) for name, value in facts.items()}
    return {name: value for name, value in cut.items() if value not in (None, "", [])}


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, str):
        return bounds.text(" ".join(value.split()), most)
    if isinstance(value, Iterable):
        return [bounds.text(str(one), WORD_MAX) for one, _ in zip(value, range(WORDS_MAX), strict=False)]
    return bounds.text(str(value), most)


def _words(value: Any) -> list[str]:
    return [str(one).casefold() for one in value] if isinstance(value, list | tuple) else []
