"""The pages for people, and hints that lead to them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from fairlead import web


async def test_the_front_page_says_where_to_go_on(world: Any) -> None:
    answer = await world.by("").get("/")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "fairlead login http" in answer.text
    assert 'href="/docs/api"' in answer.text


async def test_the_front_page_leads_to_the_sign_in_and_runs_no_script(world: Any) -> None:
    answer = await world.by("").get("/")

    assert 'href="/sign-in?next=/"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script" not in answer.text + answer.headers["content-security-policy"]


async def test_the_front_page_says_how_models_are(world: Any) -> None:
    await world.model()
    cookie = f"fl_session={world.token('ada').removeprefix('fl_')}"
    shown = (await world.by("").get("/", headers={"cookie": cookie})).text

    assert '<a href="/v1/models/flowers/docs">flowers</a></td><td><span class="good">ready</span>' in shown


async def test_the_page_of_the_api_has_names_as_code(world: Any) -> None:
    shown = (await world.by("ada").get("/docs/api")).text

    assert "``" not in shown
    assert "202 with <code>pending</code>" in shown


async def test_a_person_gets_a_refusal_as_a_page_and_a_program_as_json(world: Any) -> None:
    ada = world.by("ada")
    page = await ada.get("/v1/models/<b>/docs", headers={"accept": "text/html,*/*;q=0.8"})

    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no such model" in page.text
    assert '<a href="/">' in page.text
    assert "<b>" not in page.text
    assert page.headers["x-request-id"] in page.text
    assert (await ada.get("/v1/models/nope/docs")).json()["error"]["code"] == "no_such_model"


async def test_what_every_refusal_leads_to_is_there(world: Any) -> None:
    nobody = world.by("")
    assert "see /docs/api" in (await nobody.get("/nothing")).json()["error"]["hint"]
    assert (await nobody.get("/docs")).headers["location"] == "/docs/api"

    page = (await nobody.get("/docs/api")).text

    assert "<code>/api/v1/devices/{device}/commands</code>" in page
    assert "takes label*, roles, role, days, user" in page


async def test_a_keeper_that_was_killed_is_told_of_at_once(world: Any) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert ended.stdout is not None
    ended.stdout.read()
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # ended, and not waited for yet
    world.house.home.lock.write_text(f"{ended.pid}\n")

    view = await world.ok(world.by("eve").get("/api/v1/status"))

    assert view["state"] == "degraded"
    assert "the keeper is gone" in view["troubles"][0]
    assert f"fairlead up --home {world.house.home.root}" in view["troubles"][0]
    assert view["home"] == str(world.house.home.root)
    others = await world.ok(world.by("zoe").get("/api/v1/status"))
    assert others["home"] is None
    assert "the keeper is gone" in others["troubles"][0]
    assert str(world.house.home.root) not in str(others), "S-23: where things lie here is for configurers"
    ended.communicate()
    assert "the keeper is gone" in (await world.ok(world.by("eve").get("/api/v1/status")))["troubles"][0]


async def test_the_key_of_the_home_stands_for_a_lost_password(world: Any) -> None:
    eve, key = world.by("eve"), world.house.home.here.read_text()
    change = {"password": "a new long password"}
    world.refused(await eve.patch("/api/v1/users/eve", json=change | {"key": "wrong"}), 401, "sign_in_failed")

    await world.ok(eve.patch("/api/v1/users/eve", json=change | {"key": key}))

    signed = await world.by("").post("/api/v1/login", json={"user": "eve", "password": change["password"]})
    assert signed.status_code == 200


async def test_people_are_led_to_the_web_page_where_it_was_built(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "is_built", lambda: True)
    browser = {"accept": "text/html,application/xhtml+xml"}

    led = await world.by("").get("/", headers=browser)
    assert (led.status_code, led.headers["location"]) == (303, "/ui/")
    assert (await world.by("").get("/")).status_code == 200, "a program gets the plain page"

    monkeypatch.setattr(web, "is_built", lambda: False)
    assert (await world.by("").get("/", headers=browser)).status_code == 200
