"""Public fakes and what tests start: ``Stage`` for tests of apps, ``ManualClock`` for time that a test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairlead.testing.clock import ManualClock as ManualClock

if TYPE_CHECKING:
    from fairlead.testing.stage import Stage as Stage

__all__ = ["ManualClock", "Stage"]


def __getattr__(name: str) -> Any:
    if name != "Stage":
        raise AttributeError(f"module 'fairlead.testing' has no attribute {name!r}")
    from fairlead.testing.stage import Stage  # it takes half a second: only who plays an app has it

    return Stage
