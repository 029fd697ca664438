"""What must hold in a manifest beyond the types of its fields. Pure: a manifest in, problems out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fairlead import ids
from fairlead.bundles.promised import promised
from fairlead.bundles.reading import closest
from fairlead.bundles.shapes import AppManifest, Manifest, ModelManifest, Program, Role, Route
from fairlead.errors import Problem

ENTRY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*")
COUNT = re.compile(r"(\d{1,3})\.\.(\d{1,3})?")
RESERVED_PATHS = (
    *("/api", "/v1", "/v2", "/apps", "/docs", "/metrics", "/healthz", "/readyz", "/assets", "/links"),
    *("/ui", "/sign-in", "/sign-out"),
)
"""First parts of paths that the front door keeps for itself."""
MANY = 100
"""Most entries of a list or table of a manifest."""
EXAMPLES_BYTES = 128 * 1024
"""All examples of a manifest, as JSON: they travel with the version."""
REQUIREMENT_MAX = 1000
"""Most characters of one requirement."""

_MINORS, _PATCHES = range(11, 30), range(40)
_MAJOR = re.compile(r"[0-9]{1,9}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = re.compile(r"(FAIRLEAD_.*|LD_.*|PYTHON.*|PATH|HOME|TMPDIR|PORT)")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_WEB = re.compile(r"/[A-Za-z0-9._~/-]*")
_MEDIA = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*")
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_NAME_HINT = "up to 63 lower-case letters, digits and -, with a letter or digit at both ends"
_WORD_HINT = "lower-case letters, digits and _, beginning with a letter"


def common(manifest: Manifest) -> Iterator[Problem]:
    """Yield what is wrong with what models and apps have in common."""
    if not ids.is_name(manifest.name):
        yield Problem("name", "name", f"{_short(manifest.name)} is not a name", _NAME_HINT)
    if manifest.version is not None and not ids.is_version(manifest.version):
        hint = "begin with a digit: 1.2.0; letters begin aliases"
        yield Problem("version", "version", f"{_short(manifest.version)} is not a version", hint)
    yield from _gpu(manifest.resources.gpu)
    if not all(map(math.isfinite, manifest.card.scores.values())):
        yield Problem("card.scores", "finite", "holds a number that is not finite")


def model(manifest: ModelManifest) -> Iterator[Problem]:
    """Yield what is wrong with a model beyond :func:`common`."""
    run = manifest.run
    yield from _program(run)
    yield from _what_runs(run.runtime, run.artifact, run.entry)
    if run.compile and (run.runtime != "sklearn" or run.artifact is None):
        yield Problem("run.compile", "compile", "only a scikit-learn artifact is compiled", "remove it")
    if manifest.scale.min > manifest.scale.max:
        message = f"min {manifest.scale.min} is above max {manifest.scale.max}"
        yield Problem("scale.min", "range", message, "raise scale.max or lower scale.min")
    yield from promised(manifest.slo)
    yield from _few("routes", manifest.routes)
    yield from _routes(manifest.routes)
    yield from _few("examples", manifest.examples)
    told = msgspec.json.encode([(one.title, one.input, one.expect) for one in manifest.examples], enc_hook=str)
    if len(told) > EXAMPLES_BYTES:
        said = f"have {len(told) / 1e3:,.0f} kB in all, more than {EXAMPLES_BYTES // 1024} kB"
        yield Problem("examples", "too_large", said, "name a file of the bundle where an example is long")
    for index, example in enumerate(manifest.examples):
        yield from _json(example.input, f"examples.{index}.input")
        yield from _json(example.expect, f"examples.{index}.expect")


def app(manifest: AppManifest) -> Iterator[Problem]:
    """Yield what is wrong with an app beyond :func:`common`."""
    run = manifest.run
    yield from _program(run)
    if run.entry is None and not manifest.processes:
        hint = 'name a fairlead.App: entry = "app:app"; or programs: [processes]'
        yield Problem("run.entry", "missing", "nothing says what to start", hint)
    if run.entry is not None and manifest.processes:
        yield Problem("processes", "either", "run.entry and [processes] are both there", "keep one of them")
    yield from _entry(run.entry)
    if run.web is not None and not _WEB.fullmatch(run.web):
        yield Problem("run.web", "path", f"{_short(run.web)} is not a path", "begin with /: /healthz")
    if run.web is not None and manifest.processes and "web" not in manifest.processes:
        hint = "name the one that serves the page web: it alone is given PORT"
        yield Problem("run.web", "processes", "[processes] has no web", hint)
    yield from _processes(manifest.processes)
    yield from _few("models", manifest.models)
    for role, target in manifest.models.items():
        yield from _role(f"models.{role}", role)
        name, _, ref = target.partition("@")
        if not ids.is_name(name) or ("@" in target and not (ids.is_alias(ref) or ids.is_version(ref))):
            yield Problem(
                f"models.{role}", "model", f"{_short(target)} names no model", "name, name@alias or name@version"
            )
        if role in manifest.devices:
            yield Problem(f"models.{role}", "role", "is the role of devices as well", "call one of them differently")
    yield from _few("devices", manifest.devices)
    for role, device in manifest.devices.items():
        yield from _device(role, device)
    yield from _few("params", manifest.params)
    for name, schema in manifest.params.items():
        yield from _role(f"params.{name}", name)
        yield from _schema(f"params.{name}", schema)


def relative(path: str) -> bool:
    """Whether ``path`` is a plain relative path within a bundle: no root, drive, backslash, ``..`` or control."""
    if not path or path.startswith("/") or "\\" in path or ":" in path or any(ord(c) < 32 for c in path):
        return False
    return all(part not in ("", ".", "..") for part in path.rstrip("/").split("/"))


def span(count: int | str) -> tuple[int, int | None] | None:
    """Return fewest and most (None: no bound) that ``count`` allows, or None where it is not a count."""
    if isinstance(count, int):
        return (count, count) if 1 <= count <= 999 else None
    if count.isascii() and count.isdigit() and len(count) < 10:  # Python makes no number of thousands of digits
        return span(int(count))
    match = COUNT.fullmatch(count)
    if not match:
        return None
    low, high = int(match[1]), int(match[2]) if match[2] else None
    return None if high is not None and (high < low or high == 0) else (low, high)


def _short(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _few(path: str, items: Mapping[str, Any] | tuple[Any, ...]) -> Iterator[Problem]:
    if len(items) > MANY:
        yield Problem(path, "too_many", f"{len(items)} are more than {MANY}")


def _role(path: str, word: str) -> Iterator[Problem]:
    if not ids.is_word(word):
        yield Problem(path, "name", f"{_short(word)} is not a role or parameter", _WORD_HINT)


def _gpu(gpu: float | str) -> Iterator[Problem]:
    good = (
        gpu == "0..1" if isinstance(gpu, str) else math.isfinite(gpu) and 0 <= gpu <= 64 and (gpu <= 1 or gpu % 1 == 0)
    )
    if not good:
        yield Problem("resources.gpu", "gpu", f"{_short(gpu)} is no share of GPUs", '0, 0.5, 1, 2 … or "0..1"')


def _program(run: Program) -> Iterator[Problem]:
    yield from _few("run.env", run.env)
    yield from _few("run.secrets", run.secrets)
    for where, names in (("run.env", run.env), ("run.secrets", run.secrets)):
        for name in names:
            if not _VARIABLE.fullmatch(name):
                yield Problem(where, "variable", f"{_short(name)} is not a variable's name", "letters, digits and _")
            elif _OURS.fullmatch(name):
                yield Problem(where, "reserved", f"{name} is set by the platform", "choose another name")
    for name, value in run.env.items():
        if "\0" in value:
            yield Problem(f"run.env.{name}", "control_character", "holds a NUL")
    for name in sorted(set(run.env) & set(run.secrets)):
        yield Problem("run.secrets", "either", f"{name} is in run.env as well", "keep it in secrets only")
    if len(set(run.secrets)) != len(run.secrets):
        yield Problem("run.secrets", "duplicate", "names a secret twice")
    yield from _requires(run.requires)
    yield from _python(run.python)


def _requires(requires: tuple[str, ...] | str) -> Iterator[Problem]:
    if isinstance(requires, str):
        if not relative(requires):
            hint = 'a file of the bundle ("requirements.txt") or a list'
            yield Problem("run.requires", "path", f"{_short(requires)} is not a file of the bundle", hint)
        return
    for index, line in enumerate(requires):
        if problem := requirement(line, f"run.requires.{index}"):
            yield problem


def requirement(line: str, path: str) -> Problem | None:
    """Return what is wrong with one requirement, or None. Options, addresses and paths are refused."""
    from packaging.requirements import InvalidRequirement, Requirement

    if len(line) > REQUIREMENT_MAX:
        said = f"{_short(line)} has more than {REQUIREMENT_MAX} characters"
        return Problem(path, "too_long", said, "name one project and its version")
    if line.lstrip().startswith("-") or " --" in line:
        hint = "one requirement each; indexes are set on the machine by UV_ or PIP_ variables"
        return Problem(path, "requirement_option", f"{_short(line)} is an option", hint)
    try:
        parsed = Requirement(line)
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0]
        return Problem(path, "requirement", f"{_short(line)}: {why}", "as in scikit-learn==1.7.2")
    if parsed.url is not None:
        hint = "put the wheel on an index or in a folder of find-links"
        return Problem(path, "requirement_url", f"{parsed.name} comes from an address", hint)
    if re.sub(r"[-_.]+", "-", parsed.name).lower() == "fairlead" and (parsed.specifier or parsed.extras):
        return Problem(
            path, "requirement_fairlead", "every environment carries its platform's own fairlead", "remove it"
        )
    return None


def _python(spec: str) -> Iterator[Problem]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        wanted = SpecifierSet(spec)
    except InvalidSpecifier:
        yield Problem("run.python", "python", f"{_short(spec)} is not a range of versions", "as in >=3.11")
        return
    if not any(wanted.contains(f"3.{minor}.{patch}") for minor in _MINORS for patch in _PATCHES):
        message = f"{_short(spec)} leaves out every Python from 3.{_MINORS[0]} on, which Fairlead needs"
        yield Problem("run.python", "python", message, f"as in >=3.{_MINORS[0]}")


def _entry(entry: str | None) -> Iterator[Problem]:
    if entry is None:
        return
    if not ENTRY.fullmatch(entry):
        yield Problem("run.entry", "entry", f"{_short(entry)} is not module:attribute", "as in model:PlaneDelay")
    elif entry.split(":")[0].split(".")[0] == "fairlead":
        yield Problem(
            "run.entry", "reserved", "the module fairlead is the platform's own", "name your file differently"
        )


def _what_runs(runtime: str, artifact: str | None, entry: str | None) -> Iterator[Problem]:
    yield from _entry(entry)
    if artifact is None and entry is None:
        hint = 'a file to load: artifact = "model.onnx"; code: entry = "model:Class"; or both'
        yield Problem("run.artifact", "missing", "nothing says what to serve", hint)
    elif artifact is not None and not relative(artifact):
        yield Problem(
            "run.artifact", "path", f"{_short(artifact)} is not a path within the bundle", "relative, with / and no .."
        )
    elif artifact is not None and runtime == "python":
        hint = (
            "runtime = sklearn, onnx or torch loads it; or remove artifact and read the file in load() from self.folder"
        )
        yield Problem("run.artifact", "runtime", "the runtime python loads no artifact", hint)
    elif artifact is None and runtime in ("sklearn", "onnx"):
        hint = 'name artifact, or write runtime = "python"'
        yield Problem("run.runtime", "runtime", f"the runtime {runtime} has no artifact to load", hint)


def _routes(routes: tuple[Route, ...]) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for index, route in enumerate(routes):
        at = f"routes.{index}"
        first = "/" + route.path.lstrip("/").split("/")[0]
        if not _PATH.fullmatch(route.path) or any(part in (".", "..") for part in route.path.split("/")):
            hint = "as in /flights/delay: letters, digits, - . _ ~"
            yield Problem(f"{at}.path", "path", f"{_short(route.path)} is not a path", hint)
        elif first in RESERVED_PATHS:
            yield Problem(f"{at}.path", "route_taken", f"{first} belongs to the platform", "choose another first part")
        if not route.methods:
            yield Problem(f"{at}.methods", "missing", "names no method", "POST is the default")
        if not _METHOD.fullmatch(route.entry):
            yield Problem(f"{at}.entry", "entry", f"{_short(route.entry)} is not a public method's name")
        if route.produces is not None and not _MEDIA.fullmatch(route.produces):
            yield Problem(
                f"{at}.produces", "media_type", f"{_short(route.produces)} is not a media type", "as in image/png"
            )
        for method in route.methods:
            if (route.path, method) in seen:
                yield Problem(f"{at}.path", "duplicate", f"{method} {route.path} is there twice")
            seen.add((route.path, method))


def _json(value: Any, path: str) -> Iterator[Problem]:
    """Yield where ``value`` holds what JSON has no words for: moments, infinities."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _json(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _json(item, f"{path}.{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, "not_json", f"{value} is not JSON")
    elif not (value is None or value is msgspec.UNSET or isinstance(value, str | int | float)):
        yield Problem(path, "not_json", f"a {type(value).__name__} is not JSON", "write it as text")


def _processes(processes: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    yield from _few("processes", processes)
    for name, arguments in processes.items():
        if not (ids.is_name(name) or ids.is_word(name)):
            yield Problem(f"processes.{name}", "name", f"{_short(name)} is not a name", _NAME_HINT)
        if not arguments or not arguments[0]:
            yield Problem(f"processes.{name}", "missing", "names no program", '["python", "main.py"]')
        if any("\0" in argument for argument in arguments):
            yield Problem(f"processes.{name}", "control_character", "holds a NUL")


def _device(role: str, device: Role) -> Iterator[Problem]:
    at = f"devices.{role}"
    yield from _role(at, role)
    name, at_sign, major = device.type.partition("@")
    if not ids.is_name(name) or (at_sign and not _MAJOR.fullmatch(major)):
        yield Problem(
            f"{at}.type", "type", f"{_short(device.type)} names no device type", "name or name@major: camera@1"
        )
    if span(device.count) is None:
        yield Problem(
            f"{at}.count", "count", f"{_short(device.count)} is not a count", '1, "0..1", "1..4", "0.." or "1.."'
        )


# fmt: off
_KEYWORDS = frozenset([
    "type", "default", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "pattern", "format", "enum", "const", "title", "description", "examples", "items", "minItems",
    "maxItems", "uniqueItems", "properties", "required", "additionalProperties", "anyOf", "oneOf", "allOf", "not",
    "contentMediaType", "contentEncoding", "prefixItems", "minProperties", "maxProperties", "patternProperties",
    "propertyNames", "contains", "minContains", "maxContains", "if", "then", "else", "dependentRequired",
    "dependentSchemas", "readOnly", "writeOnly", "deprecated", "unit",
])
# fmt: on
"""JSON Schema 2020-12 without references, and ``unit``."""


def _schema(path: str, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with a parameter's JSON Schema (2020-12) and its default."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    for key in sorted(schema.keys() - _KEYWORDS):
        yield Problem(
            f"{path}.{key}", "unknown_key", "unknown key", closest(key, _KEYWORDS) or "a keyword of JSON Schema"
        )
    not_json = list(_json(schema, path))
    yield from not_json
    if not_json:
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join((path, *map(str, error.absolute_path)))
        yield Problem(where, "schema", error.message.partition("\n")[0][:200], "see JSON Schema, draft 2020-12")
        return
    if "type" not in schema and not schema.keys() & {"enum", "const", "anyOf", "oneOf", "allOf"}:
        yield Problem(path, "missing", "has no type", 'type = "number"')
    if "default" in schema:
        for fault in Draft202012Validator(schema).iter_errors(schema["default"]):
            yield Problem(f"{path}.default", "default", f"the default does not fit: {fault.message[:200]}")
