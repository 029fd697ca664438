"""A hint that names a verb names one that exists, with options that it has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from fairlead.cli.main import build

SOURCE = Path(__file__).parents[3] / "src" / "fairlead"
CALL = re.compile(r"\bfairlead ([a-z]+)((?:[ ][^\s;,:`'\")]+)*)")
WIDTH = 80
PROSE = {"is", "needs"}
"""What may follow the name of the program in a sentence."""
SAYS = {
    *(
        "lists",
        "shows",
        "tells",
        "writes",
        "adds",
        "moves",
        "begins",
        "starts",
        "again",
        "once",
        "on",
        "and",
        "or",
        "in",
    ),
    *("changes", "signs", "takes", "makes", "removes", "sets", "prints", "where", "with", "for", "from", "gives", "so"),
}
"""What follows a verb in a sentence about it."""


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every text of a file but its docstrings; what an f-string puts in is X."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_doc(node)}
    docs |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inside:
            yield node.lineno, node.value


def _has_doc(node: Any) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr)


def fault(top: Any, word: str, more: str) -> str:
    """Return what is wrong with ``fairlead WORD MORE``, nothing if it exists."""
    if word in PROSE:
        return ""
    if word not in top.commands:
        return f"no verb {word}"
    command, words = top.commands[word], more.split()
    if getattr(command, "commands", None) and words and re.fullmatch("[a-z]+", words[0]):
        if words[0] in command.commands:
            command = command.commands[words[0]]
        elif words[0] not in SAYS:
            return f"no verb {word} {words[0]}"
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--json", "--help"}
    if needs := _missing(command, words):
        return f"{word} lacks {needs}"
    unknown = [one for one in words if re.match(r"--[a-z]", one) and one.split("=")[0] not in known]
    return f"no option {unknown[0]} of {word}" if unknown else ""


def _missing(command: Any, words: list[str]) -> str:
    """Return an argument that a command of several verbs needs and the hint does not give."""
    required = [param for param in command.params if param.param_type_name == "argument" and param.required]
    if not required or getattr(command, "commands", None):
        return ""
    given = words[1:] if words and words[0] == command.name else words
    if given and (given[0] in SAYS or given[0].startswith("-")):
        given = []
    return str(required[0].name) if not given else ""


def test_hints_name_what_exists() -> None:
    top = typer.main.get_command(build())
    wrong = [
        f"{file.relative_to(SOURCE)}:{line} {said!r}: {found}"
        for file in sorted(SOURCE.rglob("*.py"))
        for line, text in texts(ast.parse(file.read_text(encoding="utf-8")))
        for said, (word, more) in ((match.group(), match.groups()) for match in CALL.finditer(text))
        if (found := fault(top, word, more))
    ]

    assert wrong == []


def test_no_summary_is_cut_in_the_lists_of_verbs() -> None:
    top: Any = typer.main.get_command(build())
    groups = [top, *(command for command in top.commands.values() if getattr(command, "commands", None))]
    cut = [
        f"{group.name} {name}"
        for group in groups
        for name, command in group.commands.items()
        if command.get_short_help_str(WIDTH - 6 - max(map(len, group.commands))).endswith("...")
    ]

    assert cut == []
