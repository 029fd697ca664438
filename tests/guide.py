"""What the pages of the guide print, so that tests run it word for word."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
BLOCK = re.compile(r"(?:`([\w-]+/[\w.]+)`[^`]*?\n\n)?```(\w+)\n(.*?)```", re.DOTALL)


class Section:
    """What one section of a page holds: files by path, and scripts in order by language."""

    def __init__(self, page: str, title: str) -> None:
        text = (GUIDE / f"{page}.md").read_text(encoding="utf-8")
        found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
        assert found, f"{page}.md has no section {title!r}"
        self.files: dict[str, str] = {}
        self.scripts: dict[str, list[str]] = {}
        for path, language, block in BLOCK.findall(found[1]):
            if path:
                self.files[path] = block
            else:
                self.scripts.setdefault(language, []).append(block)

    def write(self, folder: Path) -> None:
        for path, text in self.files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
