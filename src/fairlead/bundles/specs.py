"""From a manifest to what keepers and model servers are told: messages of the platform."""

from __future__ import annotations

import re
from pathlib import Path

from fairlead.bundles import rules
from fairlead.bundles.manifest import AppManifest, Manifest, ModelManifest
from fairlead.errors import Invalid, Problem
from fairlead.messages import BatchSpec, EnvironmentSpec, ExampleSpec, ModelSpec

RUNTIME_REQUIRES: dict[str, tuple[str, ...]] = {
    "sklearn": ("scikit-learn",),
    "onnx": ("onnxruntime",),
    "torch": ("torch", "numpy"),  # torch itself does without numpy, arrays of answers do not
    "python": (),
}
"""What a runtime needs in the environment; added where the bundle does not name it."""
REQUIRES_MAX = 1000
"""Most lines of a requirements file; they travel with the version, as its list in the manifest does."""
REQUIRES_BYTES = 128 * 1024
_ALIKE = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")}


def model_spec(manifest: ModelManifest, version: str) -> ModelSpec:
    """Return what a model server is told of ``version``; it looks itself for the files that examples name."""
    run, scale = manifest.run, manifest.scale
    return ModelSpec(
        name=manifest.name,
        version=version,
        runtime=run.runtime,
        artifact=run.artifact,
        entry=run.entry,
        env=dict(run.env),
        batch=BatchSpec(manifest.batch.max_size, manifest.batch.max_bytes, manifest.batch.max_wait_ms),
        concurrency=scale.concurrency,
        timeout_s=run.timeout_s,
        start_timeout_s=run.start_timeout_s,
        examples=tuple(ExampleSpec(one.title, one.input, one.expect) for one in manifest.examples),
        gpu=manifest.resources.gpu != 0,
        compile=run.runtime == "sklearn" and run.artifact is not None and run.compile is not False,
    )


def environment_spec(manifest: Manifest, folder: Path) -> EnvironmentSpec:
    """Return what the bundle's environment is built from; raises :class:`Invalid` for a bad requirements file."""
    if not isinstance(manifest, ModelManifest | AppManifest):
        raise TypeError(f"{type(manifest).__name__} is neither a model's nor an app's manifest")
    listed = requirements(manifest, folder)
    if isinstance(manifest, ModelManifest):
        named = {_project(line) for line in listed}
        wanted = RUNTIME_REQUIRES[manifest.run.runtime]
        listed = (*listed, *(one for one in wanted if not named.intersection(_ALIKE.get(one, (one,)))))
    return EnvironmentSpec(requires=listed, python=manifest.run.python)


def requirements(manifest: ModelManifest | AppManifest, folder: Path) -> tuple[str, ...]:
    """Return the bundle's requirements, from its list or file; raises :class:`Invalid` with all bad lines."""
    requires = manifest.run.requires
    if not isinstance(requires, str):
        return tuple(line.strip() for line in requires)
    try:
        text = (folder / requires).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem("run.requires", "missing", f"{requires} cannot be read", "is it in the bundle, in UTF-8?")
        raise Invalid(problem.message, code="bundle_invalid", hint=problem.hint, problems=(problem,)) from error
    listed: list[str] = []
    problems: list[Problem] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if not line:
            continue
        problems += _line(line, requires, number)
        listed.append(line)
    if len(listed) > REQUIRES_MAX or sum(map(len, listed)) > REQUIRES_BYTES:
        said = f"more than {REQUIRES_MAX} lines, or {REQUIRES_BYTES // 1024} kB"
        raise Invalid(
            f"{requires} has {said}",
            code="bundle_invalid",
            hint="name only what the bundle imports",
            problems=(Problem("run.requires", "too_many", said),),
        )
    if problems:
        message = f"{requires}:{problems[0].line}: {problems[0].message}"
        raise Invalid(message, code="bundle_invalid", hint=problems[0].hint, problems=tuple(problems))
    return tuple(listed)


def _line(line: str, source: str, number: int) -> list[Problem]:
    if line.endswith("\\"):
        return [Problem(source, "requirement_option", "goes on in the next line", "one requirement a line", number)]
    found = rules.requirement(line, source)
    return [Problem(source, found.rule, found.message, found.hint, number)] if found else []


def _project(line: str) -> str:
    """Return the normalized name (PEP 503) of a requirement's project."""
    match = re.match(r"[A-Za-z0-9._-]+", line)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""
