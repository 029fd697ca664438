"""What people read about a model before they use it: its card, and what other sites say of its paper and weights."""
