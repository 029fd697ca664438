"""Pieces of answers that are being made, for those who follow a job. In memory alone: the result has them all."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from fairlead.messages import PARTIAL_BYTES, PIECE_BYTES, JobPartial

ALL_BYTES = 8 * 1024**2
"""Of all jobs; the pieces of those that got none for the longest go first."""


def key_of(job: str) -> str:
    """Return what those wait for who follow the pieces of a job: its moves in the ledger are told apart from them."""
    return f"{job}/pieces"


@dataclass(slots=True)
class _Told:
    epoch: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


class Partials:
    """What replicas have told."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._size = 0

    def take(self, message: JobPartial) -> None:
        """Keep the pieces; those of an older attempt, or of no JSON, are left out."""
        told = self._told.get(message.job)
        if told is not None and told.epoch > message.epoch:
            return
        if told is None or told.epoch < message.epoch:
            self._drop(message.job)
            told = self._told[message.job] = _Told(message.epoch)
        self._told.move_to_end(message.job)
        for number, piece in enumerate(message.pieces, message.first):
            size = len(piece) + PIECE_BYTES
            if number in told.pieces or told.size + size > PARTIAL_BYTES or not _is_json(piece):
                continue
            told.pieces[number] = piece
            told.size += size
            self._size += size
        while self._size > ALL_BYTES:
            self._drop(next(iter(self._told)))

    def after(self, job: str, epoch: int, number: int) -> tuple[int, list[tuple[int, bytes]]]:
        """Return the attempt (its epoch) that has told pieces, and those beyond ``number`` of ``epoch``."""
        told = self._told.get(job)
        if told is None:
            return epoch, []
        beyond = number if told.epoch == epoch else -1
        return told.epoch, [(one, piece) for one, piece in sorted(told.pieces.items()) if one > beyond]

    def _drop(self, job: str) -> None:
        told = self._told.pop(job, None)
        if told is not None:
            self._size -= told.size


def _is_json(piece: bytes) -> bool:
    try:
        msgspec.json.decode(piece)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
