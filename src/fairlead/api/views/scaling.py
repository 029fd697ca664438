"""How many replicas there are and shall be, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from fairlead.api.views.base import View, moment
from fairlead.autoscaler.observe import Observed, observe
from fairlead.bundles.manifest import ModelManifest
from fairlead.control.house import House
from fairlead.store.records import ScalingDecision


class DecisionView(View):
    at: str | None
    version: str
    was: int = Field(serialization_alias="from")
    wanted: int = Field(serialization_alias="to")
    rule: str
    """requests, panic, queue, activation, steady, down, idle, least, most, hold, cores or memory."""
    why: str
    inputs: dict[str, float | None]


class VersionScalingView(View):
    version: str
    ready: int
    starting: int
    wanted: int
    min: int
    max: int
    rule: str
    why: str
    """Why it is as it is now."""
    inputs: dict[str, float | None] = {}


class ScalingView(View):
    model: str
    ready: int
    starting: int
    wanted: int
    versions: list[VersionScalingView]
    """Those that are awake, or shall be."""
    decisions: list[DecisionView]
    """Newest first."""


def scaling_view(
    model: str, asked: Mapping[str, ModelManifest], decisions: Sequence[ScalingDecision], house: House
) -> ScalingView:
    """Return the view of a model; ``asked``: its versions and their manifests."""
    observed = observe(house.nodes.alive())
    shown = [
        view
        for version, manifest in asked.items()
        if (view := _version(model, version, manifest, observed.get((model, version)), house)) is not None
    ]
    return ScalingView(
        model=model,
        ready=sum(one.ready for one in shown),
        starting=sum(one.starting for one in shown),
        wanted=sum(one.wanted for one in shown),
        versions=shown,
        decisions=[
            DecisionView(
                at=moment(one.at),
                version=one.version,
                was=one.was,
                wanted=one.wanted,
                rule=one.rule,
                why=one.why,
                inputs=one.inputs,
            )
            for one in decisions
        ],
    )


def _version(
    model: str, version: str, manifest: ModelManifest, observed: Observed | None, house: House
) -> VersionScalingView | None:
    state = house.scaling.state((model, version))
    ready, starting = (observed.ready, observed.starting) if observed is not None else (0, 0)
    if state is None and not (ready or starting):
        return None
    last = state.last if state is not None else None
    return VersionScalingView(
        version=version,
        ready=ready,
        starting=starting,
        wanted=state.granted if state is not None else manifest.scale.min,
        min=manifest.scale.min,
        max=manifest.scale.max,
        rule=last.rule if last is not None else "",
        why=last.why if last is not None else "",
        inputs=last.inputs if last is not None else {},
    )
