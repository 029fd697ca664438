"""How objectives are printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fairlead.cli.commands import slo

from .conftest import Door


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "100 %"),
        (0.9999961, "99.999 %"),
        (0.998, "99.8 %"),
        (0.997, "99.7 %"),
        (0.99768, "99.768 %"),
        (0.782, "78.2 %"),
        (0.0, "0 %"),
        (-20.8, "-2080 %"),
    ],
)
def test_a_share_is_never_rounded_up_to_all(share: float, said: str) -> None:
    assert slo._percent(share) == said


def objective(**more: Any) -> dict[str, Any]:
    windows = [
        {"window": name, "valid": 30_000, "bad": 6540, "by": "requests", "burn_rate": 21.8} for name in ("5m", "1h")
    ]
    fast = {
        "name": "fast",
        "severity": "page",
        "windows": ["1h", "5m"],
        "threshold": 14.4,
        "firing": True,
        "since": "2026-11-20T14:03:40Z",
        "resolved_at": None,
    }
    view = {
        "objective": "latency",
        "said": "99 % of answers take less than 100 ms",
        "attainment": 0.782,
        "budget_left": 0.99768,
        "windows": windows,
        "alerts": [fast],
    }
    return view | more


def test_it_is_printed_as_the_guide_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    slo._show(objective())

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "latency: 99 % of answers take less than 100 ms",
        "  in 30 days: 78.2 % attained, 99.768 % of the error budget left",
    ]
    assert lines[2].split() == ["WINDOW", "GOOD", "OF", "BAD", "BURN", "RATE", "BY", "ALERT"]
    assert lines[4] == "1h      78.2 %  30000  6540  21.8       requests  fast from 14.4, firing"
    fires = "  the alert fast (page) fires since 2026-11-20 14:03:40Z: at least 14.4 over 1h and 5m"
    assert lines[5] == fires


def test_what_fired_once_says_from_when_to_when(capsys: pytest.CaptureFixture[str]) -> None:
    over = objective()["alerts"][0] | {"firing": False, "resolved_at": "2026-11-20T15:00:00Z"}
    slo._show(objective(alerts=[over], attainment=None))

    said = capsys.readouterr().out
    assert "nothing counted yet" in said
    assert "the alert fast (page) fired from 2026-11-20 14:03:40Z to 2026-11-20 15:00:00Z" in said


@pytest.mark.parametrize(("slice_s", "said"), [(60, ""), (1, "an hour is 60 s here (setting slo_hour_s): 5m is 5 s, ")])
def test_a_short_hour_is_told(
    cli: Callable[..., tuple[int, str, str]], signed_in: Door, slice_s: int, said: str
) -> None:
    view = {"model": "m", "slice_s": slice_s, "objectives": [], "tell": None}
    signed_in.says("GET /api/v1/models/m/slo", view)

    _, out, _ = cli("slo", "m")

    assert out.partition("30d")[0] == said
