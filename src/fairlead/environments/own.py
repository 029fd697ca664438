"""This build of Fairlead as a wheel, made from its installed files: the same from a checkout and from a wheel.

No build backend and no network: what is imported here is what bundles get. The version carries the content's digest
(``0.1.0+b3f2…``), so that no cache takes one build for another.
"""

from __future__ import annotations

import base64
import functools
import importlib.metadata
import os
import re
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import fairlead
from fairlead.bundles import disk
from fairlead.web import DIST

_NAME = "fairlead"
_MOMENT = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: fairlead\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@functools.cache
def source_digest() -> str:
    """Return the digest of this build: its files and its metadata, as they were when first asked for."""
    return _digest(_contents())


def wheel(folder: Path) -> Path:
    """Return the wheel of this build in ``folder``, written if it is not there yet."""
    contents, found = _contents(), source_digest()
    version = f"{importlib.metadata.version(_NAME).partition('+')[0]}+b{found[:12]}"
    target = folder / f"{_NAME}-{version}-py3-none-any.whl"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(target, version, contents)
    return target


@functools.cache
def pins() -> dict[str, str]:
    """Return project to version of the core's requirements, as they stand beside this process: tried together."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = [_NAME]
    while waiting:
        try:
            distribution = importlib.metadata.distribution(waiting.pop())
        except importlib.metadata.PackageNotFoundError:
            continue  # another system's
        for line in distribution.requires or ():
            required = Requirement(line)
            name = canonicalize_name(required.name)
            if name not in found and (required.marker is None or required.marker.evaluate({"extra": ""})):
                try:
                    found[name] = importlib.metadata.version(name)
                except importlib.metadata.PackageNotFoundError:
                    continue
                waiting.append(name)
    return dict(sorted(found.items()))


@functools.cache
def _contents() -> dict[str, bytes]:
    """Return path in the wheel to content, of all files but compiled ones.

    As they were when first asked for, a few megabytes: a checkout may change while its platform runs.
    """
    root = Path(fairlead.__file__).parent
    found = {f"{_NAME}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in _files(root)}
    metadata = importlib.metadata.distribution(_NAME).read_text("METADATA") or ""
    return {**found, "METADATA": metadata.encode()}


def _files(root: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        kept = {name for name in below if name != "__pycache__" and not name.startswith(".")}
        below[:] = sorted(kept if Path(folder) != DIST.parent else kept - {DIST.name})  # no bundle shows the page
        for name in sorted(names):
            if not name.endswith((".pyc", ".pyo")) and not name.startswith("."):
                yield Path(folder, name)


def _digest(contents: dict[str, bytes]) -> str:
    total = sha256()
    for path, content in sorted(contents.items()):
        total.update(f"{path}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _write(target: Path, version: str, contents: dict[str, bytes]) -> None:
    info = f"{_NAME}-{version}.dist-info"
    metadata = re.sub(r"(?m)^Version: .*$", f"Version: {version}", contents["METADATA"].decode(), count=1)
    files = {path: content for path, content in sorted(contents.items()) if path != "METADATA"}
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    record = f"{info}/RECORD"
    lines = [f"{path},sha256={_sum(content)},{len(content)}\n" for path, content in files.items()]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    temporary = disk.beside(target)
    try:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED) as archive:
            for path, content in files.items():
                entry = zipfile.ZipInfo(path, _MOMENT)
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, content)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _sum(content: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
