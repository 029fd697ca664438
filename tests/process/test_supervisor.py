"""Children that are real processes: started, recorded, adopted, stopped, swept."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from fairlead.errors import Conflict, Unavailable
from fairlead.supervisor import (
    Child,
    Exit,
    HomeLock,
    Program,
    Record,
    adopt,
    adopt_all,
    forget,
    logfile,
    proc,
    read_records,
    start,
    strays,
)
from fairlead.supervisor.lock import holder_of, is_held

LIMIT_S = 30
SLEEP = "import time; print('up', flush=True); time.sleep(600)"
POLITE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print("up", flush=True)
while True:
    signal.pause()
"""
STUBBORN_PAIR = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
print("up", flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""
DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    time.sleep(600)
"""
HOLDER = """
import pathlib, sys
from fairlead.supervisor import HomeLock
HomeLock(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., tuple[Child, Record]]]:
    """Start Python code as a child; whatever is left of it is killed at the end."""
    started: list[int] = []

    def _begin(code: str, name: str = "child", **env: str) -> tuple[Child, Record]:
        program = Program(name=name, argv=(sys.executable, "-c", code), env=env, log=tmp_path / "logs" / f"{name}.log")
        child, record = start(program, tmp_path / "children", labels={"kind": "trial"})
        started.append(child.pid)
        return child, record

    yield _begin
    for pid in started:
        for member in proc.session_members(pid):
            os.kill(member, signal.SIGKILL)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def until_up(record: Record, word: str = "up") -> None:
    await until(lambda: word in "".join(logfile.tail(Path(record.log))))


Begin = Callable[..., tuple[Child, Record]]


async def test_a_child_tells_its_exit_code(begin: Begin) -> None:
    child, _ = begin("raise SystemExit(3)")

    assert await asyncio.wait_for(child.wait(), LIMIT_S) == Exit(3, "exit 3")
    assert child.exit == Exit(3, "exit 3")


async def test_a_child_has_a_session_a_log_and_a_record(begin: Begin, tmp_path: Path) -> None:
    child, record = begin(SLEEP)
    await until_up(record)

    assert os.getsid(child.pid) == child.pid
    assert read_records(tmp_path / "children") == (record,)
    assert record.labels == {"kind": "trial"}
    forget(tmp_path / "children", "child")
    assert read_records(tmp_path / "children") == ()
    await child.stop(LIMIT_S)


async def test_stop_asks_first(begin: Begin) -> None:
    child, record = begin(POLITE)
    await until_up(record)

    assert (await child.stop(LIMIT_S)).code == 5


async def test_stop_kills_what_does_not_listen_and_all_of_its_session(begin: Begin) -> None:
    child, record = begin(STUBBORN_PAIR)
    await until(lambda: len(proc.session_members(child.pid)) == 2)
    await until(lambda: logfile.tail(Path(record.log)).count("up") == 2)

    assert (await child.stop(0.05)).code == -signal.SIGKILL
    await until(lambda: not proc.session_members(child.pid))


async def test_a_recorded_child_is_adopted_and_stopped(begin: Begin) -> None:
    child, record = begin(PARENT)
    await until(lambda: logfile.tail(Path(record.log)))
    stranger = int(logfile.tail(Path(record.log))[0])
    found = proc.start_time(stranger)
    assert found is not None
    other = msgspec.structs.replace(record, name="stranger", pid=stranger, start_time=found)

    adopted = adopt_all((record, other))

    assert set(adopted) == {"child", "stranger"}
    assert (await adopted["stranger"].stop(LIMIT_S)).reason == "ended while nobody watched"
    adopted["stranger"].close()
    adopted["child"].close()
    await child.stop(LIMIT_S)


async def test_a_reused_pid_another_boot_and_a_zombie_are_not_adopted(begin: Begin) -> None:
    child, record = begin(SLEEP)

    assert adopt(msgspec.structs.replace(record, start_time=record.start_time + 1)) is None
    assert adopt(msgspec.structs.replace(record, boot_id="another")) is None
    child.signal(signal.SIGKILL)
    await until(lambda: (found := proc.stat(child.pid)) is not None and found.state == "Z")
    assert adopt(record) is None
    assert (await child.wait()).code == -signal.SIGKILL
    assert adopt(record) is None


async def test_a_missing_program_is_an_error_with_its_name(tmp_path: Path) -> None:
    program = Program(name="ghost", argv=("/no/such/program",), env={}, log=tmp_path / "log")

    with pytest.raises(Unavailable, match="/no/such/program"):
        start(program, tmp_path)
    assert read_records(tmp_path) == ()


def test_a_torn_record_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"name": "to')

    assert read_records(tmp_path) == ()


async def test_strays_are_found_by_their_marker_and_ended(begin: Begin, tmp_path: Path) -> None:
    marker = strays.home_id(tmp_path)
    child, record = begin(DAEMON, **{strays.MARKER: marker})
    await child.wait()
    await until_up(record)
    assert len(strays.find(marker)) == 1
    assert strays.find("another") == ()

    found = await strays.end(marker, grace_s=0.05)

    assert len(found) == 1
    assert strays.find(marker) == ()


def test_one_keeper_per_home(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with HomeLock(path):
        assert is_held(path)
        assert holder_of(path) == os.getpid()
        with pytest.raises(Conflict, match=str(os.getpid())) as caught:
            HomeLock(path).acquire()
        assert caught.value.code == "home_in_use"
    assert not is_held(path)
    with HomeLock(path):
        pass


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(tmp_path / "lock")
        holder.kill()
        holder.wait()
    assert not is_held(tmp_path / "lock")


def test_tail_gives_the_last_lines_of_long_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number} {'x' * 90}\n" for number in range(5000)) + "last")

    assert [line.split()[0:2] for line in logfile.tail(path, 2)] == [["line", "4999"], ["last"]]
    assert logfile.tail(tmp_path / "none") == ()
    assert logfile.tail(path, 0) == ()


def test_rotation_copies_and_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = logfile.open_append(path)
    os.write(writer, b"old\n" * 100)

    assert logfile.rotate(path, limit_bytes=300)
    assert not logfile.rotate(path, limit_bytes=300)
    os.write(writer, b"new\n")
    os.close(writer)

    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "log.1").read_bytes() == b"old\n" * 100


def test_links_and_fifos_in_a_bundles_log_folder_are_left_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s" * 100)
    (tmp_path / "link.log").symlink_to(secret)
    os.mkfifo(tmp_path / "fifo.log")

    for name in ("link.log", "fifo.log"):
        assert logfile.tail(tmp_path / name) == ()
        assert not logfile.rotate(tmp_path / name, limit_bytes=1)
    assert secret.read_text() == "s" * 100


async def test_a_copy_of_a_folder_takes_no_process_of_the_original(begin: Begin, tmp_path: Path) -> None:
    _, record = begin(SLEEP, **{strays.MARKER: strays.home_id(tmp_path)})
    _, unmarked = begin(SLEEP, "unmarked")
    for one in (record, unmarked):
        await until_up(one)
    shutil.copytree(tmp_path / "children", tmp_path / "copy" / "children")

    assert read_records(tmp_path / "children") == (record, unmarked)
    assert read_records(tmp_path / "copy" / "children") == (unmarked,)
