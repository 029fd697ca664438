"""Keeps in the bucket what keepers tell of their logs, and reads it from there. Secrets are taken out before."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from fairlead import clock
from fairlead.accounts import vault
from fairlead.buckets.port import Bucket, Entry
from fairlead.control import sources
from fairlead.control.sources import Source, Told
from fairlead.errors import NotFound
from fairlead.identity.seal import Sealer
from fairlead.logs import archive, files
from fairlead.logs.archive import Piece
from fairlead.logs.files import Filter, Line
from fairlead.messages import Answer, LogPiece
from fairlead.store.database import Database
from fairlead.supervisor import logfile

PIECES_MAX = 200
"""So many pieces are read for one question."""
LISTS_MAX = 10
"""For more services than that all is listed at once."""


class LogKeeping:
    """All logs that lie in the bucket."""

    def __init__(self, database: Database, bucket: Bucket, sealer: Sealer, node: str) -> None:
        self._database, self._bucket, self._sealer, self._node = database, bucket, sealer, node

    async def take(self, told: LogPiece) -> Answer:
        """Keep a piece: once it is answered its machine may forget it. The same twice is one."""
        since = clock.from_text(told.since)
        piece = Piece(told.node, told.file, told.beginning, told.offset, since, told.data, told.is_torn, told.times)
        masks = await self._database.read(lambda session: vault.masks(session, ("",), self._sealer))

        def packed() -> tuple[str, bytes]:
            found = archive.lines(piece)
            if hide := masks.get(""):
                found = [msgspec.structs.replace(line, said=hide(line.said)) for line in found]
            return archive.key_of(piece), archive.pack(found)

        key, data = await asyncio.to_thread(packed)
        await self._bucket.put(key, data, archive.CONTENT_TYPE)
        return Answer()

    async def read(self, folder: Path, of: Sequence[Source], wanted: Filter) -> list[Told]:
        """Return the last lines that fit: of the files below ``folder``, and before them of the bucket."""
        found = await asyncio.to_thread(sources.read, folder, of, wanted)
        if len(found) >= wanted.limit:
            return found
        here = await asyncio.to_thread(self._here, folder, of)
        by_prefix = {
            archive.prefix(archive.service_of(pattern)): source
            for source in of
            for pattern in (source.also, source.pattern)
            if pattern
        }
        older: list[Told] = []
        for entry in archive.wanted_of(await self._list(by_prefix), wanted, here)[:PIECES_MAX]:
            source = by_prefix["/".join(entry.key.split("/")[:2])]
            try:
                data = (await self._bucket.get(entry.key)).data
            except NotFound:
                continue
            fitting = await asyncio.to_thread(_fitting, data, wanted)
            older += (Told(source.name, line, source.bundle) for line in fitting)
            if len(found) + len(older) >= wanted.limit:
                break
        return sources.in_order([*older, *found])[-wanted.limit :]

    async def _list(self, prefixes: Collection[str]) -> list[Entry]:
        whole = prefixes if len(prefixes) <= LISTS_MAX else (archive.PREFIX,)
        found = [entry for prefix in whole async for entry in self._bucket.list(prefix)]
        return [entry for entry in found if "/".join(entry.key.split("/")[:2]) in prefixes]

    def _here(self, folder: Path, of: Sequence[Source]) -> frozenset[str]:
        """Return the files that are still on this machine whole: what of them lies in the bucket is read here."""
        return frozenset(
            archive.identity(self._node, path.relative_to(folder).as_posix(), logfile.beginning(path))
            for _, path in sources.paths(folder, of)
        )


def _fitting(data: bytes, wanted: Filter) -> list[Line]:
    return list(files.fitting(archive.unpack(data), wanted))
