"""What every engine holds to: the real one with real processes in the sandbox, and the fake."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from fairlead.engines import Engine, Launch, Observed, zygotes
from fairlead.engines.local import LocalEngine, launch_for
from fairlead.errors import Unavailable
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted
from fairlead.settings import Home
from fairlead.supervisor import strays
from fairlead.testing.engine import HistoryEngine

LIMIT_S = 30
STAND_IN = '''
import os, signal, socket, sys
from fairlead.modelserver import zygote

def serve(fork):
    """Listen as a replica does; drop a line; end by SIGTERM, or as the first byte received says."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(fork.keep)
    listener.listen()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("serving", fork.spec.name, flush=True)
    if fork.spec.env.get("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        order = connection.recv(1)
        if order:
            return order[0]

sys.exit(zygote.main(serve))
'''

DAEMON = """
import os as _os, time as _time
if _os.fork() == 0:
    _os.setsid()
    _os.execve(__import__("sys").executable, ["daemon", "-c", "import time; time.sleep(600)"], {})
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    root = Path(tempfile.mkdtemp(prefix="fl-"))  # socket paths must be short
    root.chmod(0o700)
    made = Home(root)
    yield made
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(made.run, ignore_errors=True)


@pytest.fixture(params=["local", "history"])
async def engine(request: pytest.FixtureRequest, home: Home) -> AsyncIterator[Engine]:
    made: Engine = LocalEngine(home) if request.param == "local" else HistoryEngine()
    await made.open()
    yield made
    await put_away(made)


async def put_away(engine: Engine) -> None:
    for observed in engine.observe():
        await engine.stop(observed.replica, 0)
    for zygote in engine.zygotes():
        await engine.cool(zygote)
    await engine.close()


def version(**env: str) -> VersionWanted:
    return VersionWanted(
        spec=ModelSpec(name="stand-in", version="1", runtime="python", env=env, start_timeout_s=LIMIT_S),
        digest="sha256:0123456789abcdef",
        bundle_key="",
        environment=EnvironmentSpec(),
        gate="g",
    )


def prepare(home: Home, wanted: VersionWanted | None = None, program: str = STAND_IN) -> Launch:
    """Return a launch whose zygote runs ``program`` in place of the model server."""
    bundle = home.bundles / "b"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "stand_in.py").write_text(program, encoding="utf-8")
    for path in (home.bundles, bundle, bundle / "stand_in.py"):
        path.chmod(0o755)
    made = launch_for(wanted or version(), home, bundle=bundle, environment=Path(sys.prefix))
    argv = (sys.executable, "-P", str(bundle / "stand_in.py"))
    return msgspec.structs.replace(made, rules=msgspec.structs.replace(made.rules, argv=argv))


async def until_ended(engine: Engine, replica: str) -> Observed:
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = next(item for item in engine.observe() if item.replica == replica)
            if not found.alive:
                return found
            await engine.changed()


async def order(observed: Observed, code: int) -> None:
    """Have a stand-in end with this exit code."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(observed.keep)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.01)
        writer.write(bytes([code]))
        await writer.drain()
        writer.close()


async def test_a_started_replica_is_observed(engine: Engine, home: Home) -> None:
    launch = prepare(home)

    observed = await engine.start(launch)

    assert (observed,) == engine.observe()
    assert observed.alive
    assert (observed.model, observed.version, observed.digest) == ("stand-in", "1", launch.digest)
    assert list(engine.zygotes()) == [launch.zygote]


async def test_starting_the_same_replica_twice_gives_the_one_there_is(engine: Engine, home: Home) -> None:
    launch = prepare(home)

    assert await engine.start(launch) == await engine.start(launch)


async def test_two_replicas_of_a_version_share_a_zygote(engine: Engine, home: Home) -> None:
    first, second = await engine.start(prepare(home)), await engine.start(prepare(home))

    assert first.pid != second.pid
    assert len(engine.zygotes()) == 1


async def test_opened_once_more_it_goes_on_with_what_it_has(engine: Engine, home: Home) -> None:
    observed = await engine.start(prepare(home))

    assert await engine.open() == (observed,)
    assert list(engine.zygotes()) == [observed.zygote]
    await engine.stop(observed.replica, LIMIT_S)
    (ended,) = engine.observe()
    assert not ended.alive
    second = await engine.start(prepare(home))
    assert second.zygote == observed.zygote


async def test_a_stopped_replica_is_ended_and_stays_observed_until_forgotten(engine: Engine, home: Home) -> None:
    observed = await engine.start(prepare(home))

    await engine.stop(observed.replica, LIMIT_S)

    (ended,) = engine.observe()
    assert not ended.alive
    assert ended.reason
    await engine.forget(observed.replica)
    assert engine.observe() == ()


async def test_forgetting_a_live_replica_changes_nothing(engine: Engine, home: Home) -> None:
    observed = await engine.start(prepare(home))

    await engine.forget(observed.replica)

    assert engine.observe() == (observed,)


async def test_what_is_unknown_may_be_stopped_cooled_and_forgotten(engine: Engine) -> None:
    await engine.stop("nobody-1", 0)
    await engine.cool("nobody")
    await engine.forget("nobody-1")


async def test_replicas_outlive_their_zygote(engine: Engine, home: Home) -> None:
    observed = await engine.start(prepare(home))

    await engine.cool(observed.zygote)

    assert engine.zygotes() == {}
    assert engine.observe() == (observed,)


async def test_a_warm_zygote_runs_without_replicas(engine: Engine, home: Home) -> None:
    launch, pids = prepare(home), list[int]()

    await engine.warm(launch, pids.append)

    assert len(pids) == 1, "its process was told of"
    assert list(engine.zygotes()) == [launch.zygote]
    assert engine.observe() == ()


async def test_a_change_is_noticed(engine: Engine, home: Home) -> None:
    engine.observe()
    waiting = asyncio.create_task(engine.changed())

    await engine.start(prepare(home))

    async with asyncio.timeout(LIMIT_S):
        await waiting


# --- what only real processes can show --------------------------------------------------------------------------------


@pytest.fixture
async def local(home: Home) -> AsyncIterator[LocalEngine]:
    made = LocalEngine(home)
    await made.open()
    yield made
    await put_away(made)


async def test_the_exit_code_of_a_replica_is_told(local: LocalEngine, home: Home) -> None:
    observed = await local.start(prepare(home))

    await order(observed, 7)

    ended = await until_ended(local, observed.replica)
    assert (ended.code, ended.reason) == (7, "exit 7")
    assert "serving stand-in" in Path(observed.log).read_text()


async def test_a_killed_replica_tells_its_signal(local: LocalEngine, home: Home) -> None:
    observed = await local.start(prepare(home))

    os.kill(observed.pid, signal.SIGKILL)

    ended = await until_ended(local, observed.replica)
    assert ended.code == -signal.SIGKILL
    assert "SIGKILL" in ended.reason


async def test_a_stubborn_replica_is_killed_after_its_grace(local: LocalEngine, home: Home) -> None:
    observed = await local.start(prepare(home, version(STUBBORN="1")))
    async with asyncio.timeout(LIMIT_S):
        while "serving" not in (Path(observed.log).read_text() if Path(observed.log).exists() else ""):
            await asyncio.sleep(0.01)

    await local.stop(observed.replica, 0.05)

    assert local.observe()[0].code == -signal.SIGKILL


async def test_a_new_engine_adopts_replicas_and_zygotes_and_hears_their_exit_codes(
    local: LocalEngine, home: Home
) -> None:
    launch = prepare(home)
    observed = await local.start(launch)
    zygotes = local.zygotes()
    await local.close()

    later = LocalEngine(home)
    try:
        assert await later.open() == (observed,)
        assert later.zygotes() == zygotes
        await order(observed, 3)
        assert (await until_ended(later, observed.replica)).code == 3
        assert (await later.start(prepare(home))).alive
        assert later.zygotes() == zygotes
    finally:
        await put_away(later)


async def test_a_replica_that_ended_while_nobody_watched_still_tells_its_code(local: LocalEngine, home: Home) -> None:
    observed = await local.start(prepare(home))
    await local.close()
    await order(observed, 4)
    async with asyncio.timeout(LIMIT_S):
        while Path(f"/proc/{observed.pid}").exists():
            await asyncio.sleep(0.01)

    later = LocalEngine(home)
    try:
        await later.open()
        async with asyncio.timeout(LIMIT_S):
            while (ended := later.observe()[0]).code is None:
                await later.changed()
        assert (ended.alive, ended.code) == (False, 4)
    finally:
        await put_away(later)


async def test_replicas_of_a_killed_zygote_are_watched_on(local: LocalEngine, home: Home) -> None:
    observed = await local.start(prepare(home))
    os.kill(local.zygotes()[observed.zygote], signal.SIGKILL)
    async with asyncio.timeout(LIMIT_S):
        while local.zygotes():
            await asyncio.sleep(0.01)

    another = await local.start(prepare(home))
    os.kill(observed.pid, signal.SIGKILL)

    assert (await until_ended(local, observed.replica)).reason == "ended while nobody watched"
    assert another.alive


async def test_a_zygote_that_cannot_start_says_why(local: LocalEngine, home: Home) -> None:
    with pytest.raises(Unavailable, match="no such luck") as caught:
        await local.start(prepare(home, program="raise SystemExit('no such luck')"))

    assert caught.value.code == "zygote_failed"
    assert local.zygotes() == {}


async def test_an_outdated_zygote_is_replaced_and_its_replicas_stay(local: LocalEngine, home: Home) -> None:
    observed = await local.start(prepare(home))
    before = local.zygotes()

    again = await local.start(prepare(home, version(CHANGED="1")))

    assert local.zygotes() != before
    assert {item.replica for item in local.observe() if item.alive} == {observed.replica, again.replica}


async def test_s62_no_daemon_of_a_bundle_outlives_its_version(local: LocalEngine, home: Home) -> None:
    launch = prepare(home, program=STAND_IN.replace("import os,", DAEMON + "import os,", 1))
    if launch.rules.uid is None:
        pytest.skip("bundles have no user of their own here")
    observed = await local.start(launch)
    async with asyncio.timeout(LIMIT_S):
        while len(strays.find("", uids=(launch.rules.uid,))) < 3:
            await asyncio.sleep(0.01)

    await local.stop(observed.replica, 0)
    await local.cool(observed.zygote)

    assert strays.find("", uids=(launch.rules.uid,)) == ()


async def test_a_missing_preload_is_a_warning(local: LocalEngine, home: Home) -> None:
    wanted = msgspec.structs.replace(version(), preload=("no_such_module", "json"))

    assert (await local.start(prepare(home, wanted))).alive


async def test_a_zygote_that_is_stopped_is_replaced_and_its_replicas_live_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = LocalEngine(home)
    await made.open()
    first = await made.start(prepare(home))
    before = made.zygotes()[first.zygote]
    os.kill(before, signal.SIGSTOP)
    monkeypatch.setattr(zygotes, "FORK_S", 0.5)
    monkeypatch.setattr(zygotes, "COOL_GRACE_S", 0.1)
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(Unavailable, match="stopped, or hangs"):
            await made.start(prepare(home))
    monkeypatch.setattr(zygotes, "FORK_S", LIMIT_S)
    second = await made.start(prepare(home))
    assert made.zygotes()[second.zygote] != before
    assert {observed.replica for observed in made.observe() if observed.alive} == {first.replica, second.replica}
    await put_away(made)
