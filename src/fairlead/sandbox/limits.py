"""Resource limits, see setrlimit(2)."""

from __future__ import annotations

import resource

from fairlead.sandbox.rules import Limits


def apply(limits: Limits, *, own_uid: bool) -> None:
    """Lower the limits of this process and its children; what is lower already stays so. Raises :class:`OSError`."""
    _lower(resource.RLIMIT_CORE, 0)  # a core file would hold the weights and whatever was asked
    for what, value in (
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_DATA, limits.data_bytes),
        (resource.RLIMIT_NPROC, limits.processes if own_uid else 0),
    ):
        if value:
            _lower(what, value)


def _lower(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))
