"""The screens of the page, one line each: where it is, what is done there before its picture is taken.

A new screen is one more line in ``SCREENS``; the guide's page names its picture.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page
from stage import PICTURES, Stage
from tests.thread.rig import EXAMPLES

NEXT = "Next"
BROKEN = 'kind = "model"\nname = "weather"\n[run]\nruntime = "python"\nentry = "model:M"\ncolor = "red"\n'


def nothing(page: Page) -> None:
    """Leave the screen as it opens."""


@dataclass(frozen=True)
class Screen:
    """One picture; of the main ones there is also a dark one and one of a phone."""

    name: str
    path: str | Callable[[Stage], str]
    act: Callable[[Page], None] = nothing
    is_main: bool = False
    signed_in: bool = True
    shows_tour: bool = False


def of(kind: str, pattern: str) -> Callable[[Stage], str]:
    """Return a path with an id that nobody chooses: of a run, of what is kept."""
    return lambda stage: pattern.format(stage.known[kind])


def see(text: str) -> Callable[[Page], None]:
    """Wait until ``text`` stands there."""
    return lambda page: page.get_by_text(text).first.wait_for()


def clicked(name: str) -> Callable[[Page], None]:
    """Click a button."""
    return lambda page: page.get_by_role("button", name=name, exact=True).first.click()


def asked(page: Page) -> None:
    """Have the model of flights answer an example."""
    page.get_by_role("button", name="A June evening from Newark").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("region", name="Answer").get_by_role("button", name="Keep").wait_for()


def drawing(page: Page) -> None:
    """Have a picture made, and look while it is on its way."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a red boat on a calm sea")
    page.get_by_role("spinbutton", name=re.compile("^Steps")).fill("50")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("region", name="Answer").get_by_role("img").first.wait_for()


def drawn(page: Page) -> None:
    """Have a picture made, to its end."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a red boat on a calm sea")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("region", name="Answer").get_by_role("button", name="Keep").wait_for()


def kept(page: Page) -> None:
    """Have an answer, and say how it is kept."""
    asked(page)
    page.get_by_role("region", name="Answer").get_by_role("button", name="Keep").click()
    page.get_by_role("dialog").get_by_label("Title").fill("Evening flight to Chicago")


def to_place(page: Page) -> None:
    """Choose the app, then the place."""
    page.get_by_role("radio", name=re.compile("mood-lighting")).check(force=True)
    page.get_by_role("button", name=NEXT).click()
    page.get_by_label("Place", exact=True).select_option("demo/lounge")
    page.get_by_text("Everything that it needs is there.").wait_for()


def to_times(page: Page) -> None:
    """Then the times."""
    to_place(page)
    page.get_by_role("button", name=NEXT).click()
    page.get_by_label("From").fill("17:00")
    page.get_by_label("To", exact=True).fill("19:00")
    page.get_by_role("list", name="Conflicts").wait_for()
    page.locator(".ec-event").first.wait_for(state="attached")


def to_confirm(page: Page) -> None:
    """Then the last step."""
    to_times(page)
    page.get_by_role("button", name=NEXT).click()
    page.get_by_label(re.compile("^Name")).fill("early-evening")


def zipped(files: dict[str, str] | Path) -> dict[str, str | bytes]:
    """Return a zip as somebody drops it: of texts, or of a folder."""
    made = io.BytesIO()
    if isinstance(files, Path):
        found = {str(file.relative_to(files)): file.read_bytes() for file in files.rglob("*") if file.is_file()}
    else:
        found = {name: text.encode() for name, text in files.items()}
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in found.items():
            if "__pycache__" not in name:
                target.writestr(name, content)
    return {"name": "bundle.zip", "mimeType": "application/zip", "buffer": made.getvalue()}


def push(files: dict[str, str] | Path, sign: str) -> Callable[[Page], None]:
    """Drop a zip, and wait for ``sign``."""

    def act(page: Page) -> None:
        page.get_by_label("Choose a zip").set_input_files(zipped(files))  # type: ignore[arg-type]
        page.get_by_text(re.compile(f"^{sign}")).first.wait_for(timeout=180_000)

    return act


def by_hand(page: Page) -> None:
    """Fill in taking a device over, without sending it."""
    form = page.get_by_role("form", name="Take over")
    form.get_by_role("radio", name="On").click(force=True)
    form.get_by_label("Because").fill("it is stuffy")


def why(page: Page) -> None:
    """Open why a device is as it is."""
    page.get_by_role("button", name=re.compile("Why")).first.click()
    page.get_by_role("dialog").wait_for()
    page.wait_for_timeout(1500)


def listed(page: Page) -> None:
    """Choose a file of devices, without registering them."""
    lines = b"id,type,at,title\ndoor-t,temperature,demo/room,By the door\nhall-lamp,lamp,demo/lounge,Hall\n"
    page.get_by_label("CSV file").set_input_files({"name": "devices.csv", "mimeType": "text/csv", "buffer": lines})
    page.get_by_role("button", name="Register 2 devices").wait_for()


def framed(page: Page) -> None:
    """Wait for the app's own page."""
    page.frame_locator("iframe").get_by_role("heading").first.wait_for()


def week(page: Page) -> None:
    """Look at the week that comes."""
    page.get_by_role("button", name="Week after").click()
    page.locator(".ec-event").first.wait_for(state="attached")


MODEL = "/models/plane-delay"
DRAWN = f"/models/{PICTURES}"
HOUSE_PARTS = ("jobs", "objectives", "users", "mail", "audit", "limits")
HOME_RUN, LOUNGE_RUN = "run of smart-home", "run of mood-lighting"
SCREENS = (
    Screen("sign-in", "/models", signed_in=False),
    Screen("tour", "/models", lambda page: page.get_by_role("dialog", name="A short tour").wait_for(), shows_tour=True),
    Screen("models", "/models", is_main=True),
    Screen("models-table", "/models?view=table"),
    Screen("playground", MODEL, asked, is_main=True),
    Screen("keep", MODEL, kept),
    Screen("picture-coming", DRAWN, drawing),
    Screen("picture", DRAWN, drawn),
    Screen("model-card", f"{MODEL}/card", see("authors")),
    Screen("model-versions", f"{MODEL}/versions"),
    Screen("model-replicas", f"{MODEL}/replicas"),
    Screen("model-objective", f"{MODEL}/objective"),
    Screen("model-log", f"{MODEL}/logs"),
    Screen("model-api", f"{MODEL}/api"),
    Screen("push", "/push"),
    Screen("push-refused", "/push", push({"fairlead.toml": BROKEN, "model.py": "x = 1"}, "It was not pushed")),
    Screen("push-ready", "/push", push(EXAMPLES / "smart-classroom", "It is ready")),
    Screen("gallery", "/gallery", is_main=True),
    Screen("gallery-entry", of("entry Boat", "/gallery/{}")),
    Screen("gallery-link", of("entry Boat", "/gallery/{}"), signed_in=False),
    Screen("devices", "/devices", is_main=True),
    Screen("device", "/devices/id/fan-1", by_hand),
    Screen("device-why", "/devices/id/fan-1", why),
    Screen("device-history", "/devices/id/t1/history"),
    Screen("device-commands", "/devices/id/fan-1/commands"),
    Screen("device-settings", "/devices/id/fan-1/settings"),
    Screen("devices-register", "/devices/register"),
    Screen("devices-register-file", "/devices/register?by=file", listed),
    Screen("types", "/devices/types"),
    Screen("type", "/devices/types/air-conditioner"),
    Screen("simulators", "/devices/simulators"),
    Screen("apps", "/apps"),
    Screen("app", "/apps/smart-home"),
    Screen("app-schedules", "/apps/mood-lighting/schedules"),
    Screen("app-runs", "/apps/smart-home/runs"),
    Screen("app-versions", "/apps/smart-home/versions"),
    Screen("app-secrets", "/apps/smart-home/secrets"),
    Screen("app-log", "/apps/smart-home/logs"),
    Screen("schedules", "/schedules"),
    Screen("schedules-week", "/schedules?view=week", week),
    Screen("wizard-app", "/schedules/new"),
    Screen("wizard-place", "/schedules/new", to_place),
    Screen("wizard-times", "/schedules/new", to_times, is_main=True),
    Screen("wizard-confirm", "/schedules/new", to_confirm),
    Screen("schedule", "/schedules/id/evening-lights"),
    Screen("schedule-edit", "/schedules/id/evening-lights/edit"),
    Screen("runs", "/runs"),
    Screen("run", of(LOUNGE_RUN, "/runs/{}"), is_main=True),
    Screen("run-page", of(HOME_RUN, "/runs/{}/page"), framed),
    Screen("run-log", of(LOUNGE_RUN, "/runs/{}/logs")),
    Screen("house", "/house", is_main=True),
    *(Screen(f"house-{part}", f"/house/{part}") for part in HOUSE_PARTS),
    Screen("nothing-here", "/no-such-place"),
)
