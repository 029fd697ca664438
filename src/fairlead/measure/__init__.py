"""Load, comparison and simulated devices."""
