"""Takes the pictures of the guide: every screen of the page, of a platform that runs, in ``docs/guide/pictures``.

    python scripts/pictures [--keep FOLDER] [NAME…]

A demo is started in a home of its own, what the screens show is brought in, and Chromium goes through ``SCREENS``. With
``--keep`` the home stays for the next time, and with names only those pictures are taken. Needs Debian's Chromium, and
for the picture made of words PyTorch for processors (see ``stage.py``).
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
from screens import SCREENS, Screen  # noqa: E402 - beside this file
from stage import Stage, demo  # noqa: E402
from tests.thread.browser import chromium  # noqa: E402 - beside this folder

OUT = ROOT / "docs" / "guide" / "pictures"
WIDE, PHONE = (1280, 800), (390, 844)
FILE_MAX_B = 60_000
COLORS = (256, 128, 64, 32)
"""Tried in this order until a picture is small enough."""
LOOKS = {"": (WIDE, "light"), "-dark": (WIDE, "dark"), "-phone": (PHONE, "light")}


def main() -> int:
    """Take the pictures that are asked for; return how many could not be taken."""
    parser = argparse.ArgumentParser(description="takes the pictures of the guide")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the home of the demo")
    parser.add_argument("names", nargs="*", help="only these")
    asked = parser.parse_args()
    chosen = [screen for screen in SCREENS if not asked.names or screen.name in asked.names]
    OUT.mkdir(parents=True, exist_ok=True)
    failed = 0
    with folder(asked.keep) as place, demo(place) as stage, chromium() as browser:
        for screen in chosen:
            for look in LOOKS if screen.is_main else ("",):
                try:
                    print(f"  {take(browser, stage, screen, look)}", flush=True)
                except (PlaywrightError, AssertionError, KeyError) as error:
                    failed += 1
                    print(f"  {screen.name}{look} could not be taken: {str(error)[:600]}", file=sys.stderr, flush=True)
    files = list(OUT.glob("*.png"))
    print(f"{len(files)} pictures, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {OUT}")
    return failed


@contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    """Yield where the home lies."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="fl-") as made:  # short: sockets must fit into 107 bytes
        yield Path(made)


def take(browser: Browser, stage: Stage, screen: Screen, look: str) -> str:
    """Take one picture; return what to say of it."""
    (width, height), scheme = LOOKS[look]
    dark = "dark" if scheme == "dark" else "light"
    context = browser.new_context(
        base_url=stage.url,
        viewport={"width": width, "height": height},
        color_scheme=dark,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="Europe/Berlin",
        storage_state=stage.signed_in(browser) if screen.signed_in else None,
    )
    context.set_default_timeout(20_000)
    act = (
        f"removeItem('fairlead.tour.{stage.who}')"
        if screen.shows_tour
        else f"setItem('fairlead.tour.{stage.who}', 'had')"
    )
    context.add_init_script(f"try {{ localStorage.{act} }} catch {{}}")
    try:
        page = context.new_page()
        page.goto(f"/ui{screen.path(stage) if callable(screen.path) else screen.path}")
        page.locator("h1, h2").first.wait_for()
        screen.act(page)
        settle(page)
        if width >= WIDE[0]:
            page.evaluate("scrollTo(0, 0)")
        taken = page.screenshot(animations="disabled", caret="hide")
    finally:
        context.close()
    file = OUT / f"{screen.name}{look}.png"
    return f"{file.name} {kept_small(taken, file) / 1000:.0f} kB"


def settle(page: Page) -> None:
    """Wait until nothing is loading, and toasts that have been said are read."""
    page.wait_for_timeout(700)
    expect(page.locator(".skeleton")).to_have_count(0)


def kept_small(taken: bytes, file: Path) -> int:
    """Write the picture in as many colors as fit; return its size."""
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    made = io.BytesIO()
    for count in COLORS:
        made = io.BytesIO()
        image.quantize(count, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
        if made.tell() <= FILE_MAX_B:
            break
    file.write_bytes(made.getvalue())
    return made.tell()


if __name__ == "__main__":
    sys.exit(main())
