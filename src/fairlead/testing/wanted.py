"""What a machine is told to have, with made-up values where a test does not care."""

from __future__ import annotations

from fairlead.messages import EnvironmentSpec, RunWanted


def run_wanted(run: str = "run-1", **said: object) -> RunWanted:
    """Return a run that is wanted; ``said``: fields with other values."""
    usual: dict[str, object] = {
        "app": "cool",
        "version": "1",
        "digest": "sha256:1",
        "bundle_key": "bundles/1",
        "environment": EnvironmentSpec(),
        "schedule": "night",
        "place": "campus/lab",
        "starts": "2026-01-01T00:00:00Z",
        "ends": None,
        "user": "ada",
    }
    return RunWanted(run=run, **usual | said)  # type: ignore[arg-type] # as each field has it
