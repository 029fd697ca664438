"""The core's requirements as wheels, made from what is installed beside this process.

With them the environment of a bundle without requirements is the platform's own core, built without any index. Only for
the same minor version of Python: some hold native code.
"""

from __future__ import annotations

import base64
import importlib.metadata
import re
import sys
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import Path

from fairlead.bundles import disk

_MOMENT = (1980, 1, 1, 0, 0, 0)
_OF_INSTALLER = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")


def wheels(pins: Mapping[str, str], folder: Path) -> Path | None:
    """Return a folder below ``folder`` with a wheel of each of ``pins``, written if it is not there yet.

    None where one cannot be made: its installer left no record, or it is a checkout.
    """
    told = "\n".join(f"{name}=={version}" for name, version in sorted(pins.items()))
    target = folder / f"core-{sha256(told.encode()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    temporary = disk.beside(target)
    temporary.mkdir(parents=True)
    try:
        for name in pins:
            if not _write(importlib.metadata.distribution(name), temporary):
                return None
        disk.flush_all(temporary)
        if not target.is_dir():
            temporary.rename(target)
        return target
    finally:
        disk.remove(temporary)


def _write(distribution: Distribution, folder: Path) -> bool:
    tags = re.findall(r"(?m)^Tag: *([^-\s]+)-([^-\s]+)-(\S+)$", distribution.read_text("WHEEL") or "")
    files = distribution.files
    if not tags or files is None or distribution.read_text("direct_url.json"):
        return False
    contents: dict[str, bytes] = {}
    info = ""
    for file in files:
        path = file.as_posix()
        if ".dist-info/" in path:
            info = path.partition("/")[0]
        if path.startswith((".", "/")) or path.endswith(".pyc") or file.name in _OF_INSTALLER:
            continue  # programs are made anew from the entry points
        contents[path] = Path(str(file.locate())).read_bytes()
    if not info:
        return False
    lines = [f"{path},sha256={_sum(content)},{len(content)}\n" for path, content in contents.items()]
    contents[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    name = re.sub(r"[-_.]+", "_", distribution.metadata["Name"]).lower()
    tag = "-".join(".".join(sorted({one[part] for one in tags})) for part in range(3))
    with zipfile.ZipFile(folder / f"{name}-{distribution.version}-{tag}.whl", "x", zipfile.ZIP_STORED) as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path, _MOMENT)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return True


def _sum(content: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()


def fits(version: str) -> bool:
    """Whether native code from beside this process runs on a Python of ``version``."""
    return version.split(".")[:2] == [str(part) for part in sys.version_info[:2]]
