"""Find a recorded child again after its keeper died."""

from __future__ import annotations

import os
from collections.abc import Iterable

from fairlead.supervisor.child import Child
from fairlead.supervisor.proc import boot_id, start_time
from fairlead.supervisor.process import Record


def adopt(record: Record) -> Child | None:
    """Return the living process of ``record``; ``None`` when it is gone or its pid belongs to another by now.

    The pidfd is opened first and compared afterwards: in this order a pid that is reused in between is noticed.
    """
    if record.boot_id != boot_id():
        return None
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    if start_time(record.pid) != record.start_time:
        os.close(pidfd)
        return None
    return Child(record.pid, pidfd)


def adopt_all(records: Iterable[Record]) -> dict[str, Child]:
    """Return by name the children of ``records`` that live."""
    return {record.name: child for record in records if (child := adopt(record)) is not None}
