"""Public fakes and what tests start."""
