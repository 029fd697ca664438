"""Counts what the style guide cares about; exits 1 where a file or a function is longer than it may be."""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fairlead"
FILE_LINES = 500
FUNCTION_LINES = 50
"""Of a body without its docstring: one screen; past it look for the seam."""
LONGER = {
    "store/migrations/versions/0001_first_tables.py": (800, "a migration is history"),
}
"""Files that may be longer, how long, and why; nothing is added here without a reason."""
_MOCKS = re.compile(r"\bMock\(|\bpatch(?:\.object)?\(|\bmocker\.|monkeypatch\.setattr")


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield name and length in lines of every function, docstring left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def imports(path: Path, tree: ast.Module) -> set[str]:
    """Return the modules of ours that a file imports, those inside functions included; files that re-export aside."""
    if path == SOURCE / "__init__.py":
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fairlead":
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("fairlead.")}
    return found


def module_of(path: Path) -> str:
    return ".".join(("fairlead", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


def ring(edges: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import cycle, or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def mocks() -> tuple[int, int]:
    """Return how often tests replace something by a mock, and how many tests there are."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    return sum(len(_MOCKS.findall(text)) for text in texts), sum(text.count("def test_") for text in texts)


def main() -> int:
    """Print the census; return 1 when something is too long or imports go round."""
    lines: dict[str, int] = {}
    long_functions: list[tuple[int, str]] = []
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    modules = {module_of(path) for path in trees}
    edges: dict[str, set[str]] = {}
    for path, tree in trees.items():
        name = path.relative_to(SOURCE).as_posix()
        lines[name] = len(path.read_text(encoding="utf-8").splitlines())
        edges[module_of(path)] = (imports(path, tree) & modules) - {module_of(path), "fairlead"}
        if not name.startswith("store/migrations/versions/"):
            long_functions += [(count, f"{name} {what}") for what, count in functions(tree) if count > 50]
    replaced, tests = mocks()
    cycle = ring(edges)
    largest = max(lines, key=lines.__getitem__)
    print(f"files {len(lines)}, lines {sum(lines.values()):,}, median {statistics.median(lines.values()):g}", end="")
    print(f", longest {largest} with {lines[largest]}")
    print(f"functions over 50 lines: {len(long_functions)}")
    for count, where in sorted(long_functions, reverse=True):
        print(f"  {count} {where}")
    print(f"import cycles: {' > '.join(cycle) if cycle else 0}")
    print(f"tests {tests}, mocks per 100 tests {100 * replaced / max(1, tests):.1f}")
    wrong = [
        f"{name} has {count} lines, more than {limit}"
        for name, count in lines.items()
        if count > (limit := LONGER.get(name, (FILE_LINES, ""))[0])
    ]
    wrong += [
        f"{where} has {count} lines, more than {FUNCTION_LINES}"
        for count, where in long_functions
        if count > FUNCTION_LINES
    ]
    for fault in wrong:
        print(f"too long: {fault}", file=sys.stderr)
    return 1 if wrong or cycle else 0


if __name__ == "__main__":
    sys.exit(main())
