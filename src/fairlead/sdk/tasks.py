"""Tasks that run code of bundles."""

from __future__ import annotations

import asyncio


def is_canceled() -> bool:
    """Whether the task that runs was canceled from outside; else what was canceled is a task of the bundle's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
