"""How a model is, in a word, as the front page says it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fairlead.api.views import modelstate
from fairlead.messages import EnvironmentSpec, Target
from fairlead.status import VersionStatus
from fairlead.store.records import Alias, ModelVersion

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)


def version(number: str, status: VersionStatus, reason: str = "") -> ModelVersion:
    return ModelVersion(
        model="m",
        version=number,
        ordinal=int(number),
        digest=number,
        manifest="{}",
        environment=EnvironmentSpec(),
        status=status,
        reason=reason,
        created_by="ada",
        created_at=NOW,
    )


def production(*targets: Target) -> list[Alias]:
    return [Alias(model="m", alias="production", targets=targets, moved_by="ada", moved_at=NOW)]


@pytest.mark.parametrize(
    ("status", "word", "answers", "bad"),
    [
        (VersionStatus.READY, "ready", True, False),
        (VersionStatus.SLEEPING, "asleep", True, False),
        (VersionStatus.STARTING, "is starting", False, False),
        (VersionStatus.FAILED, "failed", False, True),
    ],
)
def test_what_production_names_counts(status: VersionStatus, word: str, answers: bool, bad: bool) -> None:
    state, _ = modelstate.of("m", [version("1", status)], production(Target("1")), ())

    assert (state.word, state.answers, state.is_bad) == (word, answers, bad)


def test_a_newer_version_that_failed_is_told_beside_the_one_that_answers() -> None:
    versions = [version("2", VersionStatus.FAILED, "no weights"), version("1", VersionStatus.READY)]

    state, what = modelstate.of("m", versions, production(Target("1")), ())

    assert (state.word, what) == ("ready", "1 answers; 2 failed: no weights; fairlead models show m@2")


def test_a_model_that_never_was_ready_says_what_its_newest_version_is() -> None:
    state, what = modelstate.of("m", [version("1", VersionStatus.FAILED, "no weights")], [], ())

    assert (state.word, state.answers, state.is_bad) == ("failed", False, True)
    assert what == "1 failed: no weights; fairlead models show m@1"
    assert modelstate.of("m", [], [], ())[0].word == "no version"
