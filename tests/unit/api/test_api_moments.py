"""Moments as people write them: a time that was printed leads back to what it was printed for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fairlead.api import moments
from fairlead.errors import Invalid

NOW = datetime(2026, 11, 21, 13, 40, 0, 500, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T13:36:56.640123Z", "2026-11-21T13:36:56.640123"),
        ("2026-11-21T13:36:56Z", "2026-11-21T13:36:56.999999"),
        ("2026-11-21 13:37:56 UTC", "2026-11-21T13:37:56.999999"),
        ("2026-11-21T14:36:56+01:00", "2026-11-21T13:36:56.999999"),
        ("13:36", "2026-11-21T13:36:59.999999"),
        ("13:36Z", "2026-11-21T13:36:59.999999"),
        ("13:36:56 UTC", "2026-11-21T13:36:56.999999"),
        ("14:36+01:00", "2026-11-21T13:36:59.999999"),
        ("13:41", "2026-11-20T13:41:59.999999"),
        ("10m", "2026-11-21T13:30:00.000500"),
    ],
)
def test_a_printed_time_leads_back(text: str, moment: str) -> None:
    assert moments.until(text, NOW) == datetime.fromisoformat(f"{moment}+00:00")


@pytest.mark.parametrize("text", ["noon", "25:00", "2026-11-21T13:36:56", "13:36 CET", "13:36+99:99", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        moments.until(text, NOW)

    assert caught.value.code == "moment_invalid"
