"""Moves between statuses."""

from __future__ import annotations

import itertools

import pytest

from fairlead.errors import Conflict
from fairlead.status import (
    MOVES,
    CommandStatus,
    DeliveryStatus,
    DeviceStatus,
    JobStatus,
    MailStatus,
    ReplicaStatus,
    RunStatus,
    Status,
    VersionStatus,
    can_move,
    check_move,
    is_final,
)

LIVES = (VersionStatus, ReplicaStatus, RunStatus, JobStatus, CommandStatus, DeviceStatus, MailStatus, DeliveryStatus)
ALL: list[Status] = [status for life in LIVES for status in life]


def test_every_status_has_its_own_row() -> None:
    assert len(MOVES) == len(ALL)
    assert {(type(status), status) for status in ALL} == set(MOVES)


def test_no_move_leads_into_another_life() -> None:
    for old, new in itertools.product(ALL, ALL):
        if type(old) is not type(new):
            assert not can_move(old, new)


def test_lives_whose_statuses_share_a_word_keep_their_own_moves() -> None:
    assert can_move(JobStatus.FAILED, JobStatus.QUEUED)
    assert not can_move(CommandStatus.FAILED, CommandStatus.ACCEPTED)
    assert can_move(VersionStatus.FAILED, VersionStatus.BUILDING)
    assert not is_final(VersionStatus.FAILED)
    assert is_final(RunStatus.FAILED)


def test_an_illegal_move_says_which_are_legal() -> None:
    with pytest.raises(Conflict) as refused:
        check_move(JobStatus.SUCCEEDED, JobStatus.RUNNING)
    assert refused.value.hint == "from succeeded: nothing"
