"""Results that people keep on purpose: what they were made from, who sees them, for how long."""
