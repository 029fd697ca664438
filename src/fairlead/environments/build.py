"""Builds environments with uv, each once, and removes those that nobody wants.

An environment is made under a temporary name and renamed when it is whole, so a folder with its name is a whole one.
It is relocatable, readable by all, and already compiled, since bundles cannot write to it. What comes from an index is
never run here, and what handles it is fenced in (:mod:`fairlead.environments.fence`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from fairlead.bundles import disk
from fairlead.environments.base import Base, choose
from fairlead.environments.fence import SCRATCH, cache, fenced
from fairlead.environments.own import pins, wheel
from fairlead.environments.repack import fits
from fairlead.environments.repack import wheels as core_wheels
from fairlead.environments.resolve import environ, install, is_clash, key, refusal
from fairlead.errors import Invalid, Problem, Unavailable
from fairlead.messages import EnvironmentSpec
from fairlead.sandbox.level import Level, isolation
from fairlead.sandbox.rules import VARIABLE, Rules

MARKER = "fairlead-environment.json"
"""In each environment: what it was made of."""
TIMEOUT_S = 1800
_WHEELS = ".wheels"
_POLL_S = 0.1
_STEPS = ("Resolved", "Downloading", "Downloaded", "Building", "Built", "Prepared", "Installed")
_COMPILERS = 4
"""At once, on machines that have as many cores."""
_LINE_MAX_BYTES = 1024**2
_SAID_MAX_LINES = 400


class Made(msgspec.Struct, frozen=True):
    """What an environment was made of."""

    key: str
    requires: tuple[str, ...]
    base: Base
    packages: tuple[str, ...]
    """``name==version``, sorted."""


async def build(
    spec: EnvironmentSpec,
    root: Path,
    *,
    source_builds: bool = False,
    on_step: Callable[[str], None] = lambda said: None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Return the Python of the environment of ``spec`` below ``root``, built if it is not there yet.

    Whoever else asks for the same one, in any process, waits for the first. Raises :class:`Invalid` or
    :class:`Unavailable` (``environment_failed``) in uv's own words; nothing half-built is left. Canceling kills uv.
    """
    name = await asyncio.to_thread(key, spec)
    folder = root / name
    python = folder / "bin" / "python"
    if (folder / MARKER).exists():
        return python
    root.mkdir(parents=True, exist_ok=True)
    async with _alone(root / f".{name}.lock", on_step):
        if not (folder / MARKER).exists():
            await _build(spec, folder, source_builds=source_builds, on_step=on_step, timeout_s=timeout_s)
    return python


def collect(root: Path, keep: Collection[str]) -> list[str]:
    """Remove the environments below ``root`` whose keys are not in ``keep``; returns the keys of those removed.

    One that is being built is left alone, and so is all in ``keep``.
    """
    if not root.is_dir():
        return []
    names = [folder.name for folder in sorted(root.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    doomed = retire(root, [name for name in names if name not in keep])
    for folder in doomed:
        disk.remove(folder)
    for leftover in root.glob(".*.part"):
        with _tried(root / f".{leftover.name.split('.')[1]}.lock") as ours:
            if ours:
                disk.remove(leftover)
    return [folder.name.split(".")[1] for folder in doomed]


def retire(root: Path, keys: Iterable[str]) -> list[Path]:
    """Have the environments ``keys`` not be there any more, at once; returns the hidden folders, yet to be removed.

    One that is being built is left alone.
    """
    hidden = []
    for name in keys:
        with _tried(root / f".{name}.lock") as ours:
            if ours and (root / name).is_dir():
                hidden.append((root / name).rename(disk.beside(root / name)))
    return hidden


async def _build(
    spec: EnvironmentSpec, folder: Path, *, source_builds: bool, on_step: Callable[[str], None], timeout_s: float
) -> None:
    """Make the environment ``folder``; the caller holds its lock."""
    python = await asyncio.to_thread(choose, spec.python)
    if python is None:
        raise Invalid(
            f"no Python on this machine is {spec.python}",
            code="environment_failed",
            hint="install one where PATH finds it as python3.N, or widen run.python",
            problems=(Problem("run.python", "python", f"no Python on this machine is {spec.python}"),),
        )
    for leftover in folder.parent.glob(f".{folder.name}.*.part"):
        await asyncio.to_thread(disk.remove, leftover)
    temporary = disk.beside(folder)
    try:
        async with asyncio.timeout(timeout_s):
            on_step("creating the environment")
            await _venv(spec, temporary, python)
            await _install(spec, temporary, python, source_builds=source_builds, on_step=on_step)
            await asyncio.to_thread(_finish, spec, temporary, folder, python)
    except TimeoutError as error:
        message = f"the environment was not built within {timeout_s:g} s"
        hint = "try again; the index may be slow, or the requirements need fewer packages"
        raise Unavailable(message, code="environment_failed", hint=hint, retry_after_s=60) from error
    finally:
        await asyncio.shield(asyncio.to_thread(disk.remove, temporary))


async def _venv(spec: EnvironmentSpec, folder: Path, python: Base) -> None:
    command = [_uv(), "venv", "--quiet", "--relocatable", "--no-project", "--python", python.python, str(folder)]
    code, said = await _run(command, folder.parent, environ(os.environ), lambda said: None)
    if code:
        raise refusal(said, spec, python.version, [str(folder)])
    (folder / SCRATCH).mkdir(mode=0o700)


async def _install(
    spec: EnvironmentSpec, folder: Path, python: Base, *, source_builds: bool, on_step: Callable[[str], None]
) -> None:
    """Install this build of Fairlead and the requirements: with the versions it was tried with, else what fits."""
    ours = await asyncio.to_thread(wheel, folder.parent / _WHEELS)
    scratch = folder / SCRATCH
    requires, constraints = scratch / "requires.txt", scratch / "pins.txt"
    requires.write_text("".join(f"{line}\n" for line in (f"fairlead @ {ours.absolute().as_uri()}", *spec.requires)))
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins().items()))
    on_step(
        f"installing {len(spec.requires)} requirement{'s' if len(spec.requires) > 1 else ''}"
        if spec.requires
        else "installing the SDK"
    )
    variables = environ(os.environ)
    cache(folder, variables, alone=source_builds).mkdir(parents=True, exist_ok=True)
    level = (await asyncio.to_thread(isolation)).level

    async def run(constraints: Path | None, wheels: Path | None = None) -> tuple[int, str]:
        command = install(
            _uv(),
            folder,
            requires=requires,
            constraints=constraints,
            source_builds=source_builds,
            no_index=wheels is not None or _is_on("PIP_NO_INDEX") or _is_on("UV_NO_INDEX"),
            wheels=wheels,
        )
        reads = (ours.absolute(), *((wheels,) if wheels else ()))
        made = fenced(command, folder, python, variables, level, reads=reads, alone=source_builds)
        return await _fenced(made, folder.parent, on_step)

    core = await asyncio.to_thread(_core, spec, python, folder.parent)
    code, said = await run(None, core) if core is not None else (1, "")
    if code:
        code, said = await run(constraints)
    if code and is_clash(said):
        code, said = await run(None)
    if code:
        hidden = [ours.absolute().as_uri(), str(ours.absolute()), str(folder)]
        raise refusal(said, spec, python.version, hidden)
    await _compile(folder, python, variables, level, on_step)


def _core(spec: EnvironmentSpec, python: Base, root: Path) -> Path | None:
    """Return the platform's own packages for a bundle that asks for no others, where they fit its Python."""
    if spec.requires or not fits(python.version):
        return None
    return core_wheels(pins(), root.absolute() / _WHEELS)


async def _compile(
    folder: Path, python: Base, variables: Mapping[str, str], level: Level, on_step: Callable[[str], None]
) -> None:
    """Compile all modules: by the base's Python, which reads none of the environment's start-up files (``.pth``).

    What cannot be compiled stays as it is, as with pip.
    """
    sources = sorted(str(path) for path in folder.glob("lib/python*/site-packages/**/*.py"))
    on_step(f"compiling {len(sources)} modules")
    shares = min(_COMPILERS, os.cpu_count() or 1)
    runs = []
    for index in range(shares):
        listed = folder / SCRATCH / f"compile-{index}.txt"
        listed.write_text("".join(f"{path}\n" for path in sources[index::shares]))
        command = [python.python, "-I", "-S", "-m", "compileall", "-q", "-i", str(listed)]
        made = fenced(command, folder, python, variables, level, alone=True)
        runs.append(_fenced(msgspec.structs.replace(made, outbound=False), folder.parent, lambda said: None))
    await asyncio.gather(*runs)


async def _fenced(made: Rules, folder: Path, on_step: Callable[[str], None]) -> tuple[int, str]:
    """Run a program under its rules; as :func:`_run`."""
    command = [sys.executable, "-P", "-m", "fairlead.sandbox.run"]
    return await _run(command, folder, {**os.environ, VARIABLE: msgspec.json.encode(made).decode()}, on_step)


def _finish(spec: EnvironmentSpec, temporary: Path, folder: Path, python: Base) -> None:
    """Open the new environment to all users, write down what it is, have it on disk, and give it its name."""
    disk.remove(temporary / SCRATCH)
    for path, _, names in os.walk(temporary):
        os.chmod(path, 0o755)  # noqa: S103 - bundles run under users of their own
        for name in names:
            file = os.path.join(path, name)
            mode = os.lstat(file).st_mode
            opened = 0o755 if mode & 0o100 else 0o644  # no bit that lends rights
            if stat.S_ISREG(mode) and stat.S_IMODE(mode) != opened:
                os.chmod(file, opened)
    found = [path.name.removesuffix(".dist-info") for path in temporary.glob("lib/python*/site-packages/*.dist-info")]
    packages = sorted(name.replace("-", "==", 1) for name in found)
    made = Made(folder.name, spec.requires, python, tuple(packages))
    (temporary / MARKER).write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    disk.flush_all(temporary)
    temporary.rename(folder)
    disk.flush_folder(folder.parent)


async def _run(
    command: list[str], folder: Path, variables: Mapping[str, str], on_step: Callable[[str], None]
) -> tuple[int, str]:
    """Run ``command`` in ``folder``; returns its exit code and what it said. Canceled, it kills all it started."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_MAX_BYTES,
        start_new_session=True,
        umask=0o022,
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        async for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
            said.append(line)
            del said[:-_SAID_MAX_LINES]
            if line.lstrip().startswith(_STEPS):
                on_step(line.strip())
        return await process.wait(), "\n".join(said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


@functools.cache
def _uv() -> str:
    """Return the path of uv: the one that was installed with the platform, else one on ``PATH``."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        if found := shutil.which("uv"):
            return found
        hint = "install fairlead[platform]"
        raise Unavailable("uv is not installed", code="environment_failed", hint=hint) from error


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")


@contextlib.asynccontextmanager
async def _alone(path: Path, on_step: Callable[[str], None]) -> AsyncIterator[None]:
    """Hold the lock ``path``. It is tried again and again: a thread blocked in ``flock`` could not be canceled."""
    waited = False
    while True:
        with _tried(path) as ours:
            if ours:
                yield
                return
        if not waited:
            on_step("waiting for the same environment to be built")
            waited = True
        await asyncio.sleep(_POLL_S)


@contextlib.contextmanager
def _tried(path: Path) -> Iterator[bool]:
    """Hold the lock ``path`` if nobody else does; gives whether it is ours. The file stays: removing it would race."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
