"""Which names a file of a bundle may have: the same tree on every system, and never outside of its folder. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

PATH_BYTES = 1000
"""Longest path within a bundle, in UTF-8."""
PART_BYTES = 255
"""Longest name of one file or folder."""
DEPTH = 32
"""Most folders above a file."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")
_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)


def fault(path: str) -> tuple[str, str] | None:
    """Return (rule, what is wrong) of a file's path within a bundle, or None. Folders come without their last ``/``."""
    if not path:
        return "empty_name", "has no name"
    if _CONTROL.search(path):
        return "control_character", "its name holds a control character"
    if path.startswith("/"):
        return "absolute", "its name is an absolute path"
    if "\\" in path:
        return "backslash", "its name holds a backslash"
    if ":" in path:
        return "drive", "its name holds a colon, as a drive or a stream would"
    if len(path.encode()) > PATH_BYTES:
        return "long_name", f"its path is longer than {PATH_BYTES} bytes"
    parts = path.split("/")
    if len(parts) - 1 > DEPTH:
        return "depth", f"it lies below more than {DEPTH} folders"
    return next((found for part in parts if (found := _part(part))), None)


def _part(part: str) -> tuple[str, str] | None:
    if part in ("", ".", ".."):
        return "slip", f"its path has the part {part!r}, which leaves the bundle or hides another name"
    if len(part.encode()) > PART_BYTES:
        return "long_name", f"a part of its path is longer than {PART_BYTES} bytes"
    if part != part.strip(" ") or part.endswith("."):
        return "edge", "a part of its path begins or ends with a space, or ends with a dot"
    if _WINDOWS.fullmatch(part):
        return "reserved_name", f"{part!r} is a device on Windows"
    return None


def same(path: str) -> str:
    """Return what two paths share that some system takes for one: case and the composition of letters aside."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def clash(files: Iterable[str], folders: Iterable[str] = ()) -> tuple[str, str, str] | None:
    """Return (path, rule, what is wrong) of the first two paths that cannot both be there, or None."""
    seen: dict[str, tuple[str, bool]] = {}
    for path, is_file in [*((path, True) for path in files), *((path, False) for path in folders)]:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            here = ("/".join(parts[:depth]), is_file and depth == len(parts))
            key = same(here[0])
            if key not in seen:
                seen[key] = here
            elif seen[key][0] != here[0]:
                return path, "same_name", f"{here[0]!a} and {seen[key][0]!a} are one name on some systems"
            elif seen[key][1] != here[1]:
                return path, "file_and_folder", f"{here[0]!a} is a file and a folder"
            elif here[1]:
                return path, "duplicate", f"{here[0]!a} is there twice"
    return None
