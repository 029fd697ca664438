"""Decides which version of a model a reference means. Pure but for the chance of a weighted alias."""

from __future__ import annotations

import random
from collections.abc import Iterable

from fairlead.errors import NotFound
from fairlead.messages import ModelRoute, VersionWanted


class Targets:
    """Routes and gates of all that is wanted, each found at once however many there are."""

    def __init__(self, routes: Iterable[ModelRoute], versions: Iterable[VersionWanted] = ()) -> None:
        self._routes = {route.model: route for route in routes}
        self._gates = {(one.spec.name, one.spec.version): one.gate for one in versions}

    def target(self, ref: str, user: str) -> tuple[str, str]:
        """Return model and version of a call ``model@ref`` by a run of ``user``.

        A run calls models as the person who had it run: a private one of somebody else is not there for it. Raises
        :class:`NotFound` (``no_such_model`` and as :func:`choose` does).
        """
        name, _, wished = ref.partition("@")
        route = self._routes.get(name)
        if route is None or (route.visibility == "private" and route.owner != user):
            raise NotFound(f"there is no model {name} here", code="no_such_model", hint="fairlead models")
        return name, choose(route, wished)

    def gate(self, name: str, version: str) -> str:
        """Return what replicas of a version want to see in ``x-fairlead-gate``; empty for one that is not wanted."""
        return self._gates.get((name, version), "")


def choose(route: ModelRoute, ref: str, chance: float | None = None) -> str:
    """Return the version of ``ref``: an alias, a version, or nothing for ``production``.

    ``chance`` in [0, 1) picks within a weighted alias. Raises :class:`NotFound` (``version_not_found``,
    ``version_gone``).
    """
    name = ref or "production"
    if name in route.versions:
        return name
    if name in route.gone:
        raise NotFound(f"{route.model}@{name} is retired", code="version_gone", hint="no alias names it any more")
    targets = route.targets.get(name, ())
    total = sum(target.weight for target in targets)
    if not targets or total <= 0:
        raise NotFound(
            f"{route.model} has no {name}", code="version_not_found", hint=f"fairlead models show {route.model}"
        )
    point = (random.random() if chance is None else chance) * total
    for target in targets:
        point -= target.weight
        if point < 0:
            return target.version
    return targets[-1].version
