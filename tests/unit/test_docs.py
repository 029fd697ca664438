"""The docs say all that the code knows, and nothing that it does not: names, links, commands."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main

from fairlead import messages, status
from fairlead.accounts.policy import ALLOWED, Role
from fairlead.bundles import shapes
from fairlead.bus import subjects
from fairlead.cli.main import build
from fairlead.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fairlead"
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"""\bcode=(?:f?"([a-z0-9_]+)"|\(?f?"([a-z0-9_]+)" if .* else "([a-z0-9_]+)")""")
SCRIPT = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def text(page: str) -> str:
    return (REFERENCE / f"{page}.md").read_text(encoding="utf-8")


def missing(names: set[str], page: str) -> list[str]:
    there = text(page)
    return sorted(name for name in names if f"`{name}`" not in there)


def test_every_setting_is_documented() -> None:
    assert missing({field.name for field in msgspec.structs.fields(Settings)}, "settings") == []


def test_every_manifest_field_is_documented() -> None:
    tables = [
        kind
        for kind in vars(shapes).values()
        if isinstance(kind, type) and issubclass(kind, shapes.Table) and kind is not shapes.Table
    ]

    assert missing({field.encode_name for kind in tables for field in msgspec.structs.fields(kind)}, "manifest") == []


def test_every_error_code_is_documented() -> None:
    found = {
        code
        for path in SOURCE.rglob("*.py")
        if "testing" not in path.parts
        for groups in CODE.findall(path.read_text(encoding="utf-8"))
        for code in groups
        if code
    }

    assert missing(found, "errors") == []


def test_every_status_is_documented() -> None:
    there = text("statuses")

    for kind in {kind for kind, _ in status.MOVES}:
        section = there.partition(f"## {kind.__name__.removesuffix('Status').lower()}\n")[2].partition("\n## ")[0]
        assert [member for member in kind if f"| `{member}` |" not in section] == []


def test_every_subject_and_message_is_documented() -> None:
    kinds = {kind.__name__ for kind in messages.Message.__subclasses__()}
    patterns = set(subjects._PATTERNS.values())

    assert missing(kinds | patterns, "subjects") == []


def test_every_role_and_verb_is_documented() -> None:
    there = text("roles")

    assert missing({str(role) for role in Role}, "roles") == []
    assert [verb for verb in ALLOWED if f"| {verb} |" not in there] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(re.sub(r"`[^`\n]+`", "", page.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)

    assert broken == []


def anchors(file: Path) -> set[str]:
    """Return the anchors that headings of a Markdown file make."""
    headings = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def calls(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command line in the page's scripts."""
    for script in SCRIPT.findall(page.read_text(encoding="utf-8")):
        for line in script.replace("\\\n", " ").splitlines():
            if line.startswith(("fairlead ", "make ")):
                yield shlex.split(line, comments=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_the_docs_exist(page: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    wrong = [
        " ".join(words)
        for words in calls(page)
        if (words[1] not in targets if words[0] == "make" else fault(typer.main.get_command(build()), words[1:]))
    ]

    assert wrong == []


def fault(command: Any, words: list[str]) -> str:
    """Return what the command line would say about these words, or nothing; runs nothing."""
    while words and getattr(command, "commands", None):
        if words[0] not in command.commands:
            return f"no verb {words[0]}" if not words[0].startswith("-") else ""
        command, words = command.commands[words[0]], words[1:]
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--json"}
    unknown = [word for word in words if word.startswith("-") and word not in options]
    required = {
        param.name: set(param.opts)
        for param in command.params
        if param.required and param.param_type_name == "option" and words
    }
    lacking = [name for name, names in required.items() if not names & set(words)]
    return f"unknown {unknown}, lacking {lacking}" if unknown or lacking else ""


def test_every_decision_is_linked_from_where_it_holds() -> None:
    said = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.parent.name != "adr")
    assert [page.name for page in (ROOT / "docs" / "adr").glob("*.md") if f"adr/{page.name}" not in said] == []


def test_each_decision_has_its_number_and_who_made_it_when() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for number, page in enumerate(pages, 1):
        said = page.read_text(encoding="utf-8")
        assert said.startswith(f"# ADR {number}: "), page.name
        parts = ("| Date |", "| Status |", "## Context", "## Decision", "## Consequences")
        assert [part for part in parts if part not in said] == [], page.name


def test_the_readme_has_two_make_commands() -> None:
    assert [words for words in calls(ROOT / "README.md") if words[0] == "make"] == [["make", "demo"], ["make", "test"]]


def test_the_core_says_what_the_command_line_needs() -> None:
    without = "import sys; sys.modules['typer'] = None; from fairlead.cli.start import start; start()"

    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 6
    assert "pip install 'fairlead[platform]'" in done.stderr
