"""Decides what of a home is used and what is left over: pure.

Things are named by their path below the home, user ids by :func:`uid_name`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from fairlead.engines.launch import zygote_name
from fairlead.keeper.bundles.prepare import tasks
from fairlead.messages import NodeWanted
from fairlead.supervisor import Record

UNUSED_S = 24 * 3600.0
"""So long nothing has named a thing before it goes: what is put back within a day is there at once."""
RUN_LOG = "logs/run-"
_UID = "uid "


@dataclass(frozen=True, slots=True)
class Verdict:
    """What goes now, and since when the rest has been unused (Unix seconds)."""

    doomed: tuple[str, ...]
    since: dict[str, float]


def decide(
    there: Collection[str], used: Collection[str], since: Mapping[str, float], now: float, run_logs_s: float
) -> Verdict:
    """Return what of ``there`` goes: all that was unused at each look for a day, logs of runs for ``run_logs_s``."""
    doomed, waiting = [], {}
    for name in sorted(there):
        if name in used:
            continue
        began = min(since.get(name, now), now)  # a clock that was set back begins anew
        if now - began > (run_logs_s if name.startswith(RUN_LOG) else UNUSED_S):
            doomed.append(name)
        else:
            waiting[name] = began
    return Verdict(tuple(doomed), waiting)


def digests(wanted: NodeWanted, records: Iterable[Record]) -> set[str]:
    """Return the bundles that are wanted, or of which a process was not seen to end."""
    return tasks(wanted).keys() | {record.digest for record in records if record.digest}


def used(wanted: NodeWanted, records: Collection[Record], environments: Iterable[str]) -> set[str]:
    """Return the names of all that must stay, ``environments`` (keys) among it."""
    found = {f"environments/{key}" for key in environments}
    for digest in digests(wanted, records):
        plain = digest.rpartition(":")[2]
        found |= {
            f"compiled/{plain}",
            f"bundles/{plain}",
            f"keeper/prepared/{plain}.json",
            f"scratch/look-{plain[:12]}",
            uid_name(digest),
        }
    zygotes = {zygote_name(task.name, task.digest) for task in tasks(wanted).values()}
    runs = {run.run for run in wanted.runs}
    for record in records:
        zygotes |= {record.name, record.labels.get("zygote", record.name)}
        runs.add(record.labels.get("run", record.name))
        if record.log:
            found.add(f"logs/{record.log.rpartition('/logs/')[2]}")
    found |= {f"{folder}/{name}" for name in zygotes for folder in ("scratch", "logs", "run")}
    found |= {f"logs/{name}.look.log" for name in zygotes}
    return found | {name for run in runs for name in (f"scratch/{run}", f"run/{run}", f"logs/{run}.log")}


def uid_name(digest: str) -> str:
    """Return what the user id of a bundle is called here."""
    return f"{_UID}{digest}"


def of_uid(name: str) -> str | None:
    """Return the digest of a name that :func:`uid_name` made, ``None`` for a path."""
    return name.removeprefix(_UID) if name.startswith(_UID) else None
