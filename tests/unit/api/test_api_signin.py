"""Signing in and out with a browser, and the way to the pages of apps."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fairlead.accounts import passwords
from fairlead.api.handover import MOST, Handovers, Ticket
from fairlead.api.routers.signin import own_path
from fairlead.clock import from_text
from fairlead.identity.tokens import verify
from fairlead.store.records import Run, User

HERE = "http://127.0.0.1:8080"
OWN = {"origin": HERE}
HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
async def door(world: Any) -> Any:
    """A world where ada has a password."""
    known = passwords.hash_of("right enough")
    await world.house.database.write(lambda s: setattr(s.get_one(User, "ada"), "password_hash", known))
    return world


async def sign_in(door: Any, password: str = "right enough", **more: str) -> httpx.Response:
    sent = {"user": "ada", "password": password, "next": "/", "at": ""} | more
    answer: httpx.Response = await door.by("").post("/sign-in", data=sent, headers=OWN)
    return answer


async def test_who_signs_in_gets_a_cookie_and_comes_back(door: Any) -> None:
    answer = await sign_in(door, next="/v1/models/flowers/docs?a=1&b=%2F")

    assert (answer.status_code, answer.headers["location"]) == (303, "/v1/models/flowers/docs?a=1&b=%2F")
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("fl_session=", "httponly", "samesite=lax", "path=/"))
    assert "secure" not in cookie
    assert "domain" not in cookie
    assert (await door.by("").get("/api/v1/me")).json()["user"] == "ada"
    front = (await door.by("").get("/")).text
    assert "ada (" in front
    assert "Sign out" in front


async def test_the_cookie_stays_on_tls_where_there_is_some(door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-43: and by its name it is the host's own, so a page on a subdomain plants none."""
    monkeypatch.setattr("fairlead.settings.Settings.is_https", property(lambda settings: True))
    sent = {"user": "ada", "password": "right enough", "next": "/", "at": ""}
    own = {"origin": HERE.replace("http:", "https:")}
    told = (await door.by("").post("/sign-in", data=sent, headers=own)).headers["set-cookie"]
    assert told.startswith("__Host-fl_session=")
    assert {"secure", "path=/", "httponly"} <= set(told.lower().split("; "))
    assert "domain" not in told.lower()
    token = told.partition("=")[2].partition(";")[0]
    nobody = door.by("")
    assert (await nobody.get("/api/v1/me", headers={"cookie": f"__Host-fl_session={token}"})).json()["user"] == "ada"
    nobody.cookies.clear()
    door.refused(await nobody.get("/api/v1/me", headers={"cookie": f"fl_session={token}"}), 401, "token_required")


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://night.apps.localhost:8080"])
async def test_another_site_signs_nobody_in_or_out(door: Any, origin: str | None) -> None:
    headers = {"origin": origin} if origin else {}
    for path in ("/sign-in", "/sign-out"):
        answer = await door.by("").post(path, data={"user": "ada", "password": "right enough"}, headers=headers)
        door.refused(answer, 403, "origin_refused")
        assert "set-cookie" not in answer.headers


async def test_a_wrong_password_is_told_on_the_page_and_guesses_are_limited(door: Any) -> None:
    answer = await sign_in(door, "wrong", next="/x")
    assert (answer.status_code, "name or password is wrong" in answer.text) == (401, True)
    assert 'name="user" value="ada"' in answer.text
    assert 'name="next" value="/x"' in answer.text
    assert "wrong" not in answer.text.replace("password is wrong", "").replace('class="wrong"', "").replace(
        ".wrong", ""
    )
    statuses = [(await sign_in(door, "wrong")).status_code for _ in range(12)]
    assert statuses[-1] == 429
    assert (await sign_in(door)).status_code == 429


async def test_who_signs_out_is_out_everywhere(door: Any) -> None:
    await sign_in(door)
    client = door.by("")
    token = client.cookies["fl_session"]
    answer = await client.post("/sign-out", headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert not client.cookies.get("fl_session")
    door.refused(await client.get("/api/v1/me", headers={"cookie": f"fl_session={token}"}), 401, "token_revoked")
    assert (await client.post("/sign-out", headers=OWN)).status_code == 303


async def test_a_person_without_a_session_is_led_to_the_form_and_a_program_is_not(door: Any) -> None:
    client = door.by("")
    answer = await client.get("/v1/models/flowers/docs?a=1", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/v1/models/flowers/docs?a=1")
    form = await client.get(answer.headers["location"], headers=HTML)
    assert (form.status_code, 'value="/v1/models/flowers/docs?a=1"' in form.text) == (200, True)
    assert "frame-ancestors 'none'" in form.headers["content-security-policy"]
    assert form.headers["cache-control"] == "no-store"
    door.refused(await client.get("/api/v1/me"), 401, "token_required")
    await sign_in(door)
    assert (await client.get("/sign-in?next=/docs/api", headers=HTML)).headers["location"] == "/docs/api"


@pytest.mark.parametrize(
    "text",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\r\nset-cookie: x", "/a b", "/\u00e9"],
)
async def test_one_comes_back_to_this_site_only(door: Any, text: str) -> None:
    assert own_path(text) == "/"
    assert (await sign_in(door, next=text)).headers["location"] == "/"


async def test_what_is_typed_is_shown_as_text(door: Any) -> None:
    answer = await sign_in(door, user='"><script>x</script>', at='"><b>', next='/"><b>')
    assert "<script>" not in answer.text
    assert "<b>" not in answer.text


async def page(door: Any) -> None:
    """Have the page of a run, called ``night``."""
    await door.room()
    await door.smart(more="")
    body = {"app": "smart", "at": "lab", "name": "night", "now": True}
    await door.ok(door.by("zoe").post("/api/v1/schedules", json=body))

    async def ready() -> bool:
        found = (await door.by("zoe").get("/api/v1/runs", params={"schedule": "night"})).json()["items"]
        return bool(found and found[0]["status"] == "ready")

    await door.until(ready)
    await door.house.database.write(lambda s: setattr(s.query(Run).one(), "page", True))


async def test_a_session_is_carried_over_to_the_page_of_an_app_once(door: Any) -> None:
    await page(door)
    answer = await sign_in(door, at="night.apps.localhost:8080", next="/plan?a=1")
    where = urlsplit(answer.headers["location"])
    assert (where.netloc, where.path) == ("night.apps.localhost:8080", "/.fairlead/enter")
    assert where.query.endswith("&next=/plan?a=1")

    at_page = {"host": "night.apps.localhost:8080"}
    path = f"{where.path}?{where.query}"
    elsewhere = await door.by("").get(path, headers={"host": "other.apps.localhost:8080"})
    assert elsewhere.status_code == 403
    assert (await door.by("").get(path, headers=at_page)).status_code == 403  # it was good for one use

    again = urlsplit(
        (await door.by("").get("/sign-in?at=night.apps.localhost&next=/", headers=HTML)).headers["location"]
    )
    entered = await door.by("").get(f"{again.path}?{again.query}", headers=at_page)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    told = entered.headers["set-cookie"].partition("=")[2].partition(";")[0]
    claims = verify(told, keys=door.house.keys, now=door.house.clock.now(), audience=None)
    own = verify(door.by("").cookies["fl_session"], keys=door.house.keys, now=door.house.clock.now(), audience=None)
    assert (claims.aud, claims.jti, claims.exp, claims.sub) == ("page:night", own.jti, own.exp, "ada")
    assert len(parse_qs(again.query)["word"][0]) > 30


async def test_a_page_is_opened_in_a_frame_with_a_cookie_that_counts_below_that_site_alone(door: Any) -> None:
    await page(door)
    run = (await door.by("zoe").get("/api/v1/runs")).json()["items"][0]["id"]
    url = (await door.ok(door.by("zoe").post(f"/api/v1/runs/{run}/page")))["url"]
    where = urlsplit(url)
    assert (where.netloc, where.path) == ("night.apps.localhost:8080", "/.fairlead/enter")
    framed = {"host": where.netloc, "sec-fetch-dest": "iframe", "sec-fetch-site": "cross-site"}
    entered = await door.by("").get(f"{where.path}?{where.query}", headers=framed)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower().split("; ")
    assert {"partitioned", "secure", "httponly", "samesite=none"} <= set(cookie)
    claims = verify(cookie_value(entered), keys=door.house.keys, now=door.house.clock.now(), audience=None)
    assert (claims.aud, claims.sub) == ("page:night", "zoe")
    door.refused(await door.by("eve").post("/api/v1/runs/run-none/page"), 404, "run_not_found")


def cookie_value(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].partition("=")[2].partition(";")[0]


@pytest.mark.parametrize("host", ["evil.example", "nowhere.apps.localhost", "x" * 5000, "night.apps.localhost@evil"])
async def test_a_page_that_is_not_there_gets_nobodys_session(door: Any, host: str) -> None:
    answer = await sign_in(door, at=host)
    assert (answer.status_code, "location" in answer.headers) == (404, False)


def test_words_end_with_time_and_are_few() -> None:
    now = 0.0
    words = Handovers(lambda: now)
    ticket = Ticket("night", "x", from_text("2026-11-21T00:00:00Z"))
    first = words.give(ticket)
    for _ in range(MOST):
        last = words.give(ticket)
    assert words.take(first, "night") is None
    assert words.take(last, "night") is ticket
    late = words.give(ticket)
    now = 61.0
    assert words.take(late, "night") is None


async def test_a_form_of_very_many_fields_is_refused(door: Any) -> None:
    headers = {**OWN, "content-type": "application/x-www-form-urlencoded"}
    door.refused(await door.by("").post("/sign-in", content="&" * 200_000, headers=headers), 422, "form_invalid")
    door.refused(await door.by("").get(f"/sign-in?{'&' * 500}next=/"), 422, "form_invalid")
