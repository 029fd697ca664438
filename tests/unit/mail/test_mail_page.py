"""The HTML of letters: everything escaped, lines and links kept."""

from __future__ import annotations

import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.mail.page import page


class Reader(html.parser.HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


OURS = {"html", "head", "meta", "title", "body", "div", "h1", "p", "br", "pre", "a", "code"}


@given(st.text(max_size=300), st.text(max_size=50))
def test_no_text_brings_tags_or_loads_anything(text: str, subject: str) -> None:
    found = Reader(page(subject, text))
    assert found.tags <= OURS
    assert all(link.startswith(("http://", "https://")) for link in found.links)


def test_links_commands_and_paragraphs_are_made_and_nothing_else() -> None:
    made = page("cool <runs>", "Its page: https://a.example.org/x?a=1&b=2.\n\nLook: fairlead why cool, now\n<script>")
    assert '<a href="https://a.example.org/x?a=1&amp;b=2"' in made
    assert ">fairlead why cool</code>, now<br>" in made
    assert "&lt;script&gt;" in made
    assert "cool &lt;runs&gt;" in made
    assert "<script" not in made


@pytest.mark.parametrize(
    "text", ["Traceback (most recent call last):\n  File x\nValueError", '{"said": "a"}\n{"said": "b"}']
)
def test_lines_of_logs_stand_as_they_were(text: str) -> None:
    found = Reader(page("s", f"It failed.\n\n{text}\n"))
    assert "pre" in found.tags
    assert text in found.text
