"""From a folder to the zip it travels in: the same bytes for the same content, whoever packs it and when."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.bundles import disk
from fairlead.bundles.archive import File, digest
from fairlead.errors import Conflict, Invalid, Problem

if TYPE_CHECKING:
    import pathspec

IGNORE_FILE = ".fairleadignore"
"""Names what stays behind, in the words of ``.gitignore``."""
IGNORED = (
    "__pycache__/",
    "*.py[co]",
    ".git/",
    ".hg/",
    ".svn/",
    ".venv/",
    "venv/",
    "node_modules/",
    ".ipynb_checkpoints/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    "*.egg-info/",
    ".idea/",
    ".vscode/",
    ".DS_Store",
    "Thumbs.db",
    ".env",
    ".env.*",
    "*.part",
)
"""What never travels, unless ``.fairleadignore`` brings it back with ``!``."""
_SAMPLE_BYTES = 1024**2
_CHUNK_BYTES = 1024**2
_WORTH = 0.9
"""A sample that packs to more than this share is stored as it is: weights rarely shrink."""
_TIGHTEST = 100
"""What packs tighter is stored as it is: archives that unpack to far more are refused as bombs."""
_MOMENT = (1980, 1, 1, 0, 0, 0)


def files(folder: Path, *, everything: bool = False, leave_out: Path | None = None) -> list[File]:
    """Return the files of ``folder`` that make the bundle, sorted, with their sums.

    ``everything`` disregards what is to be ignored: for a folder that came out of an archive. Links to files within
    the folder count as the file. Raises :class:`Invalid` for links out of it and for what is no file.
    """
    root = folder.resolve()
    ignored = None if everything else _ignored(root)
    other = leave_out.resolve() if leave_out is not None else None
    found, problems = [], []
    for path in _walk(root, "", ignored):
        here = root / path
        if other is not None and here == other:
            continue
        if problem := _not_ours(root, here, path):
            problems.append(problem)
            continue
        content, size = _sum(here)
        found.append(File(path, size, content, bool(here.stat().st_mode & 0o100)))
    if problems:
        message = f"{problems[0].path}: {problems[0].message}"
        raise Invalid(message, code="bundle_invalid", hint=problems[0].hint, problems=tuple(problems))
    return sorted(found, key=lambda file: file.path)


def pack(folder: Path, output: Path, listed: Sequence[File] | None = None) -> str:
    """Write the bundle in ``folder`` to the zip ``output`` and return its content's digest.

    ``listed`` are its files where they are known already. ``output`` appears whole and on disk, or not at all. Raises
    :class:`Invalid` as :func:`files` does, and :class:`Conflict` when a file changes meanwhile.
    """
    if listed is None:
        listed = files(folder, leave_out=output)
    temporary = disk.beside(output)
    try:
        with temporary.open("xb") as stream:
            with zipfile.ZipFile(stream, "w") as archive:
                for file in listed:
                    _add(archive, folder / file.path, file)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(output)
        disk.flush_folder(output.absolute().parent)
    finally:
        temporary.unlink(missing_ok=True)
    return digest(listed)


def _ignored(root: Path) -> pathspec.GitIgnoreSpec:
    import pathspec  # control packs nothing, it only takes apart

    lines = list(IGNORED)
    own = root / IGNORE_FILE
    if own.is_file():
        lines += own.read_text(encoding="utf-8", errors="replace").splitlines()
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _walk(root: Path, below: str, ignored: pathspec.GitIgnoreSpec | None) -> Iterator[str]:
    """Yield the paths of all that is no folder, in no order that matters."""
    with os.scandir(root / below) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{below}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if ignored is None or not ignored.match_file(f"{path}/"):
                yield from _walk(root, f"{path}/", ignored)
        elif ignored is None or not ignored.match_file(path):
            yield path


def _not_ours(root: Path, here: Path, path: str) -> Problem | None:
    target = here.resolve()
    if not target.is_relative_to(root):
        return Problem(path, "link", "is a link that leaves the folder", "put a copy of the file in its place")
    if not target.exists():
        return Problem(path, "link", "is a link to nothing", "remove it, or put the file in its place")
    if target.is_dir():
        return Problem(path, "link", "is a link to a folder", "put a copy of the folder in its place")
    if not stat.S_ISREG(target.stat().st_mode):
        return Problem(path, "special", "is not a plain file", f"remove it, or name it in {IGNORE_FILE}")
    return None


def _sum(path: Path) -> tuple[str, int]:
    content, size = sha256(), 0
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            content.update(chunk)
            size += len(chunk)
    return content.hexdigest(), size


def _method(path: Path, size: int) -> int:
    """Return how to pack a file: deflated where that is worth it and no one will take it for a bomb."""
    with path.open("rb") as source:
        sample = source.read(_SAMPLE_BYTES)
        if not sample or len(zlib.compress(sample, 1)) > _WORTH * len(sample):
            return zipfile.ZIP_STORED
        counter, packed = zlib.compressobj(1), 0
        source.seek(0)
        while chunk := source.read(_CHUNK_BYTES):
            packed += len(counter.compress(chunk))
    packed += len(counter.flush())
    return zipfile.ZIP_STORED if size > _TIGHTEST * packed else zipfile.ZIP_DEFLATED


def _add(archive: zipfile.ZipFile, path: Path, file: File) -> None:
    info = zipfile.ZipInfo(file.path, _MOMENT)
    info.create_system = 3  # Unix, so that the mode counts
    info.external_attr = (stat.S_IFREG | (0o755 if file.executable else 0o644)) << 16
    info.compress_type = _method(path, file.size)
    info.file_size = file.size
    content, size = sha256(), 0
    with path.open("rb") as source, archive.open(info, "w", force_zip64=file.size >= 2**31) as target:
        while chunk := source.read(_CHUNK_BYTES):
            content.update(chunk)
            size += len(chunk)
            target.write(chunk)
    if content.hexdigest() != file.sha256 or size != file.size:
        raise Conflict(f"{file.path} changed while it was packed", code="bundle_changed", hint="pack it again")
