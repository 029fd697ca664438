"""Public fakes and what tests start."""

from fairlead.testing.clock import ManualClock as ManualClock
