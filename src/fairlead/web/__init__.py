"""The built web page as it travels in the package: where its files lie, and whether they are there."""

from __future__ import annotations

from pathlib import Path

DIST = Path(__file__).parent / "dist"
"""What ``make web`` builds from ``web/``; not in the repository."""
BELOW = "/ui"
"""The page's path at the front door; all below it is the page's."""


def is_built(dist: Path = DIST) -> bool:
    """Whether there is a page to serve."""
    return (dist / "index.html").is_file()
