"""A person in a real browser: Debian's Chromium, driven by Playwright, against a whole platform.

Whoever is shown a page that writes an error into the browser's console has found a fault: a script or a style that the
page's policy refused says so there. Only what a test announces may go wrong.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from tests.thread.rig import Platform

from fairlead import web

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 30_000
_QUIET = ("status of 401", "/slo")
"""What every browser writes of answers that a page asked for: nobody is signed in, nothing is promised of a model."""
expect.set_options(timeout=WAIT_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser with a camera and a microphone that are made up; skips where there is none, or no page."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    if not web.is_built():
        pytest.skip("the web page is not built: make web")
    media = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *media])
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One person with a browser of their own (cookies are nobody else's)."""

    def __init__(self, browser: Browser, house: Platform, *, width: int = 1280, scheme: str = "light") -> None:
        dark = "dark" if scheme == "dark" else "light"
        self._context = browser.new_context(
            base_url=house.url, viewport={"width": width, "height": 900}, color_scheme=dark
        )
        self._context.set_default_timeout(WAIT_MS)
        self.page: Page = self._context.new_page()
        self.faults: list[str] = []
        self.may_fail: tuple[str, ...] = _QUIET
        """Parts of what the console may say."""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def sign_in(self, user: str, password: str, path: str = "/", *, is_new: bool = False) -> None:
        """Open ``path`` as who is not signed in, sign in, and be where one wanted to; ``is_new``: the tour is shown."""
        if not is_new:
            had = f"try {{ localStorage.setItem('fairlead.tour.' + {json.dumps(user)}, 'had') }} catch {{ }}"
            self._context.add_init_script(had)
        self.page.goto(path)
        self.page.get_by_label("Name").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("main").wait_for()

    def sign_out_elsewhere(self, house: Platform) -> None:
        """End the session as another tab would."""
        answer = self._context.request.post("/sign-out", headers={"Origin": house.url}, max_redirects=0)
        assert answer.status == 303, answer.status

    def has_no_barriers(self, where: str) -> None:
        """Fail where axe finds something that a person with a screen reader, or weak eyes, would stumble over."""
        told = self.barriers()
        assert not told, f"{where}: {told}"

    def barriers(self, only: str = "") -> list[str]:
        """Return what axe finds; ``only``: by one rule of its."""
        options = {"resultTypes": ["violations"]} | ({"runOnly": [only]} if only else {})
        found = Axe().run(self.page, options=options).response["violations"]
        return [f"{one['id']} ({one['impact']}): {[node['html'][:160] for node in one['nodes'][:3]]}" for one in found]

    def is_settled(self) -> None:
        """Wait until nothing is loading any more."""
        self.page.locator("h1").first.wait_for()
        expect(self.page.locator("[aria-busy=true], .skeleton")).to_have_count(0)

    def picture(self, file: Path) -> None:
        """Keep what is seen, for people to look at."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)

    def close(self) -> None:
        """Leave; fails where the page wrote errors."""
        self._context.close()
        assert not self.faults, self.faults

    def _heard(self, message: ConsoleMessage) -> None:
        said = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not any(part in said for part in self.may_fail):
            self.faults.append(said)


@contextmanager
def visitor(browser: Browser, house: Platform, *, width: int = 1280, scheme: str = "light") -> Iterator[Visitor]:
    """Yield a person with a browser; on leaving, nothing may have gone wrong in it."""
    made = Visitor(browser, house, width=width, scheme=scheme)
    try:
        yield made
    except BaseException:
        made._context.close()
        raise
    made.close()


def person(house: Platform, name: str, *roles: str) -> str:
    """Add somebody with ``roles`` and return their password."""
    return str(house.view("users", "add", name, *(f"--role={role}" for role in roles or ("user",)))["password"])
