"""What the platform's own programs take of the machine, as the keeper measures it."""

from __future__ import annotations

import os

from fairlead.keeper.programs.use import KNOWN_S, Use


def test_memory_and_processors_are_measured_now_and_then() -> None:
    walked: list[int] = []
    spent = iter((1.0, 6.0))
    use = Use(7, lambda pid: walked.append(pid) or 3 * 1024**2, lambda pid: next(spent))
    for now in (0.0, KNOWN_S / 2, KNOWN_S - 0.1):
        use.look(now)
        assert (use.memory_mb, use.cpu) == (3.0, 0.0)
    use.look(KNOWN_S)
    assert (walked, use.cpu) == ([7, 7], 0.5)


def test_a_process_that_is_gone_takes_nothing() -> None:
    use, here = Use(2**22 + 1), Use(os.getpid())
    for now in (0.0, KNOWN_S):
        use.look(now)
        here.look(now)
    assert (use.memory_mb, use.cpu) == (0.0, 0.0)
    assert here.memory_mb > 1
