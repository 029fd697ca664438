"""Asks arXiv and Hugging Face by their own clients, which are an extra: ``pip install fairlead[hub]``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead.clock import to_text
from fairlead.errors import NotFound, Unavailable
from fairlead.hub.cards import ARXIV, HUGGINGFACE, Ref, bounded

TIMEOUT_S = 5.0
"""For one answer of a site."""
_EXTRA = "install the extra: pip install 'fairlead[hub]'"


@dataclass
class Sites:
    """The two sites; ``None`` is where each of them is."""

    arxiv_url: str | None = None
    huggingface_url: str | None = None
    _arxiv: Any = field(default=None, repr=False)
    """Kept: the client itself waits three seconds between two requests, as arXiv asks for."""

    def ask(self, ref: Ref) -> dict[str, Any]:
        """Return what the site says of ``ref``; takes seconds.

        Raises :class:`Unavailable` (``site_extra_missing``, ``site_down``) and :class:`NotFound` (``site_unknown``).
        """
        asks: Mapping[str, Callable[[str], dict[str, Any]]] = {ARXIV: self._paper, HUGGINGFACE: self._repository}
        return bounded(asks[ref.site](ref.id))

    def _paper(self, id: str) -> dict[str, Any]:
        try:
            import arxiv
            import requests
        except ImportError as error:
            raise Unavailable("the client of arXiv is not installed", code="site_extra_missing", hint=_EXTRA) from error
        if self._arxiv is None:
            client = arxiv.Client(page_size=1, num_retries=1)
            if self.arxiv_url:
                client.query_url_format = f"{self.arxiv_url.rstrip('/')}/api/query?{{}}"
                client.delay_seconds = 0  # a mirror of one's own
            # the client knows no bound of its own
            client._session.get = functools.partial(client._session.get, timeout=TIMEOUT_S)
            self._arxiv = client
        try:
            found = next(self._arxiv.results(arxiv.Search(id_list=[id], max_results=1)), None)
        except (arxiv.ArxivError, requests.RequestException, ValueError) as error:
            raise _down("arXiv", error) from error
        if found is None:
            raise NotFound(f"arXiv knows no paper {id}", code="site_unknown", hint="[card] paper is its id")
        return {
            "id": found.get_short_id(),
            "title": found.title,
            "authors": [one.name for one in found.authors],
            "abstract": found.summary,
            "published": to_text(found.published),
            "updated": to_text(found.updated),
            "categories": found.categories,
            "journal": found.journal_ref,
            "doi": found.doi,
            "comment": found.comment,
            "url": found.entry_id,
            "pdf": found.pdf_url,
        }

    def _repository(self, id: str) -> dict[str, Any]:
        try:
            import huggingface_hub
            from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
        except ImportError as error:
            said = "the client of Hugging Face is not installed"
            raise Unavailable(said, code="site_extra_missing", hint=_EXTRA) from error
        client = huggingface_hub.HfApi(endpoint=self.huggingface_url, token=False)
        try:
            found = client.model_info(id, timeout=TIMEOUT_S)
        except RepositoryNotFoundError as error:
            said = f"Hugging Face knows no model {id}"
            raise NotFound(said, code="site_unknown", hint="[card] huggingface is owner/name") from error
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise _down("Hugging Face", error) from error
        except Exception as error:
            # its transport is one of two libraries, whose errors have no root in common with ours
            if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore2", "requests"):
                raise _down("Hugging Face", error) from error
            raise
        card = found.card_data.to_dict() if found.card_data is not None else {}
        return {
            "id": found.id,
            "author": found.author,
            "task": found.pipeline_tag,
            "tags": found.tags,
            "license": card.get("license"),
            "datasets": _list(card.get("datasets")),
            "base_model": ", ".join(_list(card.get("base_model"))),
            "library": found.library_name,
            "downloads": found.downloads,
            "likes": found.likes,
            "last_modified": to_text(found.last_modified) if found.last_modified else None,
            "revision": found.sha,
            "gated": bool(found.gated),
            "url": Ref(HUGGINGFACE, found.id).url,
        }


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value or ()]


def _down(site: str, error: Exception) -> Unavailable:
    said = f"{site} does not answer: {type(error).__name__}: {str(error)[:200]}"
    return Unavailable(said, code="site_down", hint="it is asked again later; card_facts = false never asks")
