"""Drives the removal of what this machine keeps of bundles and runs that nobody has wanted for a day.

What goes is renamed first, in the same breath in which it was found unused, so that nobody begins to use half of it; a
crash leaves a hidden name that a later look removes.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from fairlead import environments
from fairlead.bundles import disk
from fairlead.clock import Clock
from fairlead.environments import toolbox
from fairlead.errors import Unavailable
from fairlead.keeper.bundles import leftovers
from fairlead.keeper.bundles.prepare import Kept, tasks
from fairlead.keeper.memory import replace_file
from fairlead.messages import NodeWanted
from fairlead.sandbox import uids
from fairlead.settings import Home
from fairlead.supervisor import Record, read_records

_log = logging.getLogger(__name__)
FIRST_S = 120.0
EVERY_S = 3600.0
TEMPORARY = (Path("/dev/shm"), Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108 - looked at only
"""Where processes of a bundle could leave files outside the home, on a machine that cannot shut them in."""
REPLICA_LOGS = 10
"""Newest logs of replicas of a version, kept whether the replica lives or not."""
_FOLDERS = ("environments", "bundles", "compiled", "keeper/prepared", "keeper/incoming", "scratch", "logs", "run")
"""Below the home, but for ``run``: that of the sockets."""


class Tidy:
    """All that a machine may have left over."""

    def __init__(
        self,
        home: Home,
        clock: Clock,
        wanted: Callable[[], NodeWanted],
        keep_days: int,
        temporary: Collection[Path] = TEMPORARY,
    ) -> None:
        self._home, self._clock, self._wanted, self._temporary = home, clock, wanted, temporary
        self._run_logs_s = keep_days * 24 * 3600.0
        self._memo = home.keeper / "leftovers.json"

    async def run(self) -> None:
        """Look each hour until canceled."""
        await self._clock.sleep(FIRST_S)
        while True:
            await self.once()
            await self._clock.sleep(EVERY_S)

    async def once(self) -> tuple[str, ...]:
        """Remove what has been unused long enough; returns what went."""
        wanted, now = self._wanted(), self._clock.now().timestamp()
        keys = await asyncio.to_thread(_keys, wanted)
        there, records = await asyncio.to_thread(self._look)
        keys |= await asyncio.to_thread(self._kept_keys, leftovers.digests(wanted, records))
        used = leftovers.used(wanted, records, keys) | await asyncio.to_thread(_tools)
        if self._wanted() is not wanted:
            return ()  # what was unused may be wanted by now: the next look sees
        verdict = leftovers.decide(there, used, self._recall(), now, self._run_logs_s)
        hidden = self._hide(verdict.doomed)
        for path in hidden:
            await asyncio.to_thread(_remove, path)
        freed = tuple(digest for name in verdict.doomed if (digest := leftovers.of_uid(name)) is not None)
        still = await asyncio.to_thread(self._free, freed)
        since = verdict.since | dict.fromkeys(map(leftovers.uid_name, still), now)
        await asyncio.to_thread(replace_file, self._memo, msgspec.json.encode(since))
        await asyncio.to_thread(self._remove_hidden, now)
        if verdict.doomed:
            _log.info("removed what nobody wanted for a day", extra={"removed": list(verdict.doomed)})
        return tuple(name for name in verdict.doomed if leftovers.of_uid(name) not in still)

    def _look(self) -> tuple[set[str], tuple[Record, ...]]:
        """Return the names of all that may be left over, and the processes that are recorded."""
        there = {
            f"{folder}/{path.name}"
            for folder in _FOLDERS
            for path in _entries(self._path(folder))
            if _ages(folder, path)
        }
        for folder in _entries(self._home.logs):
            if folder.is_dir():
                there |= {f"logs/{folder.name}/{path.name}" for path in _older(folder)}
        there |= {leftovers.uid_name(name) for name in uids.names(self._registry) if not name.startswith("run slot ")}
        return there, read_records(self._home.children)

    def _kept_keys(self, digests: Collection[str]) -> set[str]:
        """Return the environments in which bundles of ``digests`` were prepared: not always what one is made of now."""
        found = set()
        for digest in digests:
            file = self._home.keeper / "prepared" / f"{digest.rpartition(':')[2]}.json"
            try:
                found.add(Path(msgspec.json.decode(file.read_bytes(), type=Kept).environment).name)
            except (FileNotFoundError, msgspec.DecodeError):
                continue
        return found

    def _recall(self) -> dict[str, float]:
        try:
            return msgspec.json.decode(self._memo.read_bytes(), type=dict[str, float])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _hide(self, doomed: Collection[str]) -> list[Path]:
        """Give what goes another name; nothing is removed yet."""
        keys = [name.partition("/")[2] for name in doomed if name.startswith("environments/")]
        hidden = environments.retire(self._home.environments, keys)
        for name in doomed:
            path = self._path(name)
            if leftovers.of_uid(name) is not None or name.startswith("environments/"):
                continue
            for each in (path, path.with_name(f"{path.name}.1")):
                if each.exists() or each.is_symlink():
                    hidden.append(each.rename(disk.beside(each)))
        return hidden

    def _remove_hidden(self, now: float) -> None:
        """Remove what an earlier look had hidden when it was killed, or somebody else began and never finished."""
        for folder in map(self._path, _FOLDERS):
            for path in (*folder.glob(".*.part"), *folder.glob("*/.*.part"), *folder.glob(".*.zip")):
                if now - path.lstat().st_ctime > leftovers.UNUSED_S:
                    _remove(path)

    def _free(self, digests: Collection[str]) -> set[str]:
        """Give back the user ids of ``digests``; returns those of which something is still there."""
        places = (self._home.scratch, self._home.logs, self._home.run, *self._temporary)
        return set(digests) - uids.free(digests, self._registry, places) if digests else set()

    def _path(self, name: str) -> Path:
        folder, _, rest = name.partition("/")
        return self._home.run / rest if folder == "run" else self._home.root / name

    @property
    def _registry(self) -> Path:
        return self._home.keeper / "uids.json"


def _keys(wanted: NodeWanted) -> set[str]:
    return {environments.key(task.environment) for task in tasks(wanted).values()}


def _tools() -> set[str]:
    """Return the name of the packages that compile here, if they are installed."""
    try:
        return {f"compiled/{toolbox.key()}"}
    except Unavailable:
        return set()


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def _ages(folder: str, path: Path) -> bool:
    """Whether an entry is of a bundle or a run: beside those lie logs of the platform and its sockets."""
    if folder == "logs":
        return (
            path.is_dir()
            or path.name.endswith(".look.log")
            or (path.name.startswith("run-") and path.suffix in (".log", ".times"))
        )
    return folder != "run" or path.is_dir()


def _older(folder: Path) -> list[Path]:
    """Return the logs of replicas in ``folder`` but the newest."""
    logs = [path for path in _entries(folder) if path.suffix == ".log" and path.name != "zygote.log"]
    return sorted(logs, key=lambda path: path.lstat().st_mtime)[:-REPLICA_LOGS]


def _remove(path: Path) -> None:
    try:
        disk.remove(path)
    except OSError as error:
        _log.warning("a leftover could not be removed", extra={"path": str(path), "reason": str(error)})
