"""Whether the code of an app asks for roles that its manifest has not: told before a run fails of it.

Only ``app.device("lamp")`` in the module of the entry, with the entry's own name and a plain text, is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from fairlead.bundles import entries, reading
from fairlead.bundles.shapes import AppManifest
from fairlead.errors import Problem

_TABLES = {"device": "devices", "devices": "devices", "model": "models"}


def unknown(manifest: AppManifest, folder: Path, paths: Collection[str]) -> Iterator[Problem]:
    """Yield each role that the code asks for and the manifest does not name."""
    if manifest.run.entry is None:
        return
    told = set()
    for call in entries.Entry(manifest.run.entry, manifest.run.python, folder, set(paths)).calls(_TABLES):
        table = _TABLES[call.method]
        roles: Collection[str] = getattr(manifest, table)
        if call.text in roles or (table, call.text) in told:
            continue
        told.add((table, call.text))
        name = call.text[:63]
        hint = reading.closest(name, roles) or f"[{table}] has {', '.join(roles) or 'none'}; a run fails of this"
        yield Problem(call.path, "unknown_role", f"line {call.line}: [{table}] has no role {name!a}", hint)
