"""When Python's collector looks for cycles in processes that live long."""

from __future__ import annotations

import gc

NEW_MAX = 10_000
"""New objects after which it looks: its 700 is less than what the requests in flight are made of, so each look would
walk them all and find nothing."""


def settle() -> None:
    """Let what is there now stay: no later collection walks it. Called once a process is ready.

    Modules, routes, schemas and a model's libraries live as long as the process, and a full collection that walks those
    of control has everybody wait for 0.2 s. Whoever wants no garbage among them collects first.
    """
    gc.set_threshold(NEW_MAX)
    gc.freeze()
