"""Ends of jobs that a replica keeps until control knows them: a keeper may be killed with what it heard. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.messages import JobDone

KEPT_MAX = 64
"""Ends that are kept: as many as a keeper takes from one replica without having ordered them."""
KEPT_BYTES = 64 * 1024**2
"""Of results that a keeper heard already."""


@dataclass(slots=True)
class _End:
    done: JobDone
    is_told: bool = False


class Kept:
    """The oldest is let go of where there are too many; what nobody heard is kept whatever its size."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, int], _End] = {}

    def add(self, done: JobDone) -> None:
        """Keep an end that is about to be told."""
        self._ends[done.job, done.epoch] = _End(done)
        while len(self._ends) > KEPT_MAX:
            del self._ends[next(iter(self._ends))]

    def told(self, done: JobDone) -> None:
        """Note that a keeper was sent all of it."""
        end = self._ends.get((done.job, done.epoch))
        if end is not None:
            end.is_told = True
        told = {key: len(one.done.body) for key, one in self._ends.items() if one.is_told}
        too_many = sum(told.values()) - KEPT_BYTES
        for key, size in told.items():
            if too_many <= 0:
                return
            del self._ends[key]
            too_many -= size

    def forget(self, job: str, epoch: int) -> None:
        """Let go of an end: control knows it."""
        self._ends.pop((job, epoch), None)

    def all(self) -> list[JobDone]:
        """Return what a keeper that has just dialed is told, the oldest first."""
        return [end.done for end in self._ends.values()]
