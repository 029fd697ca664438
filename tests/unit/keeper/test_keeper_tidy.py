"""What a machine has left over: found unused for a day, and gone; nothing that is used."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import environments
from fairlead.engines.launch import zygote_name
from fairlead.environments import toolbox
from fairlead.environments.build import MARKER
from fairlead.keeper import home as homes
from fairlead.keeper.bundles import leftovers
from fairlead.keeper.bundles.leftovers import UNUSED_S, decide
from fairlead.keeper.bundles.prepare import Kept
from fairlead.keeper.bundles.tidy import REPLICA_LOGS, Tidy
from fairlead.messages import AppWanted, EnvironmentSpec, NodeWanted, Prepared
from fairlead.sandbox import uids
from fairlead.settings import Home
from fairlead.supervisor import HomeLock, Record
from fairlead.supervisor.proc import start_time
from fairlead.testing.clock import ManualClock

DAY = UNUSED_S + 1
LIVE, DEAD = "a" * 64, "d" * 64
APP = AppWanted(
    app="smart", version="1", digest=LIVE, bundle_key="k", environment=EnvironmentSpec(), entry="m:a", attempt=0
)
WANTED = NodeWanted(node="local", generation=1, apps=(APP,))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="fl-") as short:  # a longer path would not be taken
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        made = Home(tmp_path / "h")
        made.root.mkdir()
        homes.prepare(made)
        yield made


def test_a_thing_goes_after_a_day_in_which_nothing_named_it() -> None:
    first = decide({"bundles/x"}, (), {}, 0, 0)
    assert (first.doomed, first.since) == ((), {"bundles/x": 0})
    assert decide({"bundles/x"}, (), first.since, DAY, 0).doomed == ("bundles/x",)
    named = decide({"bundles/x"}, {"bundles/x"}, first.since, DAY / 2, 0)
    assert decide({"bundles/x"}, (), named.since, DAY, 0).doomed == ()


def test_logs_of_runs_stay_longer() -> None:
    assert decide({"logs/run-1.log"}, (), {"logs/run-1.log": 0}, DAY, 90 * DAY).doomed == ()
    assert decide({"logs/run-1.log"}, (), {"logs/run-1.log": 0}, 91 * DAY, 90 * DAY).doomed == ("logs/run-1.log",)


names = st.sampled_from(["bundles/a", "environments/b", "scratch/c", "logs/d", "uid e", "logs/run-f.log"])


@given(
    st.lists(st.tuples(st.sets(names), st.sets(names), st.floats(-DAY, 3 * DAY)), max_size=8),
)
def test_nothing_goes_that_was_used_within_a_day(looks: list[tuple[set[str], set[str], float]]) -> None:
    """Whatever is there, is used and however the clock goes: what goes was unused at each look of its last day."""
    since: dict[str, float] = {}
    now, last_used = 0.0, dict[str, float]()
    for there, used, step in looks:
        now += step
        # where the clock goes back more time has passed than it shows
        last_used = {name: min(at, now) for name, at in last_used.items()} | dict.fromkeys(used, now)
        verdict = decide(there, used, since, now, 5 * DAY)
        assert not set(verdict.doomed) & used
        assert set(verdict.since) <= there - used - set(verdict.doomed)
        for name in verdict.doomed:
            assert name not in last_used or now - last_used[name] > UNUSED_S
        since = verdict.since


def fill(home: Home) -> tuple[list[Path], list[Path]]:
    """Return what belongs to the wanted app, and what to nothing any more."""
    key = environments.key(APP.environment)
    live = [home.environments / key, home.bundles / LIVE, home.scratch / zygote_name("smart", LIVE)]
    dead = [home.environments / ("0" * 32), home.bundles / DEAD, home.scratch / "old-dddddddd", home.scratch / "run-9"]
    dead += [home.logs / "old-dddddddd", home.run / "old-dddddddd"]
    live += [home.compiled / LIVE, home.compiled / toolbox.key()]
    dead += [home.compiled / DEAD, home.compiled / "tools-of-an-older-platform"]
    for folder in (*live, *dead):
        folder.mkdir(parents=True)
        (folder / "x").write_text("x")
    (home.keeper / "prepared").mkdir()
    for digest, folder in ((LIVE, live[0]), (DEAD, dead[0])):
        (folder / MARKER).write_text("{}")
        prepared = Prepared(kind="app", name="smart", version="1", digest=digest, step="done", said="", attempt=0)
        file = home.keeper / "prepared" / f"{digest}.json"
        file.write_bytes(msgspec.json.encode(Kept(prepared=prepared, environment=str(folder))))
        (live if digest == LIVE else dead).append(file)
    for name, of in (
        ("envoy.log", live),
        ("old-dddddddd.look.log", dead),
        (f"{zygote_name('smart', LIVE)}.look.log", live),
    ):
        (home.logs / name).write_text("x")
        of.append(home.logs / name)
    return live, dead


async def test_what_nobody_wants_goes_after_a_day_and_the_rest_stays(home: Home) -> None:
    live, dead = fill(home)
    registry = home.keeper / "uids.json"
    for digest in (LIVE, DEAD, "run slot 0"):
        uids.uid_for(digest, registry)
    clock = ManualClock()
    tidy = Tidy(home, clock, lambda: WANTED, 90, temporary=())

    assert await tidy.once() == ()
    assert all(path.exists() for path in (*live, *dead))
    await clock.advance(DAY)
    await Tidy(home, clock, lambda: WANTED, 90, temporary=()).once()  # a keeper that was started anew

    assert [path for path in live if not path.exists()] == []
    assert [path for path in dead if path.exists()] == []
    assert set(uids.names(registry)) == {LIVE, "run slot 0"}
    assert list(home.root.rglob(".*.part")) == []


async def test_what_is_wanted_while_it_is_looked_at_stays(home: Home) -> None:
    _, dead = fill(home)
    clock = ManualClock()
    now = [WANTED]
    answers = iter([WANTED, WANTED, WANTED, msgspec.structs.replace(WANTED, generation=2)])
    tidy = Tidy(home, clock, lambda: next(answers, now[0]), 90, temporary=())
    await tidy.once()
    await clock.advance(DAY)

    await tidy.once()

    assert all(path.exists() for path in dead)


async def test_what_a_killed_keeper_had_hidden_goes(home: Home) -> None:
    hidden = home.bundles / ".x.0123.part"
    hidden.mkdir()
    clock = ManualClock()
    await Tidy(home, clock, lambda: WANTED, 90, temporary=()).once()
    assert hidden.exists()  # somebody may be unpacking it

    await clock.advance(DAY * 20_000)
    await Tidy(home, clock, lambda: WANTED, 90, temporary=()).once()

    assert not hidden.exists()


async def test_of_a_version_the_newest_logs_of_replicas_stay(home: Home) -> None:
    folder = home.logs / zygote_name("smart", LIVE)
    folder.mkdir()
    for number in range(REPLICA_LOGS + 2):
        (folder / f"{number}.log").write_text("x")
        os.utime(folder / f"{number}.log", (number, number))
    (folder / "zygote.log").write_text("x")
    clock = ManualClock()
    tidy = Tidy(home, clock, lambda: WANTED, 90, temporary=())
    await tidy.once()
    await clock.advance(timedelta(days=1, hours=1).total_seconds())
    await tidy.once()

    left = {path.name for path in folder.iterdir()}
    assert left == {"zygote.log", *(f"{number}.log" for number in range(2, REPLICA_LOGS + 2))}


def test_a_user_id_is_not_given_back_while_a_file_of_its_owner_is_there(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    registry, place = tmp_path / "uids.json", tmp_path / "place"
    uid = uids.uid_for("d", registry)
    (place / "deep").mkdir(parents=True)
    file = place / "deep" / "file"
    file.touch()
    os.chown(file, uid, uid)

    assert uids.free({"d"}, registry, [place]) == set()
    assert uids.uid_for("d", registry) == uid
    file.unlink()
    assert uids.free({"d", "never"}, registry, [place]) == {"d", "never"}
    assert uids.names(registry) == ()


def test_where_too_many_files_lie_no_user_id_is_given_back_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry, place = tmp_path / "uids.json", tmp_path / "place"
    uids.uid_for("d", registry)
    place.mkdir()
    (place / "file").touch()
    monkeypatch.setattr(uids, "LOOKED_AT_MAX", 0)

    assert uids.free({"d"}, registry, [place]) == set()
    assert f"more than 0 files lie below {place}" in caplog.text


def test_a_user_id_is_not_given_back_while_a_process_of_its_owner_lives(tmp_path: Path) -> None:
    registry = tmp_path / "uids.json"
    registry.write_bytes(msgspec.json.encode({"d": os.geteuid()}))

    assert uids.free({"d"}, registry, []) == set()


def test_folders_of_sockets_of_the_dead_go_and_those_of_the_living_stay(home: Home) -> None:
    beside = home.run.parent
    folders = {
        name: beside / f"fairlead-0000000{n}"
        for n, name in enumerate(("killed", "used", "alive", "new", "old", "runs"))
    }
    for folder in folders.values():
        (folder / "z").mkdir(parents=True)
    for name in ("killed", "used", "alive", "runs"):
        (beside / name / "children").mkdir(parents=True)
        (folders[name] / homes.OWNER).write_bytes(os.fsencode(beside / name))
    os.utime(folders["old"], (0, 0))
    record = Record(name="app", pid=os.getpid(), start_time=start_time(os.getpid()) or 0, boot_id="", argv0="")
    (beside / "runs" / "children" / "app.json").write_bytes(msgspec.json.encode(record))
    with (
        HomeLock(beside / "used" / "lock"),
        socket.socket(socket.AF_UNIX) as living,
        socket.socket(socket.AF_UNIX) as dead,
    ):
        living.bind(str(folders["alive"] / "z" / "s.sock"))
        living.listen()
        dead.bind(str(folders["killed"] / "z" / "s.sock"))

        gone = homes.remove_dead_run_folders(home)

    assert set(gone) == {folders["killed"], folders["old"]}
    assert sorted(path.name for path in beside.glob("fairlead-*")) == sorted(
        [home.run.name, *(folders[name].name for name in ("used", "alive", "new", "runs"))]
    )


def test_a_folder_of_sockets_that_goes_meanwhile_ends_no_start(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another platform on the machine ends just now."""
    gone = home.run.parent / "fairlead-00000009"
    monkeypatch.setattr(Path, "glob", lambda _, pattern: iter([gone] if pattern.startswith("fairlead-") else []))
    assert homes.remove_dead_run_folders(home) == []

    gone.mkdir()
    (gone / homes.OWNER).write_bytes(os.fsencode(home.root / "another"))

    def ends(root: Path) -> bool:
        (gone / homes.OWNER).unlink()
        gone.rmdir()
        raise FileNotFoundError(gone)

    monkeypatch.setattr(homes, "is_held", ends)
    assert homes.remove_dead_run_folders(home) == []


def test_used_is_what_is_wanted_and_what_lives(home: Home) -> None:
    found = leftovers.used(WANTED, (), {"k"})
    assert {f"bundles/{LIVE}", f"keeper/prepared/{LIVE}.json", leftovers.uid_name(LIVE), "environments/k"} <= found
