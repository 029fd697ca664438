"""The list of attacks is whole: each row has a test that is called after it, so that one that is removed is noticed."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = (
    *("s01", "s02", "s03", "s04", "s07", "s08"),
    *("s10", "s11", "s12", "s13"),
    *("s20", "s21", "s22", "s23", "s24"),
    *("s30", "s31", "s32", "s33"),
    *("s40", "s41", "s42", "s43"),
    *("s50", "s51"),
    *("s60", "s61", "s62", "s63", "s64"),
    *("s70", "s71", "s72", "s73", "s74"),
)
_NAME = re.compile(r"^(?:async )?def test_((?:s\d\d_)+)", re.MULTILINE)


@pytest.fixture(scope="module")
def named() -> set[str]:
    """Return the ids in the names of all tests."""
    files = (path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    return {row for text in files for ids in _NAME.findall(text) for row in ids.rstrip("_").split("_")}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_list_of_attacks_has_a_test(named: set[str], row: str) -> None:
    assert row in named
