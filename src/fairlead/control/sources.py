"""Finds the log files of what somebody names, and reads them together. Files of this machine; reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import SYSTEM, Caller, Verb, check, check_owner, may_see
from fairlead.apps import runs as app_runs
from fairlead.apps import sight
from fairlead.apps import versions as app_versions
from fairlead.control import nearby
from fairlead.engines.launch import zygote_name
from fairlead.errors import NotFound
from fairlead.logs import files
from fairlead.logs.files import Filter, Line
from fairlead.models import queries
from fairlead.store.records import App, AppVersion, Model, ModelVersion, Run

PROGRAMS = ("keeper", "control", "envoy", "bus", "simulator")
NAMED = (*PROGRAMS, "access")
"""Logs of the platform that are asked for by name; the front door's access log is in no other."""
READ = "read its log for you"
RUNS_MAX = 20
"""Of so many runs of an app the logs are read, the newest."""
_OLDEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Source:
    """What a log is called, and its files: patterns below the folder of logs."""

    name: str
    pattern: str
    bundle: str = ""
    """Model or app whose processes wrote it; its secrets are taken out of what is shown."""
    also: str = ""
    """Files that come before those."""


@dataclass(frozen=True, slots=True)
class Told:
    """One line and where it comes from."""

    source: str
    line: Line
    bundle: str = ""


def of(session: Session, caller: Caller, name: str) -> tuple[Source, ...]:
    """Return where the logs of ``name`` are: a model, ``model@version``, app, run or program; empty: everything.

    The logs of a bundle are its owner's and configurers', those of the platform configurers'. Raises
    :class:`NotFound` and :class:`fairlead.errors.Forbidden`.
    """
    if not name:
        check(caller, Verb.READ_LOGS)
        return _everything(session)
    if name in NAMED:
        check(caller, Verb.READ_LOGS)
        return (Source(name, f"{name}.log"),)
    if name.startswith("run-"):
        run = sight.show_run(session, caller, name)
        check_owner(caller, run.user, f"the run {run.id}", READ)
        return (_run(run),)
    bundle, _, ref = name.partition("@")
    if (app := session.get(App, bundle)) is not None and app.removed_at is None:
        return _app(session, caller, bundle)
    return _model(session, caller, bundle, ref)


def read(folder: Path, sources: Iterable[Source], wanted: Filter) -> list[Told]:
    """Return the last lines that fit, of all ``sources`` together, in order of time."""
    found: list[Told] = []
    for source, path in paths(folder, sources):
        found += [Told(source.name, line, source.bundle) for line in _lines(path, wanted, None)[0]]
    return in_order(found)[-wanted.limit :]


def in_order(told: Iterable[Told]) -> list[Told]:
    """Return lines in order of time."""
    return sorted(told, key=lambda one: one.line.at or _OLDEST)


class Tail:
    """Reads what is added to the logs of some sources since it was made."""

    def __init__(self, folder: Path, sources: Iterable[Source]) -> None:
        self._folder, self._sources = folder, tuple(sources)
        self._read_to = {path: path.stat().st_size for _, path in paths(folder, self._sources)}

    def more(self, wanted: Filter) -> list[Told]:
        """Return the lines that came since the last call."""
        found: list[Told] = []
        for source, path in paths(self._folder, self._sources):
            lines, self._read_to[path] = _lines(path, wanted, self._read_to.get(path, 0))
            found += [Told(source.name, line, source.bundle) for line in lines]
        return sorted(found, key=lambda told: told.line.at or _OLDEST)


def paths(folder: Path, sources: Iterable[Source]) -> Iterator[tuple[Source, Path]]:
    """Yield the files there are; what a bundle put there that is no plain file is left aside."""
    for source in sources:
        for pattern in filter(None, (source.also, source.pattern)):
            for path in sorted(folder.glob(pattern)):
                if path.is_file() and not path.is_symlink():
                    yield source, path


def _lines(path: Path, wanted: Filter, offset: int | None) -> tuple[tuple[Line, ...], int]:
    try:
        part = files.read(path, wanted, offset)
    except NotFound:  # it was removed meanwhile
        return (), 0
    return part.items, part.next


def _everything(session: Session) -> tuple[Source, ...]:
    versions = session.scalars(select(ModelVersion).order_by(ModelVersion.model, ModelVersion.ordinal))
    runs = app_runs.list_runs(session, SYSTEM, limit=RUNS_MAX)
    return (*(Source(name, f"{name}.log") for name in PROGRAMS), *map(_version, versions), *map(_run, runs))


def _run(run: Run) -> Source:
    return Source(run.id, f"{run.id}.log", run.app)


def _version(version: ModelVersion) -> Source:
    zygote = zygote_name(version.model, version.digest)
    name = f"{version.model}@{version.version}"
    return Source(name, f"{zygote}/*.log", version.model, f"{zygote}.look.log")


def _app(session: Session, caller: Caller, name: str) -> tuple[Source, ...]:
    app = app_versions.show_app(session, name)
    found = app_runs.list_runs(session, SYSTEM, app=name, limit=RUNS_MAX)
    mine = [run for run in found if caller.owns(app.owner) or run.user == caller.name]
    if not mine:
        check_owner(caller, app.owner, f"the app {name}", READ)
    looks = map(_look, app_versions.list_versions(session, name)) if caller.owns(app.owner) else ()
    return (*looks, *map(_run, mine))


def _look(version: AppVersion) -> Source:
    name = f"{version.app}@{version.version}"
    return Source(name, f"{zygote_name(version.app, version.digest)}.look.log", version.app)


def _model(session: Session, caller: Caller, name: str, ref: str) -> tuple[Source, ...]:
    model = session.get(Model, name)
    if model is None or not may_see(caller, model.owner, model.visibility):
        meant = f"{name}@{ref}" if ref else name
        hint = f"a model, model@version, app, run-…, or {', '.join(NAMED)}"
        hint = nearby.hint(session, caller, meant, hint, NAMED)
        raise NotFound(f"there is no log of {name[:80]!r}", code="log_not_found", hint=hint)
    check_owner(caller, model.owner, f"the model {name}", READ)
    if not ref:
        # What was removed keeps its log as long as logs are kept.
        all_of_it = select(ModelVersion).where(ModelVersion.model == name).order_by(ModelVersion.ordinal.desc())
        return tuple(map(_version, session.scalars(all_of_it)))
    version = session.get(ModelVersion, (name, ref))
    if version is None:
        version = queries.version_of(session, name, queries.resolve(session, caller, name, ref))
    return (_version(version),)
