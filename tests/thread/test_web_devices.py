"""The web page's devices in a real browser: registered, simulated, taken over by hand, and why it is as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from tests.thread.browser import chromium, person, visitor
from tests.thread.rig import Platform, platform

CSV = b"id,type,at,title\nlab-t,temperature,campus/lab,Door\nlab-fan,fan,campus/lab,\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def house(browser: Browser) -> Iterator[Platform]:
    with platform() as made:
        made.ok("locations", "add", "campus/lab")
        yield made


def test_somebody_registers_devices_simulates_them_and_takes_one_over(browser: Browser, house: Platform) -> None:
    with visitor(browser, house) as eve:
        page = eve.page
        eve.sign_in("eve", person(house, "eve", "configurer"), "/ui/devices/register?by=file")
        page.get_by_label("CSV file").set_input_files({"name": "lab.csv", "mimeType": "text/csv", "buffer": CSV})
        page.get_by_role("button", name="Register 2 devices").click()
        expect(page.get_by_role("cell", name="lab-fan").first).to_be_visible()
        page.get_by_role("button", name="I have kept them").click()
        expect(page.get_by_role("link", name="lab-t")).to_be_visible()
        eve.has_no_barriers("devices")

        page.get_by_role("link", name="Simulators").click()
        page.get_by_role("button", name="Simulate a place").click()
        page.get_by_role("dialog").get_by_label("Place").select_option("campus/lab")
        page.get_by_label("Fault of lab-t").select_option("drift")
        page.get_by_role("button", name="Simulate", exact=True).click()
        expect(page.get_by_text("lab-t drift")).to_be_visible()

        page.get_by_role("link", name="lab-fan").click()
        form = page.get_by_role("form", name="Take over")
        expect(page.get_by_text("online", exact=True)).to_be_visible()
        form.get_by_role("radio", name="On").click(force=True)
        form.get_by_label("Because").fill("it is stuffy")
        form.get_by_role("button", name="Send").click()
        expect(form.get_by_role("status")).to_contain_text("observed")
        held = page.get_by_role("list", name="Held by").filter(has_text="eve")
        eve.has_no_barriers("a device")
        held.get_by_role("button", name=re.compile("Why")).click()
        expect(page.get_by_role("dialog").get_by_text("it is stuffy").first).to_be_visible()
        page.keyboard.press("Escape")
        held.get_by_role("button", name="Let go").click()
        expect(held).to_be_hidden()
