"""The web page in a real browser: devices, what is pushed by its zip, what runs and when.

Devices are registered, simulated, taken over by hand, and say why they are as they are. Models and apps come by a zip.
Apps are scheduled by the wizard, paused, changed, run at once, and seen in their week.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, expect
from tests.thread import kit
from tests.thread.browser import chromium, person, visitor
from tests.thread.rig import CHECKOUT, Platform, platform

MODEL = """
import fairlead

class M(fairlead.Model):
    def predict(self, degrees: float = 20) -> dict:
        return {"label": "warm" if degrees > 15 else "cold"}
"""
OF_MODEL = 'kind = "model"\nname = "weather"\n[run]\nruntime = "python"\nentry = "model:M"\n'
APP = """
import fairlead

async def site(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<!doctype html><title>Hall</title><p>The hall is open</p>"})

app = fairlead.App(web=site)

@app.start
async def begin():
    print("<script>document.title = 'ours'</script>", flush=True)
"""
OF_APP = 'kind = "app"\nname = "hall"\nsummary = "<b>A hall</b>"\n[run]\nentry = "app:app"\nweb = "/"\n'
pytestmark = pytest.mark.timeout(600)
CSV = b"id,type,at,title\nlab-t,temperature,campus/lab,Door\nlab-fan,fan,campus/lab,\n"
LIGHT = """
import fairlead

app = fairlead.App()
lamp = app.device("lamp")


@app.start
async def shine() -> None:
    await lamp.send(on=True)
"""
OF_LIGHT = """
kind = "app"
name = "night-light"
summary = "A lamp is on."
[run]
entry = "app:app"
[devices]
lamp = { type = "lamp@1" }
[params]
level = { type = "integer", default = 5, minimum = 1, maximum = 9, title = "Level" }
"""
_TODAY = datetime.now(UTC).date()
MONDAY = (_TODAY + timedelta(days=14 - _TODAY.weekday())).isoformat()
"""When the schedules here begin: no window of theirs is open while this runs, whatever the hour."""


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


def test_somebody_runs_the_house_adds_a_person_and_makes_a_token(browser: Browser, house: Platform) -> None:
    with visitor(browser, house) as kim:
        page = kim.page
        kim.sign_in("kim", person(house, "kim", "configurer"), "/ui/house")
        expect(page.get_by_role("region", name="Programs of the platform")).to_contain_text("control")
        expect(page.get_by_role("meter", name="Memory of local")).to_be_visible()
        kim.has_no_barriers("the house")

        page.get_by_role("link", name="People").click()
        page.get_by_role("button", name="Add a person").click()
        page.get_by_label("Name", exact=True).fill("noa")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("dialog", name="Password of noa")).to_be_visible()
        page.get_by_role("button", name="I have kept it").click()
        page.get_by_role("link", name="noa").click()
        page.get_by_role("button", name="Make a token").click()
        page.get_by_label("What for").fill("ci")
        page.get_by_role("button", name="Make it").click()
        token = page.get_by_role("region", name="Token ci").inner_text()
        page.get_by_role("button", name="I have kept it").click()
        with house.client(token) as client:
            assert client.get("/api/v1/me").json()["user"] == "noa"
            kim.has_no_barriers("a person")
            page.get_by_role("button", name="Revoke ci").click()
            page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
            expect(page.get_by_text("ci is revoked")).to_be_visible()
            assert client.get("/api/v1/me").status_code == 401
        page.goto("/ui/house/audit?by=kim")
        expect(page.get_by_role("row").filter(has_text="given to noa: ci")).to_be_visible()


def zipped(name: str, files: Mapping[str, str]) -> FilePayload:
    """Return a zip as somebody drops it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for path, text in files.items():
            target.writestr(path, text)
    return {"name": name, "mimeType": "application/zip", "buffer": made.getvalue()}


def test_somebody_pushes_a_model_by_its_zip_mends_what_is_wrong_and_calls_it(browser: Browser, house: Platform) -> None:
    with visitor(browser, house) as ada:
        page = ada.page
        ada.may_fail += ("/api/v1/bundles",)
        ada.sign_in("ada", person(house, "ada", "ai_developer"), "/ui/push")
        ada.has_no_barriers("push")
        choose = page.get_by_label("Choose a zip")
        choose.set_input_files(zipped("w.zip", {"fairlead.toml": OF_MODEL + 'color = "red"\n', "model.py": "x = 1"}))
        told = page.get_by_role("alert")
        expect(told.get_by_text("run.color")).to_be_visible()
        expect(told.get_by_text("run.entry")).to_be_visible()
        ada.has_no_barriers("a push that is refused")

        # packed from outside, as file managers do
        choose.set_input_files(
            zipped("w.zip", {"w/fairlead.toml": OF_MODEL, "w/model.py": MODEL, "__MACOSX/w/._m": ""})
        )
        expect(page.get_by_role("log", name="Steps")).to_be_visible()
        page.get_by_role("link", name="Try it").click()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_role("region", name="Answer").get_by_text("warm").first).to_be_visible()


def test_somebody_pushes_an_app_watches_it_run_in_its_frame_and_stops_it(browser: Browser, house: Platform) -> None:
    with visitor(browser, house) as bob:
        page = bob.page
        bob.sign_in("bob", person(house, "bob", "app_developer"), "/ui/push")
        page.get_by_label("Choose a zip").set_input_files(zipped("hall.zip", {"fairlead.toml": OF_APP, "app.py": APP}))
        page.get_by_role("link", name="Open it").click()
        expect(page.get_by_text("<b>A hall</b>")).to_be_visible()
        bob.has_no_barriers("an app")
        body = {"app": "hall", "at": "campus/lab", "name": "hall", "now": True}
        answer = page.request.post("/api/v1/schedules", data=body, headers={"Origin": house.url})
        assert answer.ok, answer.text()

        page.get_by_role("link", name="Runs").first.click()
        page.get_by_role("link", name="hall@1 of hall").click()
        expect(page.get_by_text("running", exact=True).first).to_be_visible()
        expect(page.get_by_role("list", name="What led to it, latest last")).to_be_visible()
        bob.has_no_barriers("a run")
        page.get_by_role("link", name="Page", exact=True).click()
        framed = page.frame_locator("iframe[title='Page of hall']")
        expect(framed.get_by_text("The hall is open")).to_be_visible()
        page.get_by_role("link", name="Log", exact=True).click()
        expect(page.get_by_text("<script>document.title = 'ours'</script>")).to_be_visible()
        bob.has_no_barriers("a run's log")

        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
        expect(page.get_by_text("canceled", exact=True)).to_be_visible()
        page.get_by_role("link", name="Runs", exact=True).first.click()
        expect(page.get_by_role("cell", name="canceled")).to_be_visible()
        bob.has_no_barriers("runs")


@pytest.fixture
def night_light(house: Platform, tmp_path: Path) -> None:
    """Have an app that wants a lamp, a place with one and a place without, and somebody else's schedule of it."""
    bundle = kit.write(tmp_path / "night-light", {"fairlead.toml": OF_LIGHT, "app.py": LIGHT})
    for place in ("campus/den", "campus/attic"):
        house.ok("locations", "add", place, "--zone", "Europe/Berlin")
    house.ok("devices", "add", "lamp-1", "--type", "lamp", "--at", "campus/den")
    house.ok("simulate", "campus/den")
    house.ok("push", str(bundle))
    early = ("--name", "early", "--from", "05:00", "--to", "06:00", "--start", MONDAY)
    house.ok("schedules", "add", "night-light", "--at", "campus/den", *early)


@pytest.mark.usefixtures("night_light")
def test_somebody_schedules_an_app_and_has_it_run_pause_and_end(browser: Browser, house: Platform) -> None:
    with visitor(browser, house) as zoe:
        page = zoe.page
        zoe.sign_in("zoe", person(house, "zoe", "user"), "/ui/schedules/new")
        page.get_by_role("radio", name=re.compile("night-light")).check(force=True)
        zoe.has_no_barriers("which app")
        page.get_by_role("button", name="Next").click()
        page.get_by_label("Place", exact=True).select_option("campus/attic")
        expect(page.get_by_text("lamp needs 1 lamp@1 at campus/attic; there is none")).to_be_visible()
        page.get_by_label("Place", exact=True).select_option("campus/den")
        expect(page.get_by_text("Everything that it needs is there.")).to_be_visible()
        zoe.has_no_barriers("where")
        page.get_by_role("button", name="Next").click()

        page.get_by_label("From").fill("05:30")
        page.get_by_label("To", exact=True).fill("05:29")
        expect(page.get_by_text("ends the next day")).to_be_visible()
        page.get_by_text("First day, last day, days off").click()
        page.get_by_label("First day").fill(MONDAY)
        expect(page.get_by_role("list", name="Conflicts")).to_contain_text("early (lamp-1)")
        expect(page.get_by_role("article", name=re.compile("wants the same devices: early")).first).to_be_visible()
        zoe.has_no_barriers("when")
        page.get_by_role("button", name="Next").click()
        page.get_by_label(re.compile("^Name")).fill("evening")
        page.get_by_label(re.compile("^Mail when it is up")).fill("zoe@example.org")
        page.get_by_label(re.compile("^Level")).fill("7")
        zoe.has_no_barriers("confirm")
        page.get_by_role("button", name="Schedule it").click()
        expect(page.get_by_role("heading", name="evening")).to_be_visible()
        expect(page.get_by_role("region", name="Settings")).to_contain_text("level = 7")
        zoe.has_no_barriers("a schedule")

        page.get_by_role("button", name="Pause").click()
        page.get_by_role("dialog").get_by_label(re.compile("^Note")).fill("Holidays")
        page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        expect(page.get_by_text("Paused: Holidays")).to_be_visible()
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("To", exact=True).fill("23:00")
        zoe.has_no_barriers("edit")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Mon–Fri 05:30–23:00").first).to_be_visible()
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_text("evening goes on")).to_be_visible()

        page.get_by_role("button", name="Run now").click()
        page.get_by_role("dialog").get_by_role("button", name="Run now").click()
        said = page.get_by_text(re.compile("night-light-1 starts now"))
        expect(said).to_be_visible()
        page.goto("/ui/schedules/id/night-light-1")
        expect(page.get_by_role("region", name="Runs").get_by_text("running", exact=True)).to_be_visible()
        page.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()

        expect(page.get_by_role("link", name="evening")).to_be_visible()
        expect(page.get_by_role("link", name="night-light-1")).to_have_count(0)
        zoe.has_no_barriers("schedules")
        page.get_by_role("link", name="Week", exact=True).click()
        page.get_by_role("button", name="Week after").click()
        page.get_by_role("button", name="Week after").click()
        expect(page.get_by_role("table").get_by_role("link", name="evening").first).to_be_visible()
        page.locator(".ec-event").filter(has_text="evening").first.click()
        expect(page.get_by_role("heading", name="evening")).to_be_visible()
        page.go_back()
        zoe.has_no_barriers("the week")


ROUTES = re.compile(r"path: '(/[^']*)'")
SCREENS = {
    "/models": ("/models", "/models?view=table"),
    "/models/:name/:tab?": tuple(
        f"/models/weather/{tab}" for tab in ("", "card", "versions", "replicas", "objective", "logs", "api")
    ),
    "/push": ("/push",),
    "/gallery": ("/gallery",),
    "/gallery/:id": ("/gallery/none",),
    "/devices": ("/devices",),
    "/devices/register": ("/devices/register", "/devices/register?by=file"),
    "/devices/types": ("/devices/types",),
    "/devices/types/:name": ("/devices/types/air-conditioner",),
    "/devices/simulators": ("/devices/simulators",),
    "/devices/id/:id/:tab?": tuple(f"/devices/id/lamp-1/{tab}" for tab in ("", "history", "commands", "settings")),
    "/apps": ("/apps",),
    "/apps/:name/:tab?": tuple(
        f"/apps/night-light/{tab}" for tab in ("", "schedules", "runs", "versions", "secrets", "logs")
    ),
    "/runs": ("/runs",),
    "/runs/:id/:tab?": ("/runs/RUN", "/runs/RUN/page", "/runs/RUN/logs"),
    "/schedules": ("/schedules", "/schedules?view=week"),
    "/schedules/new": ("/schedules/new", "/schedules/new?app=night-light&step=place"),
    "/schedules/id/:name": ("/schedules/id/early",),
    "/schedules/id/:name/edit": ("/schedules/id/early/edit",),
    "/house/:tab?": tuple(f"/house/{tab}" for tab in ("", "jobs", "objectives", "users", "mail", "audit", "limits")),
    "/house/jobs/:id": ("/house/jobs/JOB",),
    "/house/users/:name": ("/house/users/may",),
}
"""Every address of the page's rooms, and where it is looked at: a room that is added says here where."""


def test_every_address_of_the_page_is_among_the_screens_that_are_looked_at() -> None:
    rooms = (CHECKOUT / "web" / "src" / "rooms").glob("*/room.ts")
    assert {path for room in rooms for path in ROUTES.findall(room.read_text())} == set(SCREENS)


@pytest.mark.long  # forty screens, each twice
@pytest.mark.usefixtures("night_light")
def test_every_screen_is_without_barriers_light_and_dark(browser: Browser, house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.write(tmp_path / "weather", {"fairlead.toml": OF_MODEL, "model.py": MODEL})))
    house.ok("apps", "run", "night-light", "--at", "campus/den", "--for", "10m")
    run = house.get("/runs")["items"][0]["id"]
    job = house.ok("jobs", "submit", "weather", "--set", "degrees=20")
    told = {}
    with visitor(browser, house) as may:
        may.may_fail += ("/none",)
        may.sign_in("may", person(house, "may", "user", "ai_developer", "app_developer", "configurer"))
        for path in [one for found in SCREENS.values() for one in found]:
            may.page.goto(f"/ui{path.replace('RUN', run).replace('JOB', job)}")
            may.is_settled()
            found = may.barriers()
            may.page.emulate_media(color_scheme="dark")
            found += may.barriers(only="color-contrast")
            may.page.emulate_media(color_scheme="light")
            if found:
                told[path] = found
    assert not told, told
