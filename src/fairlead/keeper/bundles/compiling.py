"""Drives the compiling of scikit-learn models beside their service, one at a time, and remembers what came of it.

A version is compiled once it has answered as it is: its start never waits. What is found, a program or the reason why
there is none, lies below ``compiled/`` in the home and holds for every later start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from fairlead.bundles import disk
from fairlead.engines.launch import Compiled
from fairlead.environments import toolbox
from fairlead.errors import Error, Unavailable
from fairlead.keeper.bundles.inspection import make_scratch, said_by
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.keeper.memory import replace_file
from fairlead.messages import VersionWanted
from fairlead.sandbox import rules
from fairlead.sandbox.ground import base_of
from fairlead.sandbox.level import Isolation
from fairlead.sandbox.uids import uid_for
from fairlead.settings import Home

_log = logging.getLogger(__name__)
LIMIT_S = 600.0
_FILES = ("model.onnx", "program.json")
_VERDICT = "verdict.json"
_LARGEST_BYTES = 2 * 1024**3
"""Of one file: protobuf, in which programs are written, knows no larger."""
Bundle = Callable[[str], tuple[Path, Path] | None]
"""From a digest to the folders of the bundle and its environment, once both are there."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of compiling a bundle; the shape of the line that ``modelserver.compiling`` prints, and more."""

    ok: bool
    why: str = ""
    rows: int = 0
    faster: float = 0
    tools: str = ""
    """With which packages (``toolbox.key``)."""
    attempt: int = 0

    @property
    def said(self) -> str:
        if self.ok:
            return f"compiled (onnx): {self.faster:g} times as fast on one row, equal on {self.rows} rows"
        return f"as it is: {self.why}"


class Compiling:
    """All compiling of this machine."""

    def __init__(
        self, home: Home, isolation: Isolation, marker: Mapping[str, str], secrets: Secrets, changed: Callable[[], None]
    ) -> None:
        self._home, self._isolation, self._marker, self._secrets = home, isolation, marker, secrets
        self._changed = changed
        self._wanted: dict[str, VersionWanted] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._going = ""
        self._worker: asyncio.Task[None] | None = None

    def want(self, versions: Iterable[VersionWanted], bundle: Bundle, group: asyncio.TaskGroup) -> None:
        """Note what is wanted; what is new, or pushed again after it was refused, is compiled when its turn comes."""
        self._wanted = {one.digest: one for one in versions if one.spec.compile}
        for digest in self._verdicts.keys() - self._wanted.keys():
            del self._verdicts[digest]
        for digest, one in self._wanted.items():
            known = self._verdicts.get(digest) or self._recalled(digest)
            if known is not None and (known.ok or known.attempt >= one.attempt):
                self._verdicts[digest] = known
            else:
                self._verdicts.pop(digest, None)
        if self._next(bundle) is not None and (self._worker is None or self._worker.done()):
            self._worker = group.create_task(self._work(bundle), name="compile")

    def program(self, digest: str) -> Compiled | None:
        """Return the program that takes the place of the artifact, if there is one."""
        verdict = self._verdicts.get(digest)
        if verdict is None or not verdict.ok:
            return None
        return Compiled(self._folder(digest), (str(self._home.compiled / verdict.tools),))

    def serving(self, wanted: VersionWanted) -> str:
        """Return what is served of a version and why, in words; empty for what is never compiled."""
        spec, verdict = wanted.spec, self._verdicts.get(wanted.digest)
        if not spec.compile:
            off = spec.runtime == "sklearn" and spec.artifact is not None
            return "as it is: compile = false in its manifest" if off else ""
        if verdict is not None:
            return verdict.said
        return "as it is: it is being compiled" if self._going == wanted.digest else "as it is: not compiled yet"

    def refuse(self, digest: str, why: str, *, keep: bool) -> None:
        """Serve as it is from now on: the program did not start; ``keep``: also after a restart of the keeper."""
        verdict = self._verdicts.get(digest)
        if verdict is None or not verdict.ok:
            return
        attempt = self._wanted[digest].attempt
        self._verdicts[digest] = verdict = msgspec.structs.replace(
            verdict, ok=False, why=f"the compiled one did not start: {why}", attempt=attempt
        )
        if keep:
            replace_file(self._folder(digest) / _VERDICT, msgspec.json.encode(verdict))
        self._changed()

    def _folder(self, digest: str) -> Path:
        return self._home.compiled / digest.rpartition(":")[2]

    def _recalled(self, digest: str) -> Verdict | None:
        """Return what an earlier keeper found, if it is of the packages of now and all still there."""
        folder = self._folder(digest)
        try:
            verdict = msgspec.json.decode((folder / _VERDICT).read_bytes(), type=Verdict)
            current = verdict.tools == toolbox.key()
        except (FileNotFoundError, msgspec.DecodeError, Unavailable):
            return None
        whole = not verdict.ok or all((folder / name).is_file() for name in _FILES)
        return verdict if current and whole and (self._home.compiled / verdict.tools).is_dir() else None

    def _next(self, bundle: Bundle) -> VersionWanted | None:
        """Return what is compiled next: a version that has answered as it is, and whose files are here."""
        waiting = (one for digest, one in self._wanted.items() if digest not in self._verdicts)
        return next((one for one in waiting if one.proven and bundle(one.digest) is not None), None)

    async def _work(self, bundle: Bundle) -> None:
        while (one := self._next(bundle)) is not None:
            places = bundle(one.digest)
            assert places is not None
            self._going = one.digest
            self._changed()
            try:
                verdict = await self._compiled(one, *places)
            except Error as error:
                verdict = Verdict(ok=False, why=error.message)
            except OSError as error:
                verdict = Verdict(ok=False, why=f"{error.strerror or error}")
            except Exception as error:  # noqa: BLE001 - a bundle that surprises us must not end the keeper
                _log.exception("compiling failed", extra={"bundle": f"{one.spec.name}@{one.spec.version}"})
                verdict = Verdict(ok=False, why=f"{type(error).__name__}: {error}")
            finally:
                self._going = ""
            name = f"{one.spec.name}@{one.spec.version}"
            _log.info("%s is served %s", name, verdict.said)
            self._verdicts[one.digest] = msgspec.structs.replace(verdict, attempt=one.attempt)
            self._changed()

    async def _compiled(self, one: VersionWanted, folder: Path, environment: Path) -> Verdict:
        """Compile one version in its environment and sandbox; what came of it is on disk when this returns."""
        if not toolbox.fits(environment):
            return Verdict(ok=False, why="its Python is another than the platform's, whose compiler it cannot use")
        tools = await asyncio.to_thread(toolbox.make, self._home.compiled)
        scratch = self._home.scratch / f"compile-{one.digest.rpartition(':')[2][:12]}"
        uid = None
        if self._isolation.own_uid:
            uid = await asyncio.to_thread(uid_for, one.digest, self._home.keeper / "uids.json")
        try:
            out = scratch / "out"
            make_scratch(scratch, uid)
            make_scratch(out, uid)
            made = self._rules(one, folder, environment, tools, scratch, uid)
            output, code = await said_by(made, self._marker, LIMIT_S)
            verdict = msgspec.structs.replace(_read(output, code), tools=tools.name, attempt=one.attempt)
            await asyncio.to_thread(self._keep, one.digest, verdict, out)
            return verdict
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    def _rules(
        self, one: VersionWanted, folder: Path, environment: Path, tools: Path, scratch: Path, uid: int | None
    ) -> rules.Rules:
        out = str(scratch / "out")
        order = {"folder": str(folder), "spec": one.spec, "out": out, "paths": (str(tools),)}
        ground = rules.Ground(
            environment=str(environment),
            base=(*base_of(environment), str(tools)),
            bundle=str(folder),
            scratch=str(scratch),
            env={**one.spec.env, **self._secrets.opened(one.spec.name, one.secrets)},
            marker={**self._marker, "FAIRLEAD_COMPILE": msgspec.json.encode(order).decode()},
            memory_mb=one.memory_mb,
        )
        argv = (str(environment / "bin" / "python"), "-P", "-m", "fairlead.modelserver.compiling")
        return rules.for_inspect(ground, argv, self._isolation, uid=uid, out=out)

    def _keep(self, digest: str, verdict: Verdict, out: Path) -> None:
        """Have the verdict, and the program where it is good, on disk under the bundle's name, whole or not at all."""
        folder = self._folder(digest)
        temporary = disk.beside(folder)
        temporary.mkdir()
        try:
            for name in _FILES if verdict.ok else ():
                _copy(out / name, temporary / name)
            (temporary / _VERDICT).write_bytes(msgspec.json.encode(verdict))
            for path in temporary.iterdir():
                path.chmod(0o644)
            temporary.chmod(0o755)  # bundles run under users of their own
            disk.flush_all(temporary)
            disk.remove(folder)
            temporary.rename(folder)
        finally:
            disk.remove(temporary)
        disk.flush_folder(folder.parent)


def _read(output: bytes, code: int | None) -> Verdict:
    """Return the verdict that stands in the last line of ``output``, else why there is none. Pure."""
    if code is None:
        return Verdict(ok=False, why=f"compiling took longer than {LIMIT_S:g} s")
    lines = output.decode("utf-8", errors="replace").splitlines()
    try:
        return msgspec.json.decode(lines[-1] if lines else "", type=Verdict)
    except msgspec.DecodeError:
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Verdict(ok=False, why=f"compiling ended with {how}: {last[:200]}")


def _copy(source: Path, target: Path) -> None:
    """Copy a file that the bundle's process left: a plain one, of a bounded size, and no link. Raises ``OSError``."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_BYTES:
            raise OSError(f"{source.name} is no plain file, or too large")
        with target.open("wb") as copy:
            shutil.copyfileobj(file, copy)
