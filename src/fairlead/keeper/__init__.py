"""The keeper: one per machine. Starts, watches, restarts and stops everything there; no SQL, no user code."""
