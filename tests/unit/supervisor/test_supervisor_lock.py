"""Whether the holder of a home is gone."""

from __future__ import annotations

import fcntl
import os
import resource

from fairlead.supervisor.lock import is_readable


def test_a_descriptor_beyond_those_that_select_knows_can_be_asked() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    reading, writing = os.pipe()
    high = fcntl.fcntl(reading, fcntl.F_DUPFD, 2000)
    try:
        assert not is_readable(high, 0)
        os.write(writing, b"x")
        assert is_readable(high, 5)
    finally:
        for descriptor in (reading, writing, high):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
