"""How large a bundle may be."""

from __future__ import annotations

import msgspec

from fairlead.bundles import names


class Limits(msgspec.Struct, frozen=True):
    """How large a bundle may be; ``GET /api/v1/system`` publishes it."""

    total_bytes: int = 4 * 1024**3
    """All files, unpacked."""
    entries: int = 10_000
    """Files and folders."""
    ratio: float = 200
    """How many times larger a file above 1 MiB may be than its packed bytes."""
    depth: int = names.DEPTH
    path_bytes: int = names.PATH_BYTES
