"""Until when a device stays online if it says nothing more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fairlead.devices import freshness
from fairlead.devices.freshness import Known
from fairlead.status import DeviceStatus

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("fresh_s", "measured_at", "until"),
    [
        ({}, {}, None),
        ({"a": 60}, {}, 60),
        ({"a": 60}, {"a": 30}, 90),
        ({"a": 60}, {"a": -30}, 60),  # before it was online: awaited since then
        ({"a": 60, "b": 20}, {"a": 30, "b": 30}, 50),
        ({"a": 60, "b": 20}, {"b": 300}, 60),
    ],
)
def test_it_stays_so_until_the_first_property_is_overdue(
    fresh_s: dict[str, float], measured_at: dict[str, float], until: float | None
) -> None:
    moments = {name: later(seconds) for name, seconds in measured_at.items()}
    known = Known(DeviceStatus.ONLINE, NOON, fresh_s, moments)

    assert freshness.until(known) == (None if until is None else later(until))
    if until is not None:
        assert freshness.judge(known, later(until)).status is DeviceStatus.ONLINE
        assert freshness.judge(known, later(until + 0.001)).status is DeviceStatus.STALE


@pytest.mark.parametrize("status", [DeviceStatus.OFFLINE, DeviceStatus.STALE, DeviceStatus.PROVISIONED])
def test_of_others_there_is_no_such_moment(status: DeviceStatus) -> None:
    assert freshness.until(Known(status, NOON, {"a": 60}, {})) is None
