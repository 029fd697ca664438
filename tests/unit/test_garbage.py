"""When Python's collector looks for cycles."""

from __future__ import annotations

import gc

from fairlead import garbage


def test_what_is_there_when_a_process_settles_is_walked_no_more() -> None:
    before = gc.get_threshold()
    try:
        lasting = [[] for _ in range(100)]
        gc.collect()
        garbage.settle()
        assert gc.get_freeze_count() > len(lasting)
        assert gc.get_threshold()[0] == garbage.NEW_MAX
        assert not any(one is lasting for one in gc.get_objects())
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
