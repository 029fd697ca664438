"""One file per noun. Each gives ``app`` (its group) or ``register(app)`` (verbs of their own)."""
