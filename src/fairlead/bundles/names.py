"""Which names a file of a bundle may have: the same tree on every system, and never outside of its folder. Pure."""

from __future__ import annotations

import functools
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
_SLASH = re.compile(r"[/\\]")
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
    if not part.isascii() and ((plain := unicodedata.normalize("NFKC", part)) in (".", "..") or _SLASH.search(plain)):
        return "slip", "a part of its path holds a letter that some systems take for a slash or a dot"
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
    """Return (path, rule, what is wrong) of the first two paths that cannot both be there, or None.

    Part by part, so that many long and deep paths cost little.
    """
    shared = functools.lru_cache(maxsize=None)(same)
    seen: dict[tuple[int, str], tuple[int, str, bool]] = {}  # (number of the folder, name): number, name, is a file
    for path, is_file in [*((path, True) for path in files), *((path, False) for path in folders)]:
        parts = path.split("/")
        above = 0
        for depth, part in enumerate(parts, 1):
            key, is_file_here = (above, shared(part)), is_file and depth == len(parts)
            if key not in seen:
                seen[key] = (len(seen) + 1, part, is_file_here)
            elif wrong := _both(parts[:depth], seen[key], is_file_here):
                return path, *wrong
            above = seen[key][0]
    return None


def _both(parts: list[str], there: tuple[int, str, bool], is_file: bool) -> tuple[str, str] | None:
    """Return (rule, what is wrong) of a name that is there already, or None where both are one folder."""
    _, name, was_file = there
    here = "/".join(parts)
    if name != parts[-1]:
        other = "/".join([*parts[:-1], name])
        return "same_name", f"{here!a} and {other!a} are one name on some systems"
    if was_file != is_file:
        return "file_and_folder", f"{here!a} is a file and a folder"
    return ("duplicate", f"{here!a} is there twice") if is_file else None
