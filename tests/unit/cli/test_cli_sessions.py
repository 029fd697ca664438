"""Which installation the command line talks to, and as whom."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli import session
from fairlead.cli.welcome import Welcome
from fairlead.engines.local import marker_of
from fairlead.errors import Conflict
from fairlead.identity import keys
from fairlead.keeper import doctor, listening
from fairlead.settings import Home, Settings
from fairlead.supervisor import HomeLock
from fairlead.supervisor.process import Program, start

from .conftest import Door, token

Said = tuple[int, str, str]
ME = {"user": "ada", "roles": ["user"]}


def settings_of(door: Door, home: Path) -> Settings:
    return Settings(home=home, listen=door.url.removeprefix("http://"))


def home_of(door: Door, folder: Path) -> Home:
    """Return a home whose platform listens at ``door``."""
    home = Home(folder)
    home.keeper.mkdir(parents=True)
    listening.keep(home, settings_of(door, folder))
    home.here.write_text("key")
    door.says("POST /api/v1/login/here", {"token": token("admin"), "user": "admin", "roles": ["configurer"]})
    return home


def test_where_a_variables_token_is_refused_the_variable_is_named(
    cli: Callable[..., Said], door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_TOKEN", "fl_old")
    monkeypatch.setenv("FAIRLEAD_URL", door.url)
    door.says("GET /api/v1/me", {"error": {"code": "token_invalid", "message": "no", "hint": "sign in"}}, 401)
    code, _, err = cli("whoami")
    assert code == 4
    assert "FAIRLEAD_TOKEN" in err
    door.says("POST /api/v1/login", {"token": token("ada"), "user": "ada", "roles": ["user"]})
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    assert "unset FAIRLEAD_TOKEN" in cli("login", door.url, "--user", "ada")[2]


def test_an_address_that_speaks_no_http_is_said_to_speak_tls_perhaps() -> None:
    from http.client import BadStatusLine

    from fairlead.cli.api import _unreachable

    assert "https://a:1" in _unreachable("http://a:1", BadStatusLine("\x15\x03")).hint
    assert "https://a:1" in _unreachable("http://a:1", ConnectionResetError()).hint
    assert "fairlead up" in _unreachable("http://a:1", ConnectionRefusedError()).hint


def test_sessions_are_listed_and_one_is_in_use(cli: Callable[..., Said], door: Door, other_door: Door) -> None:
    door.says("GET /api/v1/me", ME)
    other_door.says("GET /api/v1/me", {}, 401)
    session.keep(session.Session(other_door.url, "fl_b", "bob"))
    session.keep(session.Session(door.url, "fl_a", "ada"))

    code, out, _ = cli("sessions", "--json")

    assert code == 0
    assert sorted((i["url"], i["in_use"], i["state"]) for i in json.loads(out)["items"]) == sorted(
        [(door.url, True, "ok"), (other_door.url, False, "signed out")]
    )
    assert cli("use", other_door.url)[1] == f"using {other_door.url} as bob\n"
    assert session.in_use() == other_door.url


def test_one_cannot_use_what_one_is_not_signed_in_to(cli: Callable[..., Said], signed_in: Door) -> None:
    code, _, err = cli("use", "http://nowhere:1")

    assert code == 3
    assert "fairlead login http://nowhere:1" in err
    assert signed_in.url in err


def test_who_one_is_and_where(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("GET /api/v1/me", ME)

    assert cli("whoami") == (0, f"ada (user)  {signed_in.url}\n", "")


def test_signing_out_revokes_the_token_and_forgets_it(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("DELETE /api/v1/tokens/tok-ada", {})

    assert cli("logout") == (0, f"signed out of {signed_in.url}\n", "")
    assert signed_in.calls == ["DELETE /api/v1/tokens/tok-ada"]
    assert session.all_of() == ()
    assert cli("models")[0] == 4


def test_signing_out_of_what_is_away_says_that_nothing_was_revoked(cli: Callable[..., Said]) -> None:
    session.keep(session.Session("http://127.0.0.1:1", token("ada"), "ada"))

    code, _, err = cli("logout")

    assert (code, session.all_of()) == (0, ())
    assert "not revoked" in err


def test_a_new_installation_does_not_take_over_from_one_that_lives(
    door: Door, other_door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session.keep(session.Session(door.url, "fl_a", "ada"))
    door.says("GET /api/v1/me", ME)
    other_door.says("GET /api/v1/me", ME)
    home_of(other_door, tmp_path / "h2")
    welcome = Welcome(settings_of(other_door, tmp_path / "h2"), demo=False)

    welcome._sign_in_first()
    welcome._say_which()

    assert session.in_use() == door.url
    assert session.of(other_door.url).user == "admin"
    assert f"goes on talking to {door.url}; change it with: fairlead use {other_door.url}" in capsys.readouterr().err


def test_a_new_installation_takes_over_from_one_that_is_gone(other_door: Door, tmp_path: Path) -> None:
    session.keep(session.Session("http://127.0.0.1:1", "fl_a", "ada"))
    home_of(other_door, tmp_path / "h2")
    welcome = Welcome(settings_of(other_door, tmp_path / "h2"), demo=False)

    welcome._sign_in_first()
    welcome._say_which()

    assert session.in_use() == other_door.url


def test_status_of_a_home_is_that_of_its_platform(
    cli: Callable[..., Said], signed_in: Door, other_door: Door, tmp_path: Path
) -> None:
    home = home_of(other_door, tmp_path / "h2")
    view = {"state": "ok", "troubles": [], "processes": [], "home": str(home.root)}
    other_door.says("GET /api/v1/status", view)

    code, out, _ = cli("status", "--home", str(home.root))

    assert (code, out.splitlines()[0]) == (0, f"ok  {other_door.url}  {home.root}")
    assert session.in_use() == signed_in.url
    assert len(session.all_of()) == 1


def test_a_home_where_nothing_runs_says_so(cli: Callable[..., Said], tmp_path: Path) -> None:
    code, _, err = cli("status", "--home", str(tmp_path / "none"))

    assert code == 6
    assert f"{tmp_path}/none: nothing is running" in err
    assert f"fairlead up --home {tmp_path}/none" in err


def test_the_owner_of_a_home_replaces_a_lost_password(
    cli: Callable[..., Said], other_door: Door, tmp_path: Path
) -> None:
    home = home_of(other_door, tmp_path / "h2")
    other_door.says("PATCH /api/v1/users/admin", {"name": "admin"})

    code, out, _ = cli("users", "password", "--home", str(home.root))

    call, body = other_door.asked[-1]
    assert (code, call, json.loads(body)["key"]) == (0, "PATCH /api/v1/users/admin", "key")
    assert out == f"admin  password {json.loads(body)['password']}   (shown once)\n"


def test_somebody_elses_password_is_new_and_shown_once(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says("GET /api/v1/me", ME)
    signed_in.says("PATCH /api/v1/users/bob", {"name": "bob"})

    code, out, _ = cli("users", "password", "bob")

    new = json.loads(signed_in.asked[-1][1])["password"]
    assert (code, out) == (0, f"bob  password {new}   (shown once)\n")
    assert len(new) >= 12


def test_ones_own_password_takes_the_old_one(
    cli: Callable[..., Said], signed_in: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in.says("GET /api/v1/me", ME)
    signed_in.says("PATCH /api/v1/users/ada", {"name": "ada"})
    signed_in.says("POST /api/v1/login", {"token": token("new"), "user": "ada", "roles": ["user"]})
    typed = iter(["old one", "new one"])
    monkeypatch.setattr("fairlead.cli.commands.login.read_password", lambda _="": next(typed))

    assert cli("users", "password")[:2] == (0, "ada  password changed\n")
    assert json.loads(signed_in.asked[1][1]) == {"password": "new one", "old_password": "old one"}
    assert session.current().token == token("new")


def test_audit_and_mail_are_verbs(cli: Callable[..., Said], signed_in: Door) -> None:
    did = {"at": "2026-11-20T14:03:00Z", "by": "ada", "kind": "user", "ref": "bob", "said": "added"}
    letter = {
        "id": 3,
        "created_at": "x",
        "status": "kept",
        "to": ["a@b.c"],
        "subject": "s",
        "run": None,
        "reason": None,
    }
    signed_in.says("GET /api/v1/audit?by=ada&limit=100", {"items": [did], "next": None})
    signed_in.says("GET /api/v1/mail", {"items": [letter], "next": None})
    signed_in.says("GET /api/v1/mail/3", letter | {"text": "hello", "attachments": []})

    assert "2026-11-20 14:03:00Z  ada  user  bob  added" in cli("audit", "--by", "ada")[1]
    assert "a@b.c" in cli("mail")[1]
    assert cli("mail", "show", "3")[1].endswith("\n\nhello\n")


def test_the_doctor_of_a_home_names_where_its_platform_listens(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.keeper.mkdir()
    listening.keep(home, Settings(home=tmp_path, listen="127.0.0.1:18080", devices="127.0.0.1:11883"))

    with HomeLock(home.lock):
        found = next(one for one in doctor.examine(Settings(home=tmp_path)) if one.name == "listeners")

    assert found.said == "127.0.0.1:18080 and 127.0.0.1:11883 belong to the running platform"


def test_the_doctor_tells_what_the_platform_says_is_wrong(cli: Callable[..., Said], door: Door, tmp_path: Path) -> None:
    home = home_of(door, tmp_path / "home")
    trouble = "faces misses its objective latency since 2026-11-20T14:03:00Z: alert fast fires; fairlead slo faces"
    door.says("GET /api/v1/status", {"state": "degraded", "troubles": [trouble]})
    assert f"warn platform: {trouble}\n" in cli("doctor", "--home", str(home.root))[1]
    assert json.loads(cli("--json", "doctor", "--home", str(home.root))[1])["troubles"] == [trouble]


async def test_the_doctor_knows_a_platform_whose_keeper_was_killed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.keeper.mkdir()
    listening.keep(home, Settings(home=tmp_path, listen="127.0.0.1:18080", devices="127.0.0.1:11883"))
    envoy = Program(name="envoy", argv=("/bin/sleep", "60"), env=marker_of(home), log=tmp_path / "envoy.log")
    child, _ = start(envoy, home.children)
    try:
        found = {one.name: one for one in await asyncio.to_thread(doctor.examine, Settings(home=tmp_path))}
    finally:
        await child.stop(5)

    assert not found["home"].ok
    assert f"{tmp_path}: the keeper is gone, and envoy of it run on" in found["home"].said
    assert f"fairlead up --home {tmp_path}" in found["home"].hint
    assert "18080 and 127.0.0.1:11883 are held by this platform's own programs" in found["listeners"].said


def test_a_home_in_use_says_how_to_stop_just_that_one(tmp_path: Path) -> None:
    with HomeLock(tmp_path / "lock"), pytest.raises(Conflict) as refused:
        HomeLock(tmp_path / "lock").acquire()

    assert f"fairlead down --home {tmp_path};" in refused.value.hint


def test_make_demo_passes_on_what_the_hint_of_a_taken_port_says() -> None:
    told = (Path(__file__).parents[3] / "Makefile").read_text(encoding="utf-8")

    assert "fairlead up --demo $(ARGS)" in told


def test_roles_are_added_and_removed_beside_those_that_are_there(signed_in: Door, cli: Callable[..., Said]) -> None:
    ada = {"name": "ada", "roles": ["ai_developer", "user"], "disabled": False, "created_at": None}
    signed_in.says("GET /api/v1/users", {"items": [ada], "next": None})
    signed_in.says("PATCH /api/v1/users/ada", ada)

    assert cli("users", "set", "ada", "--add", "configurer", "--remove", "user")[0] == 0
    assert json.loads(signed_in.asked[-1][1]) == {"roles": ["ai_developer", "configurer"]}
    assert cli("users", "set", "ada", "--role", "user")[0] == 0
    assert json.loads(signed_in.asked[-1][1]) == {"roles": ["user"]}
    assert cli("users", "set", "ada")[0] == 2
    assert cli("users", "set", "ada", "--role", "user", "--add", "configurer")[0] == 2


def signed(maker: str, user: str) -> str:
    """Return a token of the shape that the installation ``maker`` signs."""
    head = base64.urlsafe_b64encode(json.dumps({"kid": maker}).encode()).decode().rstrip("=")
    return f"fl_{head}{token(user).removeprefix('fl_e30')}"


def test_another_home_at_the_same_address_takes_no_session_silently(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = signed("first", "ada")
    session.keep(session.Session(door.url, theirs, "ada"))
    door.says("GET /api/v1/me", ME)  # whatever it is asked with
    home = home_of(door, tmp_path / "second")
    ours = signed(keys.load(home.keys).current.kid, "admin")
    door.says("POST /api/v1/login/here", {"token": ours, "user": "admin", "roles": ["configurer"]})

    Welcome(settings_of(door, home.root), demo=False)._sign_in_first()

    assert session.of(door.url).token == ours
    assert f"{door.url} was another installation: your session there is put aside" in capsys.readouterr().err
    assert session.settle(door.url, ["first"]) == session.Session(door.url, ours, "admin")
    assert session.of(door.url) == session.Session(door.url, theirs, "ada")


def test_signing_in_anew_at_the_same_installation_puts_nothing_aside() -> None:
    session.keep(session.Session("http://one", signed("first", "ada"), "ada"))
    assert session.keep(session.Session("http://one", signed("first", "bob"), "bob")) is None
    assert session.settle("http://one", ["first", "older"]) is None
    assert session.of("http://one").user == "bob"


def test_a_password_that_does_not_come_is_no_wrong_one(
    signed_in: Door, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    signed_in.says("GET /api/v1/me", {"user": "ada", "roles": ["user"]})

    code, _, err = cli("users", "password")

    assert code == 5
    assert "no old password came" in err


def test_an_address_that_is_no_url_is_named(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_URL", "nonsense")

    code, _, err = cli("whoami")

    assert code == 5
    assert err.startswith("error: nonsense is no URL")


def test_a_secrets_name_is_refused_as_it_was_written(signed_in: Door, cli: Callable[..., Said]) -> None:
    code, _, err = cli("secrets", "rm", "story", "../x")

    assert code == 5
    assert err.startswith("error: '../x' is no name\n")
    assert "underscores" in err


def test_a_weight_of_nothing_is_refused(signed_in: Door, cli: Callable[..., Said]) -> None:
    code, _, err = cli("models", "alias", "mood", "production=6:0,1:90")

    assert code == 2
    assert "6:0: a version with weight 0 takes no call; leave it out" in err
