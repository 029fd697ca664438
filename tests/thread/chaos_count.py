"""What became of every key: lost, done twice, without an end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.thread.chaos_jobs import Asked, Row

FAULTS = {
    "not accepted": "whoever submitted it never got a 202",
    "lost": "it got a 202, and the ledger does not have that job",
    "two jobs": "its key stands for more than one job",
    "unknown": "the ledger has a job that nobody asked for",
    "without an end": "it is in no final state",
    "not ended once": "it came to an end more than once, or nobody noted it",
    "answer changed": "whoever asked before was told another end, or another result",
    "answer of nobody": "its result is none that the model gave under this key",
    "done more often than begun": "the model did it more often than the ledger let it begin",
    "failed": "it could be done, and was given up",
    "canceled by nobody": "it is canceled, and nobody asked for that",
    "key taken twice": "the same key for another call was not refused with 422",
}
"""What must not be of any key, and what it means."""


@dataclass(frozen=True, slots=True)
class Counted:
    """All keys, counted."""

    keys: int
    states: dict[str, int]
    attempts: dict[int, int]
    """How many jobs took how many attempts."""
    done_again: int
    """Keys that the model did more than once: an attempt was cut off, and another made."""
    refused: int
    """Answers of the model that came to nothing: their attempt counted no more, or who brought them was killed."""
    faults: dict[str, list[str]]
    """By fault the keys that have it."""

    @property
    def is_good(self) -> bool:
        return not any(self.faults.values())


def count(
    asked: Mapping[str, Asked],
    rows: Sequence[Row],
    began: Mapping[str, Sequence[str]],
    answered: Mapping[str, Sequence[str]],
) -> Counted:
    """Return what became of all keys; ``began`` and ``answered`` are the model's effects by key."""
    faults: dict[str, list[str]] = {name: [] for name in FAULTS}
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    for key, one in asked.items():
        for name in _of_key(one, by_key.get(key, [])):
            faults[name].append(key)
    for key, found in by_key.items():
        if key not in asked:
            faults["unknown"].append(key)
            continue
        for row in found:
            for name in _of_row(asked[key], row, began.get(key, ())):
                faults[name].append(key)
    effects = {row.effect for row in rows if row.effect}
    return Counted(
        keys=len(asked),
        states=dict(Counter(row.status for row in rows)),
        attempts=dict(sorted(Counter(row.attempts for row in rows).items())),
        done_again=sum(len(each) > 1 for each in began.values()),
        refused=sum(effect not in effects for each in answered.values() for effect in each),
        faults=faults,
    )


def _of_key(asked: Asked, found: Sequence[Row]) -> list[str]:
    """Return the faults of a key and its jobs together."""
    known = {row.job for row in found}
    faults = []
    if not asked.accepted:
        faults.append("not accepted")
    if asked.jobs - known:
        faults.append("lost")
    if len(known | asked.jobs) > 1:
        faults.append("two jobs")
    if asked.other_taken:
        faults.append("key taken twice")
    return faults


def _of_row(asked: Asked, row: Row, began: Sequence[str]) -> list[str]:
    """Return the faults of one job."""
    faults = []
    if row.status not in ("succeeded", "failed", "canceled"):
        faults.append("without an end")
    if row.finished and row.ends != 1:
        faults.append("not ended once")
    if any(seen != (row.status, row.effect) for seen in asked.seen):
        faults.append("answer changed")
    if row.status == "succeeded" and (row.effect not in began or row.number != asked.number):
        faults.append("answer of nobody")
    if len(began) > row.attempts:
        faults.append("done more often than begun")
    if row.status == "failed":
        faults.append("failed")
    if row.status == "canceled" and not asked.canceled:
        faults.append("canceled by nobody")
    return faults
