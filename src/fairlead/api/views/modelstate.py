"""How a model is, in a word, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fairlead.api.views.models import loop_of
from fairlead.messages import NodeReport
from fairlead.models.queries import PRODUCTION
from fairlead.status import VersionStatus
from fairlead.store.records import Alias, ModelVersion

_WORDS = {
    VersionStatus.BUILDING: "is being prepared",
    VersionStatus.STARTING: "is starting",
    VersionStatus.READY: "ready",
    VersionStatus.SLEEPING: "asleep",
    VersionStatus.RETIRED: "retired",
    VersionStatus.FAILED: "failed",
}
_ANSWERS = (VersionStatus.READY, VersionStatus.SLEEPING)


class State(msgspec.Struct, frozen=True):
    """One word for people."""

    word: str
    answers: bool = False
    is_bad: bool = False


def of(
    name: str, versions: Sequence[ModelVersion], aliases: Sequence[Alias], reports: Sequence[NodeReport]
) -> tuple[State, str]:
    """Return how what ``production`` names of a model is, and what to do where it is not well."""
    newest = versions[0] if versions else None
    held = next((alias for alias in aliases if alias.alias == PRODUCTION), None)
    named = max(held.targets, key=lambda target: target.weight).version if held else ""
    main = next((one for one in versions if one.version == named), None)
    if main is None:
        if newest is None:
            return State("no version"), "push it again"
        return State(_WORDS[newest.status], is_bad=newest.status is VersionStatus.FAILED), _do(name, newest)
    if loop := loop_of(name, main.version, reports):
        return State(
            "crashes", is_bad=True
        ), f"{main.version}: {loop}; fairlead logs {name}, fairlead models rollback {name}"
    state = State(_WORDS[main.status], answers=main.status in _ANSWERS, is_bad=main.status is VersionStatus.FAILED)
    if newest is not None and newest is not main and newest.status is VersionStatus.FAILED:
        return state, f"{main.version} answers; {_do(name, newest)}"
    return state, "" if state.answers else _do(name, main)


def _do(name: str, version: ModelVersion) -> str:
    """Return what a version is about, and where more of it is told."""
    if version.status is VersionStatus.FAILED:
        return f"{version.version} failed: {version.reason}; fairlead models show {name}@{version.version}"
    return f"{version.version}: {version.reason}" if version.reason else ""
