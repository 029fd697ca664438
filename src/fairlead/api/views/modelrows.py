"""Models as lists show them: a thousand are a few hundred kilobytes, not megabytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from fairlead.api.views.base import View, moment
from fairlead.messages import NodeReport
from fairlead.models import queries
from fairlead.models.queries import Standing
from fairlead.store.records import Alias, Model


class ModelShortView(View):
    """A model in a line; ``GET /models/{name}`` has the rest."""

    name: str
    owner: str
    visibility: str
    summary: str
    authors: list[str]
    """Of the card; who pushed it where that names none."""
    task: str
    tags: list[str]
    version: str | None
    """Which answers: the heaviest of ``production``, before that the newest."""
    status: str | None
    reason: str
    """``crash_loop: …`` where no replica stays up."""
    changed_at: str | None
    """When a version was pushed last."""


def short_views(session: Session, models: Sequence[Model], reports: Iterable[NodeReport]) -> list[ModelShortView]:
    """Return models in the order given; neither manifests nor signatures are read."""
    names = [model.name for model in models]
    versions, aliases = queries.standings_of_all(session, names), queries.aliases_of_all(session, names)
    loops = {(one.model, one.version): one.loop for report in reports for one in report.versions if one.loop}
    return [_short(model, versions[model.name], aliases[model.name], loops) for model in models]


def _short(
    model: Model, versions: list[Standing], aliases: list[Alias], loops: dict[tuple[str, str], str]
) -> ModelShortView:
    main = _main(versions, aliases)
    loop = loops.get((model.name, main.version), "") if main and main.status.value in ("ready", "sleeping") else ""
    return ModelShortView(
        name=model.name,
        owner=model.owner,
        visibility=model.visibility,
        summary=model.summary,
        authors=_words(model.card.get("authors")) or [model.owner],
        task=str(model.card.get("task") or ""),
        tags=_words(model.card.get("tags")),
        version=main.version if main else None,
        status=main.status.value if main else None,
        reason=f"crash_loop: {loop}" if loop else main.reason if main else "",
        changed_at=moment(max((one.created_at for one in versions), default=None)),
    )


def _main(versions: list[Standing], aliases: list[Alias]) -> Standing | None:
    production = next((alias for alias in aliases if alias.alias == queries.PRODUCTION), None)
    named = max(production.targets, key=lambda target: target.weight).version if production else None
    return next((one for one in versions if one.version == named), versions[0] if versions else None)


def _words(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else []
