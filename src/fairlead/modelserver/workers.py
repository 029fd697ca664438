"""Threads that run a model's code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """Daemon threads that do what they are given: a thread that hangs in a model never keeps the process alive."""

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for index in range(self.count):
            threading.Thread(target=self._serve, name=f"predict-{index}", daemon=True).start()

    def put(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)

    def _serve(self) -> None:
        while True:
            self._tasks.get()()
