"""The web page in a real browser: somebody signs in, tries a model, takes the very call elsewhere, and keeps a picture."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.thread import kit
from tests.thread.browser import chromium, person, visitor
from tests.thread.elsewhere import Bucket, bucket
from tests.thread.rig import Platform, platform

CODE = """
import time
from typing import Annotated, Literal

import fairlead
from fairlead import Field

class M(fairlead.Model):
    def predict(self, city: Literal["Kiel", "Jena"], degrees: Annotated[float, Field(ge=-20, le=40, title="Degrees")],
                note: str = "") -> dict:
        for step in range(3):
            fairlead.progress(step + 1, 3)
        warm = (degrees + 20) / 60
        return {"label": "warm" if warm > 0.5 else "cold", "probability": {"warm": warm, "cold": 1 - warm}, "city": city}
"""
PAINTER = """
import struct
import zlib
from dataclasses import dataclass

import fairlead
from fairlead import Image

def png(side: int, color: bytes) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = part(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    rows = zlib.compress((b"\\0" + color * side) * side)
    return bytes([137]) + b"PNG" + bytes([13, 10, 26, 10]) + head + part(b"IDAT", rows) + part(b"IEND", b"")

@dataclass
class Picture:
    picture: Image
    seed: int

class M(fairlead.Model):
    def predict(self, prompt: str, seed: int = 7) -> Picture:
        for step in range(3):
            fairlead.progress(step + 1, 3, preview=Image(png(8, bytes([80 * step, 120, 90])), media_type="image/png"))
        return Picture(Image(png(32, bytes([200, seed % 256, 60])), media_type="image/png"), seed)
"""
MORE = '[card]\nauthors = ["Ada"]\ntask = "tabular-classification"\nabstract = "Warm or cold."\nlicense = "MIT"\n'
EXAMPLES = '[[examples]]\ntitle = "A warm day in Kiel"\ninput = { city = "Kiel", degrees = 34 }\n'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with bucket(tmp_path_factory.mktemp("files")) as made:
        yield made


@pytest.fixture(scope="module")
def house(browser: Browser, files: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(start=False) as made:
        made.more_env["FAIRLEAD_PAGE_ORIGINS"] = files.url
        made.up()
        made.ok("push", str(kit.model(tmp_path_factory.mktemp("b") / "weather", CODE, MORE, examples=EXAMPLES)))
        yield made


@pytest.fixture(scope="module")
def password(house: Platform) -> str:
    return person(house, "zoe")


def run(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()


def test_somebody_signs_in_tries_a_model_and_takes_the_call_elsewhere(
    browser: Browser, house: Platform, password: str, tmp_path: Path
) -> None:
    with visitor(browser, house) as zoe:
        page = zoe.page
        zoe.sign_in("zoe", password)
        expect(page).to_have_title("Models · Fairlead")
        zoe.has_no_barriers("models")

        page.get_by_role("searchbox").fill("tabular")
        page.get_by_role("link", name="weather").click()
        page.get_by_role("button", name="A warm day in Kiel").click()
        run(page)
        answer = page.get_by_role("region", name="Answer")
        expect(answer.get_by_text("warm").first).to_be_visible()
        expect(answer.get_by_text("90 %")).to_be_visible()
        zoe.has_no_barriers("playground")

        page.get_by_role("radio", name="Jena").check()
        page.get_by_role("spinbutton", name="Degrees").fill("-20")
        page.get_by_role("checkbox", name="Run as a job").check()
        run(page)
        expect(answer.get_by_text("100 %")).to_be_visible()
        expect(answer.get_by_text("Jena")).to_be_visible()

        page.get_by_role("checkbox", name="Run as a job").uncheck()
        shell = page.get_by_label("From a shell").locator("code").inner_text()
        page.get_by_role("button", name="From Python").click()
        program = page.get_by_label("From Python").locator("code").inner_text()
    env = house.env | {"FAIRLEAD_TOKEN": house.token, "PATH": "/usr/bin:/bin"}
    for argv in (["bash", "-c", shell], [sys.executable, "-c", program]):
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert "'cold'" in done.stdout.replace('"', "'"), (argv, done.stdout, done.stderr)


def test_a_session_that_ends_in_mid_form_is_renewed_over_it(browser: Browser, house: Platform, password: str) -> None:
    with visitor(browser, house) as zoe:
        page = zoe.page
        zoe.sign_in("zoe", password, "/ui/models/weather")
        expect(page).to_have_url(re.compile("/ui/models/weather$"))
        page.get_by_role("textbox", name="Note").fill("typed with care")
        zoe.sign_out_elsewhere(house)
        run(page)

        dialog = page.get_by_role("dialog", name="Your session has ended")
        dialog.get_by_label("Password").fill("not that")
        dialog.get_by_role("button", name="Sign in").click()
        expect(dialog.get_by_text("Name or password is wrong.")).to_be_visible()
        dialog.get_by_label("Password").fill(password)
        dialog.get_by_role("button", name="Sign in").click()
        expect(dialog).to_be_hidden()

        expect(page.get_by_role("textbox", name="Note")).to_have_value("typed with care")
        run(page)
        expect(page.get_by_role("region", name="Answer").get_by_text("Kiel")).to_be_visible()


def test_who_is_new_is_led_through_three_steps_once(browser: Browser, house: Platform) -> None:
    secret = person(house, "newt")
    with visitor(browser, house) as newt:
        page = newt.page
        newt.sign_in("newt", secret, is_new=True)
        tour = page.get_by_role("dialog", name="A short tour")
        expect(tour).to_be_focused()
        for _ in range(2):
            tour.get_by_role("button", name="Next").press("Enter")
        expect(tour.get_by_text("Step 3 of 3")).to_be_visible()
        page.get_by_role("searchbox").fill("what lies beside it can be used")
        page.keyboard.press("Escape")
        expect(tour).to_be_hidden()
        page.reload()
        page.get_by_role("button", name="Your account: newt").click()
        expect(tour).to_be_hidden()
        page.get_by_role("menuitem", name="Take the tour").press("Enter")
        expect(tour).to_be_focused()
    with visitor(browser, house, width=390, scheme="dark") as newt:
        newt.sign_in("newt", secret, is_new=True)
        newt.page.get_by_role("button", name="Next").click()
        newt.has_no_barriers("the tour, dark on a phone")
        assert newt.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_part_of_a_model_is_there_dark_on_a_phone_and_by_keyboard(
    browser: Browser, house: Platform, password: str
) -> None:
    with visitor(browser, house, width=390, scheme="dark") as zoe:
        page = zoe.page
        zoe.sign_in("zoe", password, "/ui/models/weather")
        for part, sign in (
            ("Card", "Warm or cold."),
            ("Versions", "production"),
            ("Replicas", "How many, and why"),
            ("Objective", "Nothing is promised of this model"),
            ("API", "one of Kiel, Jena"),
        ):
            page.get_by_role("link", name=part, exact=True).click()
            expect(page.get_by_text(sign).first).to_be_visible()
            zoe.has_no_barriers(part)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

        page.goto("/ui/models")
        page.get_by_role("link", name="weather").wait_for()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.get_by_role("link", name="weather").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="weather", level=1)).to_be_visible()


def test_a_picture_is_kept_shown_to_all_by_its_link_and_taken_down(
    browser: Browser, house: Platform, password: str, tmp_path: Path
) -> None:
    house.ok("push", str(kit.model(tmp_path / "painter", PAINTER, '[card]\ntask = "text-to-image"\n')))
    with visitor(browser, house) as zoe, visitor(browser, house, width=390, scheme="dark") as stranger:
        page = zoe.page
        zoe.sign_in("zoe", password, "/ui/models/painter")
        page.get_by_role("textbox", name="Prompt").fill("a red boat")
        expect(page.get_by_role("checkbox", name="Run as a job")).to_be_checked()
        run(page)
        page.get_by_role("button", name="Keep").click()
        dialog = page.get_by_role("dialog", name="Keep this answer")
        dialog.get_by_label("Title").fill("Boat")
        zoe.has_no_barriers("keeping")
        dialog.get_by_role("button", name="Keep").click()
        page.get_by_role("link", name="Open it in the gallery").click()
        expect(page.get_by_role("heading", name="Boat", level=1)).to_be_visible()
        expect(page.get_by_role("region", name="How it was made").get_by_text("a red boat")).to_be_visible()
        zoe.has_no_barriers("what is kept")
        link = page.get_by_label("Permanent link").locator("code").inner_text()

        stranger.page.goto(link)
        expect(stranger.page.get_by_text("This is not public")).to_be_visible()
        stranger.has_no_barriers("what is not public")
        page.get_by_role("button", name="Change").click()
        page.get_by_role("radio", name="Public").check()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Anybody can open it")).to_be_visible()
        stranger.page.reload()
        picture = stranger.page.get_by_role("img", name="“a red boat”, drawn by painter")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == 32
        assert stranger.page.evaluate("document.documentElement.scrollWidth") <= 390
        stranger.has_no_barriers("a public picture, dark on a phone")

        page.get_by_role("link", name="Gallery").first.click()
        page.get_by_label("Model").select_option("painter")
        expect(page.get_by_role("img", name="“a red boat”, drawn by painter")).to_be_visible()
        zoe.has_no_barriers("gallery")
        page.get_by_role("link", name="Boat").press("Enter")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_text("Nothing is kept yet")).to_be_visible()
        zoe.has_no_barriers("an empty gallery")
        stranger.page.reload()
        expect(stranger.page.get_by_text("This is not public")).to_be_visible()


def test_the_same_files_in_a_bucket_sign_in_to_a_platform_elsewhere(
    browser: Browser, house: Platform, files: Bucket, password: str
) -> None:
    files.point_at(house.url)
    with visitor(browser, house) as zoe:
        page = zoe.page
        zoe.sign_in("zoe", password, f"{files.url}/ui/")
        page.get_by_role("link", name="weather").click()
        page.get_by_role("button", name="A warm day in Kiel").click()
        page.get_by_role("checkbox", name="Run as a job").check()  # its steps come by a stream
        run(page)
        answer = page.get_by_role("region", name="Answer")
        expect(answer.get_by_text("90 %")).to_be_visible()
        assert page.url.startswith(files.url)
        assert not page.context.cookies(), "a page of another origin leaves no cookie"
        assert sorted(page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))")) == [
            "fairlead.theme",
            "fairlead.tour.zoe",
        ]

        page.reload()  # the token is gone with the page
        page.get_by_label("Password").wait_for()
        zoe.has_no_barriers("signing in elsewhere")


def test_an_origin_that_is_not_named_reads_nothing(house: Platform, files: Bucket) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    with house.client(token="") as client:
        for path in (
            "/v1/models/weather/predict",
            "/api/v1/login",
            "/v2/models/weather/infer",
        ):
            named = client.options(path, headers=asks | {"origin": files.url})
            assert named.headers.get("access-control-allow-origin") == files.url, (path, named.status_code)
            assert "authorization" in named.headers["access-control-allow-headers"]
            assert "access-control-allow-credentials" not in named.headers
            other = client.options(path, headers=asks | {"origin": "http://127.0.0.1:1"})
            assert not [name for name in other.headers if name.startswith("access-control")], path
        refused = client.get("/api/v1/models", headers={"origin": files.url})
        assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (401, files.url)


def test_the_page_swallows_nothing_that_is_not_its_own(house: Platform) -> None:
    with house.client(token="") as client:
        assert client.get("/ui/models/anything").headers["content-type"].startswith("text/html")
        assert client.get("/ui/assets/none.js").status_code == 404
        for path in ("/api/v1/none", "/v1/none", "/v2/none", "/none"):
            answer = client.get(path)
            assert answer.status_code in (401, 404), (path, answer.status_code)
            assert answer.headers["content-type"] == "application/json", path
