"""Sends a bundle: a small one whole, of a larger one what the platform lacks, from where it was cut off."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from fairlead.bundles.archive import File
from fairlead.cli import terminal
from fairlead.cli.api import Api, Refused
from fairlead.cli.http import Answer

ONE_BY_ONE_FROM_BYTES = 4 * 1024**2
"""Smaller bundles travel whole: asking what is missing would cost more."""
_SMALL_BYTES = 64 * 1024
_MANY = 100
_TRIES = 6
_PAUSE_S = 0.25
_NOT_FOUND = 3
_FULL = ("disk_full", "uploads_full")
_RACES = ("upload_busy", "offset_differs")
_PLANS = 3
_GONE = ("blob_missing", "bundle_corrupt")
"""What was to be taken from an earlier bundle is not there as it was."""
_SHOWN_EVERY_S = 0.2


def send(api: Api, folder: Path, files: Sequence[File], alias: str) -> Answer:
    """Send the bundle of ``files`` in ``folder`` and return the platform's answer; progress goes to stderr."""
    if sum(file.size for file in files) >= ONE_BY_ONE_FROM_BYTES:
        answer = _one_by_one(api, folder, files, alias)
        if answer is not None:
            return answer
    return _whole(api, folder, files, alias)


def _whole(api: Api, folder: Path, files: Sequence[File], alias: str) -> Answer:
    from fairlead.bundles.pack import pack

    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "bundle.zip"
        pack(folder, archive, files)
        size = archive.stat().st_size
        shown = _Progress(size)
        with archive.open("rb") as body:
            headers = {"Content-Type": "application/zip", "Content-Length": str(size)}
            content = _Part(body, size, "the archive", shown.add)
            answer = api.send("POST", "/api/v1/bundles", params={"alias": alias}, content=content, headers=headers)
        shown.end()
    if answer.status_code != 200:  # what was there already is said by whoever called
        terminal.step(f"sent {size:,} bytes")
    return answer


def _one_by_one(api: Api, folder: Path, files: Sequence[File], alias: str) -> Answer | None:
    """Send what is missing; returns None where the whole archive should be sent instead."""
    listing = {
        "files": [
            {"path": file.path, "size": file.size, "sha256": file.sha256, "executable": file.executable}
            for file in files
        ]
    }
    for _ in range(_PLANS):
        if not _send_missing(api, folder, listing):
            return None
        try:
            return api.send("POST", "/api/v1/bundles", params={"alias": alias}, json=listing)
        except Refused as error:
            if error.code == "files_missing":  # another push of the same files was quicker: they are in its bundle now
                continue
            if error.code not in _GONE:
                raise
            break
    terminal.step("an earlier bundle cannot be used: sending all of it")
    return None


def _send_missing(api: Api, folder: Path, listing: dict[str, Any]) -> bool:
    """Have all files of the list at the platform; False where sending the whole archive is better."""
    try:
        plan = api.post("/bundles/plan", listing)
    except Refused as error:
        if error.exit_code == _NOT_FOUND:  # an older platform
            return False
        raise
    missing, total = plan["missing"], plan["total_bytes"]
    some = plan["missing_bytes"]
    if len(missing) > _MANY and some < _SMALL_BYTES * len(missing) and total - some < ONE_BY_ONE_FROM_BYTES:
        return False  # many small ones: a request each would take longer
    shown = _Progress(total, total - some)
    try:
        for one in missing:
            _file(api, folder / one["path"], one, plan["chunk_bytes"], shown)
    except KeyboardInterrupt:
        shown.end()
        terminal.note(f"stopped; what was sent is kept for a day: fairlead push {folder} goes on from there")
        raise
    finally:
        shown.end()
    terminal.step(f"sent {len(missing)} of {len(listing['files'])} files, {some:,} of {total:,} bytes")
    return True


def _file(api: Api, path: Path, one: dict[str, Any], chunk_bytes: int, shown: _Progress) -> None:
    """Send the rest of a file, piece by piece; what the network breaks off goes on from where it was."""
    url, size, at = f"/api/v1/bundles/files/{one['sha256']}", int(one["size"]), int(one["offset"])
    tries, done = 0, False
    with path.open("rb") as source:
        while not done:
            length = min(chunk_bytes, size - at)
            source.seek(at)
            headers = {
                "Content-Type": "application/offset+octet-stream",
                "Content-Length": str(length),
                "Upload-Offset": str(at),
                "Upload-Length": str(size),
            }
            before = shown.at
            try:
                answer = api.send("PATCH", url, content=_Part(source, length, one["path"], shown.add), headers=headers)
                now = int(answer.headers["Upload-Offset"])
                done, tries = now >= size, 0
            except Refused as error:
                if error.code in _FULL or not (error.exit_code in (6, 7) or error.code in _RACES) or tries == _TRIES:
                    raise
                tries += 1
                now = _offset(api, url, at, tries)
            shown.at = before + now - at
            at = now


def _offset(api: Api, url: str, known: int, tries: int) -> int:
    """Return how much of a file came, after a pause; ``known`` where nobody can tell yet."""
    time.sleep(_PAUSE_S * 2**tries)
    try:
        return int(api.send("HEAD", url).headers["Upload-Offset"])
    except Refused as error:
        if error.exit_code not in (6, 7):
            raise
        return known


class _Part:
    """The next ``length`` bytes of an open file, as the body of a request."""

    def __init__(self, source: IO[bytes], length: int, name: str, tell: Callable[[int], None]) -> None:
        self._source, self._left, self._name, self._tell = source, length, name, tell

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes; raises :class:`Refused` where the file has become shorter."""
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        block = self._source.read(wanted)
        if not block:
            raise Refused(f"{self._name} changed while it was sent", code="bundle_changed", hint="push again")
        self._left -= len(block)
        self._tell(len(block))
        return block


class _Progress:
    """One line on a terminal that tells how far it is; elsewhere nothing."""

    def __init__(self, total: int, at: int = 0) -> None:
        self.at, self._total = at, total
        self._shown_at = time.monotonic()
        self._shown = False

    def add(self, size: int) -> None:
        """Count ``size`` more bytes, and show it now and then."""
        self.at += size
        now = time.monotonic()
        if now - self._shown_at >= _SHOWN_EVERY_S and sys.stderr.isatty():
            self._shown_at, self._shown = now, True
            share = 100 * self.at // max(1, self._total)
            terminal.progress(f"sent {self.at / 1e6:,.1f} of {self._total / 1e6:,.1f} MB ({share} %)")

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            terminal.progress("")
            self._shown = False
