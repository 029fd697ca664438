"""Writes docs/reference from the code that enforces it; ``--check`` fails when a page is stale.

Each page is a pure function of the source tree and of the imported package, so the same code gives the same pages.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import typer.main

from fairlead import messages, status
from fairlead.accounts.policy import ALLOWED, Role
from fairlead.api.errors import STATUS, STATUS_BY_CODE
from fairlead.bundles import shapes
from fairlead.bus import subjects
from fairlead.cli.main import EXIT_BY_KIND, build
from fairlead.errors import Error
from fairlead.gateway import refusals
from fairlead.settings import Settings

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fairlead"
TARGET = ROOT / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference.py from the code; change it there and run: make docs -->"
CODE = re.compile(r"[a-z][a-z0-9_]*")
_ORIGINS = ("Error", "Invalid", "NotFound", "Conflict", "Forbidden", "Busy", "Unavailable", "Internal")


# --- what the source says ------------------------------------------------------------------------------------------


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def field_docs(path: Path) -> dict[str, dict[str, str]]:
    """Return class to field to the docstring below the field, inherited ones included (bases of the same file)."""
    found: dict[str, dict[str, str]] = {}
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef):
            own: dict[str, str] = {}
            for base in node.bases:
                own |= found.get(base.id, {}) if isinstance(base, ast.Name) else {}
            for line, following in zip(node.body, [*node.body[1:], None], strict=True):
                name = _assigned(line)
                if name and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    own[name] = " ".join(str(following.value.value).split())
            found[node.name] = own
    return found


def _assigned(line: ast.stmt) -> str:
    target = (
        line.target if isinstance(line, ast.AnnAssign) else line.targets[0] if isinstance(line, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) else ""


@dataclasses.dataclass(frozen=True, order=True)
class Code:
    """One place that raises an error code."""

    code: str
    kind: str
    says: str
    file: str


def codes() -> list[Code]:
    """Return every error code that some call in the source names."""
    found: set[Code] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        if "testing" in path.parts:
            continue
        file = path.relative_to(SOURCE).as_posix()
        constants = _constants(tree(path))
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                found |= {Code(code, kind, says, file) for code, kind, says in _raised(node, constants)}
            elif isinstance(node, ast.ClassDef) and file == "errors.py":
                found |= {Code(code, node.name, "", file) for code in _default_codes(node)}
    found |= {Code(line.code, str(line.status), line.message, "gateway/refusals.py") for line in refusals.LINES}
    return sorted(found)


def _constants(module: ast.Module) -> dict[str, ast.expr]:
    return {name: line.value for line in module.body if isinstance(line, ast.Assign) and (name := _assigned(line))}


def _default_codes(kind: ast.ClassDef) -> list[str]:
    return [
        code
        for line in kind.body
        if isinstance(line, ast.Assign) and _assigned(line) == "default_code"
        for code in _texts(line.value, {})
    ]


def _raised(call: ast.Call, constants: Mapping[str, ast.expr]) -> Iterator[tuple[str, str, str]]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = next((word.value for word in call.keywords if word.arg == "code"), None)
    message = next((word.value for word in call.keywords if word.arg == "message"), None)
    first = call.args[0] if call.args else None
    if name in ("ErrorInfo", "Refusal") and given is None and len(call.args) > 1:
        given, message = call.args[0], message or call.args[1]
    if given is None or name in ("replace", "Exited"):
        return
    kind = name if name in _ORIGINS else ""
    for code in _texts(given, constants):
        yield code, kind, _prose(message or (first if first is not given else None))


def _texts(node: ast.expr, constants: Mapping[str, ast.expr]) -> list[str]:
    """Return the codes an expression may stand for; what is put in at run time is written ``…``."""
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    if isinstance(node, ast.JoinedStr):
        return [_prose(node)]
    if isinstance(node, ast.IfExp | ast.BoolOp):
        parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
        return [text for part in parts for text in _texts(part, constants)]
    texts = [leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)]
    if isinstance(node, ast.Call):  # said.get("code"): the word is a key
        return [text for text in texts if "_" in text]
    return [text for text in texts if CODE.fullmatch(text)]


def _prose(node: ast.expr | None) -> str:
    """Return a message with ``…`` for what is put in at run time."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def rules() -> dict[str, set[str]]:
    """Return each rule that a problem names, with the files that name it."""
    found: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        constants = _constants(tree(path))
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
                given = next((word.value for word in node.keywords if word.arg == "rule"), None)
                given = given or (node.args[1] if len(node.args) > 1 else None)
                for rule in _texts(given, constants) if given is not None else ():
                    found.setdefault(rule, set()).add(path.relative_to(SOURCE).as_posix())
    return found


# --- pages ---------------------------------------------------------------------------------------------------------


def cell(text: object) -> str:
    return " ".join(str(text).replace("``", "`").replace("|", "\\|").split())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(cell(one) for one in row) + " |" for row in rows)])


def page(title: str, intro: str, *parts: str) -> str:
    return "\n\n".join([NOTE, f"# {title}", intro, *parts]) + "\n"


def manifest() -> str:
    docs = field_docs(SOURCE / "bundles" / "shapes.py")
    parts, seen = [], set()
    for kind in (shapes.ModelManifest, shapes.AppManifest):
        waiting: list[tuple[str, type]] = [("", kind)]
        while waiting:
            where, struct = waiting.pop(0)
            if struct in seen:
                continue
            seen.add(struct)
            schema = msgspec.json.schema(struct)
            own = schema["$defs"][struct.__name__]
            heading = (
                f"`{where}`" if where else f"A manifest of kind `{kind.__name__.removesuffix('Manifest').lower()}`"
            )
            rows = []
            for field in msgspec.structs.fields(struct):
                shape = own["properties"][field.encode_name]
                below = _struct_of(shape)
                if below:
                    waiting.append(_table_name(field.name, shape, getattr(shapes, below)))
                said = docs[struct.__name__].get(field.name) or _class_doc(getattr(shapes, below) if below else struct)
                rows.append((f"`{field.name}`", _shape(shape), _default(field), said))
            parts.append(f"## {heading}\n\n{table(('Key', 'Type', 'Default', 'Meaning'), rows)}")
    intro = (
        "Every key that `fairlead.toml` may have; any other is refused with the nearest known one. "
        "`fairlead check FOLDER` reports all problems at once. Rules and examples: [the contract](../contract.md)."
    )
    return page("Manifest", intro, *parts)


def _class_doc(kind: type) -> str:
    text = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", kind.__doc__ or "")
    return " ".join(text.split())


def _struct_of(shape: Mapping[str, Any]) -> str:
    """Return the name of the struct that a field holds, in whatever container."""
    text = repr(shape)
    match = re.search(r"#/\$defs/(\w+)", text)
    return match[1] if match else ""


def _table_name(name: str, shape: Mapping[str, Any], kind: type) -> tuple[str, type]:
    if shape.get("type") == "array":
        return f"[[{name}]]", kind
    return (f"[{name}] ROLE" if shape.get("type") == "object" else f"[{name}]"), kind


def _shape(shape: Mapping[str, Any]) -> str:
    if "enum" in shape:
        return " or ".join(f"`{one}`" for one in shape["enum"])
    if "anyOf" in shape:
        inner = [_shape(one) for one in shape["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(inner))
    if "$ref" in shape:
        return "table"
    kind = shape.get("type", "any")
    words = {
        "array": "list",
        "object": "table",
        "integer": "whole number",
        "string": "text",
        "boolean": "true or false",
    }
    text = words.get(kind, kind)
    if kind == "array" and shape.get("items"):
        text += f" of {_shape(shape['items'])}"
    low, high = shape.get("minimum", shape.get("exclusiveMinimum")), shape.get("maximum", shape.get("exclusiveMaximum"))
    bounds = (f"{'above' if 'exclusiveMinimum' in shape else 'from'} {_number(low)}" if low is not None else "") + (
        f" to {'below ' if 'exclusiveMaximum' in shape else ''}{_number(high)}" if high is not None else ""
    )
    return f"{text}, {bounds.strip()}" if bounds else text


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _default(field: Any) -> str:
    if field.required:
        return "**required**"
    value = field.default
    if value is msgspec.NODEFAULT or isinstance(value, msgspec.Struct) or value in ((), {}, "", None, msgspec.UNSET):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


def settings() -> str:
    docs = field_docs(SOURCE / "settings.py")["Settings"]
    flags = {option for param in _command("up").params for option in getattr(param, "opts", ())}
    rows = []
    for field in msgspec.structs.fields(Settings):
        flag = f"--{field.name.replace('_', '-')}"
        default = "" if field.required or field.default is None else f"`{field.default}`"
        rows.append(
            (
                f"`{field.name}`",
                f"`FAIRLEAD_{field.name.upper()}`",
                f"`{flag}`" if flag in flags else "",
                default,
                docs[field.name],
            )
        )
    intro = (
        "Strongest first: the flag of `fairlead up`, the environment variable, `settings.toml` in the home. "
        "`fairlead doctor` prints what is in force, passwords hidden."
    )
    return page("Settings", intro, table(("Name", "Variable", "Flag", "Default", "Meaning"), rows))


def errors() -> str:
    by_code: dict[str, list[Code]] = {}
    for code in codes():
        by_code.setdefault(code.code, []).append(code)
    http = {kind.__name__: STATUS[kind.kind] for kind in Error.__subclasses__()}
    rows = []
    for name, places in sorted(by_code.items()):
        told = {str(STATUS_BY_CODE.get(name) or http.get(place.kind) or place.kind) for place in places}
        said = sorted({place.says for place in places if place.says}, key=lambda text: (len(text), text))
        rows.append((f"`{name}`", ", ".join(sorted(told - {"", "Error"})), said[0] if said else "", _files(places)))
    kinds = [
        (kind.kind, STATUS[kind.kind], EXIT_BY_KIND[kind.kind], kind.__doc__)
        for kind in sorted(Error.__subclasses__(), key=lambda k: k.__name__)
    ]
    problems = [
        (f"`{rule}`", ", ".join(f"`{file}`" for file in sorted(files))) for rule, files in sorted(rules().items())
    ]
    intro = (
        "Every refusal has message, hint and one of these codes, in the shape of [the contract](../contract.md) §8. "
        "A code never changes its meaning. Where a message holds `…`, a name or value stands there."
    )
    return page(
        "Errors",
        intro,
        "## Kinds\n\n" + table(("Kind", "HTTP", "Exit code of the CLI", "Meaning"), kinds),
        "## Codes\n\n" + table(("Code", "HTTP", "Says", "Raised in"), rows),
        "## Rules of problems\n\nAn error of kind invalid lists `problems`; each names one of these rules, or a "
        "keyword of JSON Schema.\n\n" + table(("Rule", "Checked in"), problems),
    )


def _files(places: Iterable[Code]) -> str:
    return ", ".join(f"`{file}`" for file in sorted({place.file for place in places}))


def statuses() -> str:
    docs = field_docs(SOURCE / "status.py")
    parts = []
    for kind in sorted({kind for kind, _ in status.MOVES}, key=lambda one: one.__name__):
        rows, picture = [], ["```mermaid", "stateDiagram-v2"]
        for member in kind:
            following = sorted(status.MOVES[kind, member])
            picture += [f"    {member} --> {other}" for other in following]
            said = docs[kind.__name__].get(member.name, "")
            rows.append((f"`{member}`", ", ".join(f"`{other}`" for other in following) or "none", said))
        name = kind.__name__.removesuffix("Status").lower()
        parts.append(
            "\n\n".join(
                [
                    f"## {name}",
                    _class_doc(kind),
                    "\n".join([*picture, "```"]),
                    table(("Status", "May become", "Meaning"), rows),
                ]
            )
        )
    intro = (
        "Every life, its statuses and its legal moves; the database holds the same lists. A move carries its reason."
    )
    return page("Statuses", intro, *parts)


def bus_subjects() -> str:
    rows = []
    for kind in sorted(messages.Message.__subclasses__(), key=lambda one: one.__name__):
        if kind.__name__ in _ON_CHANNELS:
            continue
        if kind is messages.Answer:
            rows.append(("the asker's inbox", "`Answer`", _class_doc(kind)))
            continue
        pattern = subjects._PATTERNS.get(kind, f"fl.ask.{kind.__name__}")
        rows.append((f"`{pattern}`", f"`{kind.__name__}`", _class_doc(kind)))
    users = {
        "control": subjects.control_permissions(),
        "keeper of node n": subjects.keeper_permissions("n"),
        "device d": subjects.device_permissions("d"),
        "callout": subjects.callout_permissions(),
        "warden": subjects.warden_permissions(),
    }
    allowed = [
        (user, *(", ".join(f"`{one}`" for one in side) for side in (rights.publish, rights.subscribe)))
        for user, rights in users.items()
    ]
    channel = [(f"`{name}`", _class_doc(getattr(messages, name))) for name in sorted(_ON_CHANNELS)]
    intro = (
        "Subjects of the bus, the message each carries, and who may use them; nats-server enforces the last table. "
        "A device's topic `dev/t1/state` is the subject `dev.t1.state`."
    )
    return page(
        "Subjects and messages",
        intro,
        "## Messages on the bus\n\n" + table(("Subject", "Message", "Meaning"), rows),
        "## Messages on channels of replicas and zygotes\n\n" + table(("Message", "Meaning"), channel),
        "## Permissions\n\n" + table(("User", "May publish", "May subscribe"), allowed),
    )


_ON_CHANNELS = frozenset(
    name
    for union in (messages.ToReplica, messages.FromReplica, messages.ToZygote, messages.FromZygote)
    for name in (kind.__name__ for kind in union.__args__)
)


def roles() -> str:
    rows = [(verb, *("yes" if role in ALLOWED[verb] else "" for role in Role)) for verb in ALLOWED]
    intro = (
        "Which role may do what; a person may have several. What one may not see answers 404, as if it were not there."
    )
    return page("Roles", intro, table(("Verb", *(f"`{role}`" for role in Role)), rows))


def _command(*path: str) -> Any:
    found: Any = typer.main.get_command(build())
    for name in path:
        found = found.commands[name]
    return found


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command of the CLI with its words."""
    for name, command in sorted(group.commands.items()):
        if getattr(command, "commands", None) is not None:
            if command.invoke_without_command:
                yield (*path, name), command
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def cli() -> str:
    parts = []
    for path, command in commands(_command()):
        words = " ".join(("fairlead", *path, *(_argument(one) for one in command.params if _is_argument(one))))
        options = [
            (
                " ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts)),
                "required" if one.required else "",
                one.help or "",
            )
            for one in command.params
            if not _is_argument(one) and one.name != "help"
        ]
        body = f"## `{words}`\n\n{' '.join((command.help or '').split())}"
        parts.append(body + ("\n\n" + table(("Option", "", "Meaning"), options) if options else ""))
    intro = (
        "Results on stdout, everything else on stderr; `--json` anywhere prints the API's view. Exit codes: 0 ok, "
        "1 failed, 2 usage, 3 not found, 4 refused, 5 invalid input, 6 not ready, 7 timed out."
    )
    return page("Command line", intro, *parts)


def _is_argument(param: Any) -> bool:
    return str(param.param_type_name) == "argument"


def _argument(param: Any) -> str:
    name = (param.metavar or str(param.name)).strip("_").upper() + (" …" if param.nargs != 1 else "")
    return name if param.required else f"[{name}]"


def api() -> str | None:
    """Return the page of the control API, or none while it cannot be put together."""
    try:
        from fairlead.api.app import make_app
    except ImportError as error:
        sys.stderr.write(f"api.md is left out: {error}\n")
        return None
    rows = []
    for path, methods in make_app(SimpleNamespace(version="0")).openapi()["paths"].items():  # type: ignore[arg-type]
        for method, operation in methods.items():
            said = operation.get("description", "").split("\n\n")[0]
            rows.append((f"`{method.upper()} {path}`", said))
    rows.sort(key=lambda row: (row[0].split()[1], row[0]))
    intro = (
        "Every route of control; the whole of it is served at `/api/v1/openapi.json`. "
        "Calls of models: [the contract](../contract.md)."
    )
    return page("API", intro, table(("Route", "Does"), rows))


PAGES = {
    "manifest": manifest,
    "settings": settings,
    "errors": errors,
    "statuses": statuses,
    "subjects": bus_subjects,
    "roles": roles,
    "cli": cli,
    "api": api,
}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with ``--check`` only say which are stale; returns the exit code."""
    stale = []
    for name, make in PAGES.items():
        text, file = make(), TARGET / f"{name}.md"
        if text is None or (file.exists() and file.read_text(encoding="utf-8") == text):
            continue
        stale.append(file.relative_to(ROOT).as_posix())
        if "--check" not in arguments:
            TARGET.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    for file in stale:
        print(("stale: " if "--check" in arguments else "wrote ") + file)
    if stale and "--check" in arguments:
        print("run: make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
