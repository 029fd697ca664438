"""Secrets on a machine: opened for a process, and in nothing that is told of it."""

from __future__ import annotations

import pytest

from fairlead.errors import Invalid
from fairlead.identity.seal import Sealer, secret_name
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.messages import (
    EnvironmentSpec,
    ErrorInfo,
    ModelSpec,
    NodeReport,
    NodeWanted,
    Prepared,
    VersionReport,
    VersionWanted,
)
from fairlead.status import VersionStatus

SEALER = Sealer(bytes(32))


def node(*values: str) -> NodeWanted:
    sealed = {f"S{index}": SEALER.seal(value, secret_name("m", f"S{index}")) for index, value in enumerate(values)}
    spec = ModelSpec(name="m", version="1", runtime="python")
    version = VersionWanted(
        spec=spec, digest="d", bundle_key="k", environment=EnvironmentSpec(), gate="g", secrets=sealed
    )
    return NodeWanted("local", 1, versions=(version,))


def report(said: str) -> NodeReport:
    error = ErrorInfo("load_failed", f"no {said}", f"try {said}")
    return NodeReport(
        "local",
        1,
        "2026-11-20T14:03:00Z",
        prepared=(Prepared("model", "m", "1", "d", "failed", error=error, last_lines=(said,)),),
        versions=(VersionReport("m", "1", VersionStatus.FAILED, error=error, last_lines=(f"key {said}",)),),
    )


def test_values_are_opened_and_a_missing_one_is_named() -> None:
    secrets = Secrets(lambda: SEALER)
    (version,) = node("hunter22").versions

    assert secrets.opened("m", version.secrets) == {"S0": "hunter22"}
    with pytest.raises(Invalid, match="needs the secret S1") as caught:
        secrets.opened("m", {**version.secrets, "S1": b""})
    assert caught.value.code == "secret_missing"


def test_reports_hold_no_secret_neither_a_present_nor_an_earlier_one() -> None:
    secrets = Secrets(lambda: SEALER)
    secrets.want(node("hunter22"))
    secrets.want(node("hunter33"))

    told = secrets.hidden(report("hunter22 hunter33"))
    assert "hunter" not in str(told)
    assert told.versions[0].last_lines == ("key *** ***",)
    assert told.versions[0].status is VersionStatus.FAILED


def test_without_secrets_a_report_is_passed_on_as_it_is() -> None:
    secrets = Secrets(lambda: SEALER)
    secrets.want(node())
    told = report("plain")
    assert secrets.hidden(told) is told


def test_secrets_of_another_key_hide_nothing_and_break_nothing() -> None:
    secrets = Secrets(lambda: Sealer(b"\1" * 32))
    secrets.want(node("hunter22"))
    assert "hunter22" in str(secrets.hidden(report("hunter22")))
