"""The example ``text-to-image`` on a whole platform: pushed with a tiny pipeline, a picture made by a job or on the page,
and kept.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from tests.thread.browser import chromium, person, visitor
from tests.thread.rig import EXAMPLES, Platform, platform

from fairlead import Client

WHEELS = [Path(place) for place in os.environ.get("PIP_FIND_LINKS", "").split() if Path(place).is_dir()]
CPU = any(list(place.glob("torch-2.13.0+cpu-*.whl")) for place in WHEELS)
"""Whether PyTorch for processors alone can be had: the other build has 3 GB."""
MISSING = [name for name in ("torch", "diffusers", "transformers") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.long,  # an environment of 1 GB
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not CPU or bool(MISSING), reason="PyTorch for processors or diffusers cannot be had here"),
]
BUILD_S = 900.0
WORK_S = 300.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("pictures") / "text-to-image"
    shutil.copytree(EXAMPLES / "text-to-image", folder, ignore=shutil.ignore_patterns("__pycache__", "pipeline"))
    subprocess.run([sys.executable, "make_tiny.py"], cwd=folder, check=True, capture_output=True, timeout=WORK_S)
    manifest = folder / "fairlead.toml"
    manifest.write_text(manifest.read_text().replace('"torch==2.13.0"', '"torch==2.13.0+cpu"'))
    with platform() as made:
        made.ok("push", str(folder), timeout_s=BUILD_S)
        yield made


def test_a_picture_is_made_by_a_job_with_progress_kept_in_the_gallery_and_opened_by_its_link(
    house: Platform, tmp_path: Path
) -> None:
    with Client(house.url, house.token) as client:
        job = client.model("text-to-image").submit(prompt="a red boat on a calm sea", steps=6, seed=11)
        events = list(job.events())
    progress = [said["progress"] for name, said in events if name == "progress" and said["progress"]]
    pieces = [said["piece"] for name, said in events if name == "partial"]
    assert progress
    assert {one["total"] for one in progress} == {6}
    assert all(one["preview"].startswith("data:image/jpeg;base64,") for one in pieces)
    assert events[-1][0] == "done", events[-1]

    view = house.view("gallery", "keep", job.id, "--visibility", "public")
    assert (view["prompt"], view["seed"], view["content_type"]) == ("a red boat on a calm sea", 11, "image/png")
    assert view["outputs"]["steps"] == 6
    with httpx.Client(base_url=house.url, trust_env=False, timeout=60) as anybody:
        shown = anybody.get(view["links"]["content"])
    assert shown.headers["content-type"] == "image/png"
    assert shown.content.startswith(b"\x89PNG")


def test_the_same_seed_is_the_same_picture_and_what_is_beyond_the_limits_is_refused_at_once(house: Platform) -> None:
    with house.client(timeout_s=WORK_S) as client:
        body = {"prompt": "a red boat", "steps": 2, "seed": 3}
        made = [client.post("/v1/models/text-to-image/predict", json=body, headers={"Accept": "image/*"}) for _ in "ab"]
        assert made[0].content == made[1].content
        assert made[0].headers["content-type"] == "image/png"
        refused = client.post("/v1/models/text-to-image/jobs", json=body | {"steps": 51})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_input")


def test_somebody_makes_it_on_the_page_sees_its_steps_keeps_it_and_opens_its_link_elsewhere(house: Platform) -> None:
    secret = person(house, "zoe")
    with chromium() as browser, visitor(browser, house) as zoe, visitor(browser, house, width=390) as stranger:
        page = zoe.page
        zoe.sign_in("zoe", secret, "/ui/models/text-to-image")
        page.get_by_role("textbox", name="Prompt", exact=True).fill("a red boat on a calm sea")
        for name, value in (("Steps", "50"), ("Width", "512"), ("Height", "512"), ("Seed", "11")):
            page.get_by_role("spinbutton", name=re.compile(f"^{name}")).fill(value)
        expect(page.get_by_role("checkbox", name="Run as a job")).to_be_checked()
        page.get_by_role("button", name="Run", exact=True).click()
        answer = page.get_by_role("region", name="Answer")
        expect(answer.get_by_text(re.compile(r"^\d+ / 50"))).to_be_visible(timeout=WORK_S * 1000)
        on_the_way = answer.get_by_role("img").evaluate("image => image.naturalWidth")
        assert 0 < on_the_way <= 192, on_the_way

        answer.get_by_role("button", name="Keep").click(timeout=WORK_S * 1000)
        assert answer.get_by_role("img").evaluate("image => image.naturalWidth") == 512
        dialog = page.get_by_role("dialog", name="Keep this answer")
        dialog.get_by_label("Title").fill("Boat")
        dialog.get_by_role("radio", name="Public").check()
        dialog.get_by_role("button", name="Keep").click()
        page.get_by_role("link", name="Open it in the gallery").click()
        made = page.get_by_role("region", name="How it was made")
        for fact in ("a red boat on a calm sea", "11", "text-to-image"):
            expect(made.get_by_text(fact).first).to_be_visible()

        stranger.page.goto(page.get_by_label("Permanent link").locator("code").inner_text())
        picture = stranger.page.get_by_role("img", name="“a red boat on a calm sea”, drawn by text-to-image")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == 512
