"""The home of an installation: made once, checked at each start, never made anew over what is there."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.errors import Conflict, Invalid, Unavailable
from fairlead.identity import keys, seal
from fairlead.keeper.memory import replace_file
from fairlead.settings import Home
from fairlead.supervisor import read_records
from fairlead.supervisor.lock import is_held
from fairlead.supervisor.proc import start_time

OWNER = "home"
"""In the folder of sockets: the path of the home it belongs to."""
_NAMELESS_S = 24 * 3600.0
LAYOUT = 1
"""Version of the home's layout; a program refuses a newer one."""
ROOM_BYTES = 200 * 1024**2
"""Less free space than this and nothing is started: the ledger needs room to keep its promises."""
_MAY_BE_THERE = ("settings.toml", "lock")
"""What a new home may hold: a person wrote the one, an interrupted start left the other."""
_PASSED = 0o711  # bundles run under uids of their own and must pass through; nobody else learns what there is
_CLOSED = 0o700


def check(home: Home) -> None:
    """Refuse a home that cannot be used; nothing but the folder itself is made.

    Raises :class:`Invalid` (``home_read_only``, ``home_unusable``), :class:`Unavailable` (``home_full``),
    :class:`Conflict` (``home_newer``, ``home_not_empty``) and :class:`fairlead.errors.Internal` (``key_broken``).
    """
    marker = home.root / "layout"
    try:
        if not marker.exists():
            _refuse_strange(home.root)
        home.root.mkdir(parents=True, exist_ok=True)
        _check_layout(marker)
        _check_keys(home.keys)
        _check_room(home.root)
        _check_writable(home.root)
    except OSError as error:
        raise _translated(error, home.root) from error


@contextmanager
def making(home: Home) -> Iterator[None]:
    """Let the body fill the folder of a new ``home``; then it is one. Where the body fails nothing is left in it.

    Raises :class:`Conflict` (``home_not_empty``) for a folder that holds anything, and as :func:`check`.
    """
    root = home.root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise Conflict(f"{root} is not empty", code="home_not_empty", hint="name an empty or new folder with --home")
    check(home)
    try:
        _make_folders(home)
        yield
        replace_file(root / "layout", f"{LAYOUT}\n".encode())
    except BaseException:
        for entry in root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        raise


def prepare(home: Home) -> None:
    """Make the folders of a checked ``home`` that is ours alone; raises as :func:`check` and ``home_not_ours``."""
    try:
        _make_folders(home)
        replace_file(home.root / "layout", f"{LAYOUT}\n".encode())
    except OSError as error:
        raise _translated(error, home.root) from error
    make_run_folder(home)


def make_run_folder(home: Home) -> None:
    """Make the folder of sockets; refuses one that somebody else made in a shared temporary folder."""
    try:
        home.run.mkdir(mode=0o711, exist_ok=True)
    except OSError as error:
        raise _translated(error, home.run) from error
    state = home.run.lstat()
    if state.st_uid != os.geteuid() or not home.run.is_dir() or home.run.is_symlink():
        raise Invalid(f"{home.run} is not ours", code="home_not_ours", hint="remove it, or set XDG_RUNTIME_DIR")
    home.run.chmod(0o711)


def remove_dead_run_folders(home: Home) -> list[Path]:
    """Say whose our folder of sockets is, and remove those beside it whose platform was killed; returns them.

    One stays while its home is in use, while a process of it lives (they outlive their keeper) or anything listens in
    it, and for a day when it does not say whose it is. Call it with the home's lock held.
    """
    replace_file(home.run / OWNER, os.fsencode(home.root.resolve()))
    gone = []
    for folder in home.run.parent.glob("fairlead-????????"):
        if folder != home.run and _is_dead(folder):
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder)
    return gone


def _is_dead(folder: Path) -> bool:
    """Whether ``folder`` is one of ours that nobody lives in; one that goes meanwhile is none any more."""
    try:
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
            return False
        return not _is_lived_in(folder, time.time() - state.st_mtime)
    except FileNotFoundError:
        return False


def _is_lived_in(folder: Path, age_s: float) -> bool:
    try:
        root = Path(os.fsdecode((folder / OWNER).read_bytes()))
    except OSError:
        if age_s < _NAMELESS_S:
            return True
    else:
        lives = (start_time(record.pid) == record.start_time for record in read_records(root / "children"))
        if is_held(root / "lock") or any(lives):
            return True
    return any(_listens(path) for path in folder.rglob("*") if path.is_socket())


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as trial:
        try:
            trial.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # a full backlog, another kind of socket: somebody is there
    return True


def _refuse_strange(root: Path) -> None:
    """Refuse a folder that holds other things: a home must be new or ours."""
    if root.exists() and any(entry.name not in _MAY_BE_THERE for entry in root.iterdir()):
        raise Conflict(
            f"{root} holds other files and is no home of Fairlead",
            code="home_not_empty",
            hint="name an empty or new folder with --home",
        )


def _check_layout(marker: Path) -> None:
    if not marker.exists():
        return
    text = marker.read_text(encoding="ascii", errors="replace").strip()
    if not (text.isdigit() and len(text) < 10):
        raise Invalid(
            f"{marker} says {text!r}, which is no layout", code="home_broken", hint="restore it from a backup"
        )
    if int(text) > LAYOUT:
        raise Conflict(
            f"{marker.parent} was written by a newer Fairlead (layout {text}, this program knows {LAYOUT})",
            code="home_newer",
            hint="install the newer version, or name another --home",
        )


def _check_keys(folder: Path) -> None:
    """Refuse keys that cannot be read: without them control would end again and again before it says so."""
    for name, load in ((seal.FILE, seal.load_sealer), (keys.CURRENT, keys.load)):
        if (folder / name).exists():  # else they are made, by whoever needs them first
            load(folder)


def _check_room(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < ROOM_BYTES:
        raise Unavailable(
            f"{root} has {free // 1024**2} MB left; {ROOM_BYTES // 1024**2} MB are needed to start",
            code="home_full",
            hint="free some space, or name another --home",
        )


def _check_writable(root: Path) -> None:
    with tempfile.TemporaryFile(dir=root) as file:
        file.write(b"fairlead")
        file.flush()
        os.fsync(file.fileno())


def _make_folders(home: Home) -> None:
    for folder in (home.keys, home.bucket, home.envoy, home.bus, home.children, home.keeper, home.logs):
        folder.mkdir(mode=_CLOSED, exist_ok=True)
        folder.chmod(_CLOSED)
    for folder in (home.bundles, home.environments, home.compiled, home.scratch):
        folder.mkdir(mode=_PASSED, exist_ok=True)
        folder.chmod(_PASSED)
    # As root every bundle has a uid of its own, which must reach its folders here: where mounts are forbidden nothing
    # else leads it there. What is not meant for it is closed one by one above, and no name can be listed.
    home.root.chmod(_PASSED if os.geteuid() == 0 else _CLOSED)


def _translated(error: OSError, root: Path) -> Invalid | Unavailable:
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return Invalid(f"{root} cannot be written: {error.strerror}", code="home_read_only", hint="name another --home")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"{root} is full", code="home_full", hint="free some space, or name another --home")
    return Invalid(f"{root}: {error.strerror or error}", code="home_unusable", hint="name another --home")
