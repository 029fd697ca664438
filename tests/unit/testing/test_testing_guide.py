"""The guide's page of tests of apps, word for word."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.guide import Section


def test_the_test_of_the_guide_passes(tmp_path: Path) -> None:
    section = Section("testing-apps", "A test")
    section.write(tmp_path)
    spec = importlib.util.spec_from_file_location("guide_test_bell", tmp_path / "bell" / "test_bell.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_a_visit()
