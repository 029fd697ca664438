"""Models and their versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead.api.views.base import View, moment
from fairlead.api.views.traffic import TrafficView, traffic_views
from fairlead.messages import ErrorInfo, Evidence, NodeReport, Target
from fairlead.models import queries
from fairlead.modelserver.protocols.words import inputs_in_words
from fairlead.status import VersionStatus
from fairlead.store.records import Alias, AppVersion, Model, ModelVersion


class TargetView(View):
    version: str
    weight: int


class ReplicaView(View):
    replica: str
    node: str
    version: str
    status: str
    reason: str
    pid: int
    since: str
    served: int
    failed: int
    in_flight: int
    queued: int
    compiled: bool = False
    ejected: str = ""
    """Why it gets hardly any calls; empty: it gets its share."""


class TriedView(View):
    title: str
    ok: bool
    checked: bool
    """Whether its answer was held against an expected one, not only asked for."""
    took_ms: float
    said: str
    """What was wrong."""


class EvidenceView(View):
    """How the examples of the manifest went when a replica was checked last: at each start, so after each deploy."""

    at: str
    ok: bool
    replica: str
    examples: list[TriedView]


class VersionView(View):
    version: str
    status: str
    reason: str
    said: str
    digest: str
    created_at: str | None
    created_by: str
    ready_at: str | None = None
    warnings: list[str] = []
    last_lines: list[str] = []
    error: dict[str, Any] | None = None
    serving: str = ""
    """What answers of a scikit-learn artifact: ``compiled (onnx)…``, or ``as it is: …`` with why."""
    crash: str = ""
    """How a replica crashed last, and when, since the keeper began."""
    evidence: EvidenceView | None = None
    """Of a version of a model; none before its first replica was checked, or where it has no examples."""


class ModelView(View):
    name: str
    owner: str
    visibility: str
    summary: str
    card: dict[str, Any]
    url: str
    aliases: dict[str, list[TargetView]]
    versions: list[VersionView]
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    signature: dict[str, Any] | None = None
    examples: list[dict[str, Any]] = []
    replicas: list[ReplicaView] = []
    traffic: list[TrafficView] = []
    pending: str | None = None
    """Why a change is not in force yet."""


def version_view(version: ModelVersion | AppVersion, step: str = "") -> VersionView:
    """Return a version of a model or app; ``said`` is how far its preparation is, in words."""
    return VersionView(
        version=version.version,
        status=version.status.value,
        reason=version.reason,
        said=(step or version.reason) if version.status.value in ("building", "starting") else "",
        digest=version.digest,
        created_at=moment(version.created_at),
        created_by=version.created_by,
        ready_at=moment(version.ready_at),
        warnings=list(version.warnings),
        last_lines=list(version.last_lines),
        error=error_of(version),
        evidence=_evidence(version.evidence) if isinstance(version, ModelVersion) and version.evidence else None,
    )


def _evidence(evidence: Evidence) -> EvidenceView:
    tried = [
        TriedView(title=one.title, ok=one.ok, checked=one.checked, took_ms=one.took_ms, said=one.said)
        for one in evidence.examples
    ]
    return EvidenceView(at=evidence.at, ok=all(one.ok for one in tried), replica=evidence.replica, examples=tried)


def error_of(version: ModelVersion | AppVersion) -> dict[str, Any] | None:
    """Return why a version failed, in the shape of every refusal (docs/contract.md §8)."""
    if version.status is not VersionStatus.FAILED:
        return None
    error = version.error or ErrorInfo("version_failed", version.reason)
    return {"code": error.code, "message": error.message, "hint": error.hint}


def target_views(targets: tuple[Target, ...]) -> list[TargetView]:
    return [TargetView(version=target.version, weight=target.weight) for target in targets]


def model_view(
    model: Model, versions: list[ModelVersion], aliases: list[Alias], url: str, reports: tuple[NodeReport, ...]
) -> ModelView:
    main = _main(versions, aliases)
    manifest = queries.manifest_of(main) if main else None
    return ModelView(
        name=model.name,
        owner=model.owner,
        visibility=model.visibility,
        summary=model.summary,
        card=model.card,
        url=f"{url}/v1/models/{model.name}/predict",
        aliases={alias.alias: target_views(alias.targets) for alias in aliases},
        versions=[with_serving(version_view(version), model.name, reports) for version in versions],
        inputs=_in_words(main.signature, "input") if main else {},
        outputs=_in_words(main.signature, "output") if main else {},
        signature=main.signature if main else None,
        examples=[msgspec.to_builtins(example) for example in manifest.examples] if manifest else [],
        replicas=[view for report in reports for view in _replicas(report, model.name)],
        traffic=traffic_views(model.name, reports),
    )


def with_serving(view: VersionView, model: str, reports: tuple[NodeReport, ...]) -> VersionView:
    """Return the view with what machines serve of the version; where they differ, what each does."""
    said = {
        report.node: one.serving
        for report in reports
        for one in report.versions
        if (one.model, one.version) == (model, view.version) and one.serving
    }
    if len(set(said.values())) > 1:
        view.serving = "; ".join(f"{node}: {words}" for node, words in sorted(said.items()))
    else:
        view.serving = next(iter(said.values()), "")
    crashes = [
        (one.crashed_at, one.crash)
        for report in reports
        for one in report.versions
        if (one.model, one.version) == (model, view.version) and one.crashed_at is not None
    ]
    view.crash = "{}: {}".format(*max(crashes)) if crashes else ""
    if view.status in ("ready", "sleeping") and (loop := loop_of(model, view.version, reports)):
        view.reason = f"crash_loop: {loop}"
    return view


def loop_of(model: str, version: str, reports: Sequence[NodeReport]) -> str:
    """Return why no replica of the version answers, nothing where one does."""
    return next(
        (
            one.loop
            for report in reports
            for one in report.versions
            if (one.model, one.version) == (model, version) and one.loop
        ),
        "",
    )


def _in_words(signature: dict[str, Any] | None, way: str) -> dict[str, str]:
    """Return each input or output of ``predict`` in a few words: ``integer, 1 to 12``; none where it says nothing."""
    endpoint = ((signature or {}).get("endpoints") or {}).get("predict") or {}
    return inputs_in_words(endpoint.get(way) or {})


def _main(versions: list[ModelVersion], aliases: list[Alias]) -> ModelVersion | None:
    production = next((alias for alias in aliases if alias.alias == queries.PRODUCTION), None)
    if production is None:
        return versions[0] if versions else None
    named = max(production.targets, key=lambda target: target.weight).version
    return next((version for version in versions if version.version == named), None)


def _replicas(report: NodeReport, model: str) -> list[ReplicaView]:
    return [
        ReplicaView(
            replica=one.replica,
            node=report.node,
            version=one.version,
            status=one.status.value,
            reason=one.reason,
            pid=one.pid,
            since=one.since,
            served=one.served,
            failed=one.failed,
            in_flight=one.in_flight,
            queued=one.queued,
            compiled=one.compiled,
            ejected=one.ejected,
        )
        for one in report.replicas
        if one.model == model
    ]
