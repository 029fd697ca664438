"""What of a wanted state can be sent: one version that no message carries holds up nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.control import fitting
from fairlead.control.fitting import fit
from fairlead.messages import (
    AppWanted,
    EnvironmentSpec,
    ExampleSpec,
    ModelSpec,
    NodeWanted,
    RunWanted,
    VersionWanted,
    encode,
)
from fairlead.testing.wanted import run_wanted


def version(name: str, example: Any = 1) -> VersionWanted:
    spec = ModelSpec(name, "1", "python", examples=(ExampleSpec("one", example),))
    return VersionWanted(spec, f"sha256:{name}", "key", EnvironmentSpec(), "gate")


def run(name: str, **params: Any) -> RunWanted:
    return run_wanted(name, params=params)


def nested() -> Any:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    return value


APP = AppWanted("app", "1", "sha256:a", "key", EnvironmentSpec())


def test_what_can_be_sent_is_sent_whole() -> None:
    wanted = NodeWanted("local", 0, (version("good"),), (run("run-1"),), (APP,))
    fitted = fit(wanted)
    assert (fitted.wanted, fitted.left_out) == (wanted, ())
    assert fitted.digest == fit(wanted).digest


@pytest.mark.parametrize("bad", [10**30, nested(), object()])
def test_what_cannot_be_encoded_is_left_out_alone_and_named(bad: Any) -> None:
    wanted = NodeWanted("local", 0, (version("good"), version("bad", bad)), (run("run-1"), run("run-2", x=bad)), (APP,))
    fitted = fit(wanted)
    assert [one.what for one in fitted.left_out] == ["bad@1", "run-2"]
    assert [one.model for one in fitted.left_out] == ["bad", ""]
    assert all("cannot be sent" in one.why for one in fitted.left_out)
    assert fitted.wanted == NodeWanted("local", 0, (version("good"),), (run("run-1"),), (APP,))


def test_of_too_much_the_longest_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "WANTED_MAX_BYTES", 100_000)
    small = tuple(version(f"small-{number}", "x" * 100) for number in range(20))
    fitted = fit(NodeWanted("local", 0, (*small, version("big", "x" * 90_000)), (run("run-1", text="x" * 60_000),)))
    assert [one.what for one in fitted.left_out] == ["big@1", "run-1"]
    assert fitted.wanted.versions == small
    assert len(encode(fitted.wanted)) < 100_000
