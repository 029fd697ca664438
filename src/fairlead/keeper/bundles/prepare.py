"""Drives the preparation of bundles on this machine: fetched from the bucket, environment built, looked into.

What was found is kept beside the bundle, so a restart prepares nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fairlead import environments
from fairlead.buckets.port import Bucket
from fairlead.bundles import archive
from fairlead.errors import Error, Forbidden, Internal
from fairlead.keeper.bundles.early import Early
from fairlead.keeper.bundles.finding import Inspection
from fairlead.keeper.bundles.inspection import Inspector
from fairlead.keeper.memory import replace_file
from fairlead.messages import AppWanted, EnvironmentSpec, ErrorInfo, ModelSpec, NodeWanted, Prepared, VersionWanted
from fairlead.sandbox.level import Level, level
from fairlead.settings import Home
from fairlead.supervisor import bounds
from fairlead.supervisor.aside import aside

_log = logging.getLogger(__name__)
AT_ONCE = 2
"""Preparations that go on at the same time: building environments is heavy."""

_LOOKED_THROUGH = 100
"""Prepared bundles, the newest, among which an earlier version is looked for."""


@dataclass(frozen=True, slots=True)
class Task:
    """One bundle to prepare."""

    kind: str
    name: str
    version: str
    digest: str
    bundle_key: str
    environment: EnvironmentSpec
    attempt: int
    spec: ModelSpec | None = None
    wanted: VersionWanted | None = None
    """Of a model."""
    entry: str | None = None
    memory_mb: int = 512
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    """Sealed, by name."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a prepared bundle."""

    prepared: Prepared
    environment: str
    """Folder of its environment."""


def tasks(wanted: NodeWanted) -> dict[str, Task]:
    """Return by digest all that must be prepared here. Pure."""
    found: dict[str, Task] = {}
    for version in wanted.versions:
        found[version.digest] = _of_version(version)
    for app in wanted.apps:
        found[app.digest] = _of_app(app)
    for run in wanted.runs:
        found.setdefault(
            run.digest,
            Task(
                "app",
                run.app,
                run.version,
                run.digest,
                run.bundle_key,
                run.environment,
                0,
                entry=run.entry,
                secrets=run.secrets,
            ),
        )
    return found


def _of_version(version: VersionWanted) -> Task:
    spec = version.spec
    return Task(
        "model",
        spec.name,
        spec.version,
        version.digest,
        version.bundle_key,
        version.environment,
        version.attempt,
        spec=spec,
        wanted=version,
        memory_mb=version.memory_mb,
        secrets=version.secrets,
    )


def _of_app(app: AppWanted) -> Task:
    return Task(
        "app",
        app.app,
        app.version,
        app.digest,
        app.bundle_key,
        app.environment,
        app.attempt,
        entry=app.entry,
        secrets=app.secrets,
    )


class Prepare:
    """All preparations of this machine."""

    def __init__(
        self,
        home: Home,
        bucket: Bucket,
        inspector: Inspector,
        *,
        source_builds: bool,
        changed: Callable[[], None],
        least: Level | None = None,
        early: Early | None = None,
    ) -> None:
        self._early = early
        self._home, self._bucket, self._inspector = home, bucket, inspector
        self._source_builds, self._changed, self._least = source_builds, changed, least
        self._states: dict[str, Prepared] = {}
        self._ready: dict[str, tuple[Path, Path]] = {}
        self._going: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._awaited: set[str] = set()
        self._folder = home.keeper / "prepared"

    def want(self, wanted: NodeWanted, group: asyncio.TaskGroup) -> None:
        """Begin what is new or tried again, and drop what is wanted no more."""
        named = tasks(wanted)
        self._awaited = {version.digest for version in wanted.versions if version.prepare}
        for digest in self._states.keys() - named.keys():
            going = self._going.pop(digest, None)
            if going is not None:
                going.cancel()
            self._states.pop(digest)
            self._ready.pop(digest, None)
        for digest, task in named.items():
            if digest not in self._states:
                self._recall(task)
            state = self._states.get(digest)
            retried = state is not None and state.step == "failed" and state.attempt < task.attempt
            if digest not in self._going and (state is None or retried):
                self._states[digest] = _state(task, "fetch", "waiting for its turn")
                name = f"prepare {task.name}@{task.version}"
                self._going[digest] = group.create_task(self._prepare(task), name=name)

    def reports(self) -> tuple[Prepared, ...]:
        """Return how far all is; descriptions only of models that control waits for, since they may be long."""
        return tuple(
            state
            if digest in self._awaited or state.signature is None
            else msgspec.structs.replace(state, signature=None, preload=())
            for digest, state in self._states.items()
        )

    def bundle(self, digest: str) -> tuple[Path, Path] | None:
        """Return the folder of the bundle and that of its environment, once both are there."""
        return self._ready.get(digest)

    def _recall(self, task: Task) -> None:
        """Take what an earlier keeper had prepared, if it is all still there."""
        try:
            kept = msgspec.json.decode((self._folder / _file(task.digest)).read_bytes(), type=Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return
        folder, environment = self._home.bundles / _plain(task.digest), Path(kept.environment)
        expected = self._home.environments / environments.key(task.environment)
        if kept.prepared.signature is not None and bounds.signature_problem(kept.prepared.signature):
            return  # an earlier version took it: it is looked into anew
        if folder.is_dir() and environment == expected and (environment / "bin" / "python").exists():
            self._ready[task.digest] = (folder, environment)
            self._states[task.digest] = msgspec.structs.replace(kept.prepared, attempt=task.attempt)

    async def _prepare(self, task: Task) -> None:
        try:
            async with self._slots:
                await self._go_through(task)
        except Error as error:
            _log.warning("preparation failed", extra={"bundle": f"{task.name}@{task.version}", "reason": error.message})
            self._say(task, "failed", error.message, error=_info(error))
        except OSError as error:
            self._failed(task, f"{task.name}: {error}")
        except Exception as error:  # noqa: BLE001 - a bundle that surprises us must not end the keeper
            _log.exception("preparation failed", extra={"bundle": f"{task.name}@{task.version}"})
            self._failed(task, f"{task.name}: {type(error).__name__}: {error}")
        finally:
            if self._going.get(task.digest) is asyncio.current_task():  # else it was dropped, and is wanted again
                del self._going[task.digest]

    async def _go_through(self, task: Task) -> None:
        self._refuse_below_level()
        folder = self._home.bundles / _plain(task.digest)
        if not folder.is_dir():
            self._say(task, "fetch", "fetching the bundle")
            await self._fetch(task, folder)
        self._say(task, "environment", "building its environment")
        python = await environments.build(
            task.environment,
            self._home.environments,
            source_builds=self._source_builds,
            on_step=lambda said: self._say(task, "environment", said),
        )
        environment = Path(python).parent.parent
        self._say(task, "inspect", "looking into it")
        if self._early is not None and task.wanted is not None:
            known = await asyncio.to_thread(self._known, task.name, str(environment))
            await self._early.warm(task.wanted, folder, environment, known)
        found = await self._inspector.look(task, folder, environment, lambda said: self._say(task, "inspect", said))
        if found.error is not None:
            self._say(task, "failed", found.error.message, error=found.error, last_lines=found.last_lines)
            return
        await self._done(task, folder, environment, found)

    def _known(self, name: str, environment: str) -> tuple[str, ...]:
        """Return what the version of ``name`` that was looked into last needed of the same environment."""
        files = sorted(self._folder.glob("*.json"), key=_written_at, reverse=True)
        for file in files[:_LOOKED_THROUGH]:
            try:
                kept = msgspec.json.decode(file.read_bytes(), type=Kept)
            except (OSError, msgspec.DecodeError):
                continue
            if (kept.prepared.name, kept.environment) == (name, environment):
                return kept.prepared.preload
        return ()

    def _failed(self, task: Task, said: str) -> None:
        failure = Internal(said, code="prepare_failed", hint="fairlead logs keeper")
        self._say(task, "failed", failure.message, error=_info(failure))

    def _refuse_below_level(self) -> None:
        """Raise :class:`Forbidden` where bundles would be isolated less than ``trusted_only`` asks for."""
        here = level()
        if self._least is not None and here.rank < self._least.rank:
            raise Forbidden(
                f"this machine isolates bundles at level {here}, and trusted_only asks for {self._least}",
                code="isolation_too_weak",
                hint="fairlead doctor tells what is missing",
            )

    async def _fetch(self, task: Task, folder: Path) -> None:
        """Download and unpack; the archive's checker runs here once more, since a bucket may be shared."""
        file = self._home.bundles / f".{_plain(task.digest)}.zip"
        try:
            with await asyncio.to_thread(file.open, "wb") as target:
                async for block in self._bucket.stream(task.bundle_key):
                    await asyncio.to_thread(target.write, block)  # a slow disk must not hold up the loop
            await asyncio.to_thread(archive.unpack, file, folder, expect=task.digest)
        finally:
            file.unlink(missing_ok=True)

    async def _done(self, task: Task, folder: Path, environment: Path, found: Inspection) -> None:
        prepared = msgspec.structs.replace(
            _state(task, "done", "ready to start"),
            signature=found.signature,
            preload=found.preload,
            warnings=found.warnings,
        )
        self._folder.mkdir(mode=0o700, exist_ok=True)
        kept = msgspec.json.encode(Kept(prepared=prepared, environment=str(environment)))
        await aside(lambda: replace_file(self._folder / _file(task.digest), kept))
        self._ready[task.digest] = (folder, environment)
        self._states[task.digest] = prepared
        self._changed()

    def _say(
        self, task: Task, step: str, said: str, *, error: ErrorInfo | None = None, last_lines: tuple[str, ...] = ()
    ) -> None:
        state = _state(task, step, bounds.text(said))
        self._states[task.digest] = msgspec.structs.replace(state, error=error, last_lines=last_lines)
        self._changed()


def _state(task: Task, step: str, said: str) -> Prepared:
    return Prepared(
        kind=task.kind,
        name=task.name,
        version=task.version,
        digest=task.digest,
        step=step,
        said=said,
        attempt=task.attempt,
    )


def _info(error: Error) -> ErrorInfo:
    return bounds.error(ErrorInfo.of(error))


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # tidied away meanwhile
        return 0.0


def _plain(digest: str) -> str:
    return digest.rpartition(":")[2]


def _file(digest: str) -> str:
    return f"{_plain(digest)}.json"
