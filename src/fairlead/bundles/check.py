"""Looks at a bundle's folder and tells all that is wrong with it at once. Nothing of the bundle is imported or run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from posixpath import normpath
from typing import Any

import msgspec

from fairlead.bundles import artifacts, asked, entries, listing, pack, reading, rules, specs
from fairlead.bundles.archive import File, Limits
from fairlead.bundles.manifest import FILE, AppManifest, ModelManifest, examine
from fairlead.errors import Invalid, Problem

_PROGRAMS = ("/usr/bin/", "/bin/", "/usr/local/", "/usr/lib/", "/usr/lib64/", "/lib/", "/lib64/")
"""Where programs of the machine are that an app may run, as ``sandbox.rules`` has it."""
_PICKLES = (".joblib", ".pkl", ".pickle", ".pt", ".pth", ".bin")
_KEYS = re.compile(r"(^|/)(id_(rsa|ed25519|ecdsa)|[^/]*\.(pem|p12|pfx|key|keystore))$", re.IGNORECASE)
_MEDIA = re.compile(
    r"[^\s:]+\.(jpe?g|png|gif|webp|bmp|tiff?|wav|mp3|flac|ogg|mp4|avi|npy|npz|csv|parquet)", re.IGNORECASE
)


class Checked(msgspec.Struct, frozen=True):
    """What a look at a bundle found."""

    manifest: ModelManifest | AppManifest | None
    """None where ``fairlead.toml`` itself is wrong."""
    files: tuple[File, ...] = ()
    problems: tuple[Problem, ...] = ()
    """With any of these the bundle is refused."""
    warnings: tuple[Problem, ...] = ()

    def require(self) -> ModelManifest | AppManifest:
        """Return the manifest; raises :class:`Invalid` (``bundle_invalid``) with all problems if there are any."""
        if self.manifest is not None and not self.problems:
            return self.manifest
        first = self.problems[0]
        rest = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        message = reading.bounded(self._told(first)) + rest
        hint = first.hint or "fairlead check FOLDER lists all that is wrong"
        raise Invalid(message, code="bundle_invalid", hint=hint, problems=self.problems)

    def _told(self, problem: Problem) -> str:
        """Return where the problem is, with the name of its file, and what it is."""
        line = f":{problem.line}" if problem.line else ""
        paths = {file.path for file in self.files}
        is_key = bool(paths) and problem.path not in paths and problem.path != FILE and "/" not in problem.path
        if not is_key:
            return f"{problem.path}{line}: {problem.message}"
        if problem.message.startswith("is "):
            return f"{FILE}{line}: {problem.path} {problem.message}"
        return f"{FILE}{line} {problem.path}: {problem.message}"


def _no_manifest(folder: Path, *, is_archive: bool) -> Problem:
    """Tell that there is no bundle here, and where one is: people pack the folder instead of what is in it."""
    inside = next((one.name for one in sorted(folder.iterdir()) if (one / FILE).is_file()), "")
    hint = (
        f"it is in {inside}/: that is the bundle"
        if inside
        else "fairlead init KIND NAME writes one; KIND is model or app"
    )
    return Problem(FILE, "missing", f"is missing in {'the archive' if is_archive else folder}", hint)


def check(folder: Path, limits: Limits = Limits(), *, everything: bool = False) -> Checked:
    """Return what is in the bundle ``folder`` and what is wrong with it.

    ``everything``: the folder came out of an archive, so no file is ignored.
    """
    problems: list[Problem] = []
    files: list[File] = []
    if not folder.is_dir():
        return Checked(None, (), (Problem(str(folder), "missing", "is not a folder", "name the folder of a bundle"),))
    if not (folder / FILE).exists():  # no bundle: of its files nothing is worth telling
        return Checked(None, (), (_no_manifest(folder, is_archive=everything),))
    try:
        files = pack.files(folder, everything=everything)
    except Invalid as error:
        problems += error.problems
    manifest, whole, text = None, False, ""
    wrong: tuple[Problem, ...] = ()
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        manifest, wrong = examine(text)
        whole = manifest is not None and not wrong
    except FileNotFoundError:
        problems.append(
            Problem(FILE, "missing", "is missing", "fairlead init KIND NAME writes one; KIND is model or app")
        )
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(FILE, "unreadable", f"cannot be read: {error}"))
    problems += wrong
    problems += listing.faults(files, limits)
    told: list[Problem] = [*_keys(files), *artifacts.pointers(_a_model(manifest), folder, files)]
    if manifest is not None:
        lines = reading.lines(text)
        above = {problem.path for problem in wrong}
        found = [one for one in _look(manifest, folder, files) if not reading.covered(one, above)]
        problems += [problem if problem.line else _placed(problem, lines) for problem in found]
        told += [_placed(problem, lines) for problem in _warnings(manifest, folder)]
        if isinstance(manifest, AppManifest):
            told += asked.unknown(manifest, folder, {file.path for file in files})
    return Checked(manifest if whole else None, tuple(files), tuple(problems), tuple(told))


def _a_model(manifest: ModelManifest | AppManifest | None) -> ModelManifest | None:
    return manifest if isinstance(manifest, ModelManifest) else None


def _placed(problem: Problem, lines: Mapping[str, int]) -> Problem:
    return msgspec.structs.replace(problem, line=reading.line_of(lines, problem.path))


def _look(manifest: ModelManifest | AppManifest, folder: Path, files: Iterable[File]) -> Iterator[Problem]:
    """Yield where the manifest names what is not there, or not what it should be."""
    run, paths = manifest.run, {file.path for file in files}
    if isinstance(run.requires, str) and run.requires not in paths:
        hint = reading.closest(run.requires, paths) or f'write it, or give a list: requires = ["{run.requires}"]'
        yield Problem("run.requires", "missing", f"{run.requires} is not in the bundle", hint)
    else:
        try:
            specs.requirements(manifest, folder)
        except Invalid as error:
            yield from error.problems
    if "fairlead.py" in paths or any(path.startswith("fairlead/") for path in paths):
        yield Problem("fairlead", "reserved", "a module of this name hides the platform's own", "rename it")
    if isinstance(manifest, ModelManifest):
        yield from _artifact(manifest, paths)
        yield from artifacts.faults(manifest, folder, files)
    elif manifest.processes:
        yield from _programs(manifest, folder, paths)
    if run.entry is not None:
        entry = entries.Entry(run.entry, run.python, folder, paths)
        yield from entry.problems
        if isinstance(manifest, ModelManifest):
            yield from entries.faults(manifest, entry.body())


def _artifact(manifest: ModelManifest, paths: set[str]) -> Iterator[Problem]:
    if (artifact := manifest.run.artifact) is None:
        return
    plain = artifact.rstrip("/")
    if plain not in paths and not any(path.startswith(f"{plain}/") for path in paths):
        hint = reading.closest(artifact, paths) or "is it ignored, or not yet made?"
        yield Problem("run.artifact", "missing", f"{artifact} is not in the bundle", hint)


def _programs(manifest: AppManifest, folder: Path, paths: set[str]) -> Iterator[Problem]:
    for name, arguments in manifest.processes.items():
        program = arguments[0].removeprefix("./")
        if "/" not in arguments[0]:
            continue
        if program.startswith("/"):
            if not program.startswith(_PROGRAMS) or normpath(program) != program:
                hint = "name it alone (python), or a file of the bundle, or a program below /usr/bin"
                yield Problem(f"processes.{name}", "program", f"{program!a} is no program that an app may run", hint)
            continue
        if program not in paths:
            yield Problem(
                f"processes.{name}", "missing", f"{program} is not in the bundle", reading.closest(program, paths)
            )
        elif not (folder / program).stat().st_mode & 0o100:
            yield Problem(f"processes.{name}", "mode", f"{program} is not executable", f"chmod +x {program}")


def _keys(files: Iterable[File]) -> Iterator[Problem]:
    for file in files:
        if _KEYS.search(file.path):
            hint = f"secrets arrive by name, see run.secrets; name it in {pack.IGNORE_FILE}"
            yield Problem(file.path, "private_key", "looks like a private key", hint)


def _warnings(manifest: ModelManifest | AppManifest, folder: Path) -> Iterator[Problem]:
    if manifest.access.visibility == "public":
        asked = f"once it is pushed a configurer says: fairlead models set {manifest.name} --visibility public"
        hint = asked if isinstance(manifest, ModelManifest) else ""
        yield Problem("access.visibility", "public", "anyone may call it once a configurer has agreed", hint)
    if manifest.network.outbound:
        granted = f"once it is pushed a configurer says: fairlead models set {manifest.name} --outbound"
        hint = granted if isinstance(manifest, ModelManifest) else "an app cannot be granted it in this version"
        yield Problem("network.outbound", "outbound", "it has no network until a configurer has agreed", hint)
    if manifest.run.entry is not None:
        first = manifest.run.entry.partition(":")[0].partition(".")[0]
        if first in sys.stdlib_module_names:
            yield Problem("run.entry", "hides_module", f"{first} is a module of Python itself", "rename your file")
    if isinstance(manifest, AppManifest):
        return
    artifact = manifest.run.artifact
    if artifact is not None and artifact.lower().endswith(_PICKLES):
        hint = "it is loaded in the sandbox only; ONNX and safetensors carry no code"
        yield Problem("run.artifact", "pickle_weights", f"{artifact} may run code when it is loaded", hint)
    yield from artifacts.pins(manifest, folder)
    for index, example in enumerate(manifest.examples):
        for text in _texts(example.input):
            if _MEDIA.fullmatch(text) and not text.startswith("data:") and not _names_file(text, folder):
                at = f"examples.{index}.input"
                yield Problem(at, "no_file", f"{text!a} names no file of the bundle", "it is sent as text")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _names_file(text: str, folder: Path) -> bool:
    return rules.relative(text) and (folder / text).is_file()
