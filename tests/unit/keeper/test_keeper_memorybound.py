"""What bundles hold of the memory, whose it is, and who is ended for it."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.keeper.bundles import memoryused
from fairlead.keeper.bundles.memorybound import ENDING_S, KNOWN_S, MemoryBound, Shares
from fairlead.keeper.bundles.memoryused import ALL, LOOSE, Bounded, Over, Process
from fairlead.messages import ErrorInfo
from fairlead.supervisor import memory, proc
from fairlead.testing.clock import ManualClock

DEADLINE_S = 30
MB = 1024**2
KEEPER, OURS, THEIRS = 10, 0, 70_001
ZYGOTE, ONE, TWO = 100, 101, 102


def process(parent: int, session: int, uid: int = THEIRS) -> Process:
    return Process(parent, session, uid, 1)


SEEN = {
    ZYGOTE: process(KEEPER, ZYGOTE),
    ONE: process(ZYGOTE, ONE),
    TWO: process(ZYGOTE, TWO),
    111: process(ONE, ONE),
    112: process(1, ONE),
    113: process(111, 113),
    120: process(1, 120),
    130: process(KEEPER, 130),
    131: process(130, 131),
    140: process(ZYGOTE, 140),
}


def version(limit_mb: int = 512, **replicas: int) -> Bounded:
    return Bounded("faces-1", limit_mb * MB, (ZYGOTE,), replicas or {"one": ONE, "two": TWO})


def whose(*bounded: Bounded, seen: dict[int, Process] | None = None) -> dict[tuple[str, str], list[int]]:
    return memoryused.members(bounded, seen or SEEN, platform=KEEPER, user=OURS)


def test_what_a_replica_began_is_its_own_also_in_other_sessions_and_without_a_parent() -> None:
    found = whose(version())
    assert found["faces-1", "one"] == [ONE, 111, 112, 113]
    assert found["faces-1", "two"] == [TWO]


def test_what_left_its_family_is_known_by_its_user_and_what_is_looked_into_is_nobodys() -> None:
    found = whose(version())
    assert found["faces-1", LOOSE] == [120]
    assert found["faces-1", ALL] == [ZYGOTE, 140], "140 was forked a moment ago, and nobody has named it yet"
    assert not {130, 131} & {pid for key, pids in found.items() if key[0] for pid in pids}


def test_processes_of_the_platforms_own_user_are_told_by_birth_alone() -> None:
    seen = {pid: one._replace(uid=OURS) for pid, one in SEEN.items()}
    found = whose(version(), seen=seen)
    assert found["faces-1", "one"] == [ONE, 111, 112, 113]
    assert ("faces-1", LOOSE) not in found


def over(bounded: Bounded, mb: dict[int, float], shares: dict[int, float] | None = None) -> list[Over]:
    """Who is over where processes hold so many MB, and of what they share so many."""
    asked = shares if shares is not None else mb
    held = {pid: int(value * MB) for pid, value in mb.items()}
    share = {pid: int(value * MB) for pid, value in asked.items()}
    return memoryused.over([bounded], whose(bounded), lambda pid: held.get(pid, 0), lambda pid: share.get(pid, 0))


def test_all_processes_of_a_replica_count_together_and_only_that_replica_is_over() -> None:
    (one,) = over(version(), {ONE: 200, 111: 200, 113: 200, TWO: 400})
    assert (one.name, one.replica, one.bytes) == ("faces-1", "one", 600 * MB)
    assert set(one.pids) == {ONE, 111, 112, 113, 120}
    assert one.said == "its processes held 600 MB of memory, more than memory_mb = 512"


def test_what_is_shared_with_the_zygote_counts_once_divided_among_the_replicas() -> None:
    held = {ZYGOTE: 400.0, ONE: 450.0, TWO: 450.0}
    shares = {ZYGOTE: 400 / 3, ONE: 50 + 400 / 3, TWO: 50 + 400 / 3}
    assert over(version(300), held, shares) == [], "250 each: all together hold 500"
    assert {one.replica for one in over(version(249), held, shares)} == {"one", "two"}


def test_what_left_its_family_is_charged_and_goes_with_who_is_over() -> None:
    (one,) = over(version(300), {ONE: 250, TWO: 10, 120: 120})
    assert (one.replica, one.bytes) == ("one", 310 * MB)
    assert 120 in one.pids


def test_where_what_is_nobodys_is_too_much_all_is_ended() -> None:
    (one,) = over(version(300), {ONE: 10, TWO: 10, 120: 301})
    assert one.replica == ALL
    assert {ZYGOTE, ONE, TWO, 120} <= set(one.pids)
    (run,) = over(Bounded("run-1", 100 * MB, (ONE,), {}), {ONE: 60, 111: 60})
    assert (run.name, run.replica, run.bytes) == ("run-1", ALL, 120 * MB)


def test_the_exact_share_is_asked_for_only_near_the_bound() -> None:
    asked: list[int] = []

    def share(pid: int) -> int:
        asked.append(pid)
        return 0

    bounded = version(300)
    memoryused.over([bounded], whose(bounded), lambda pid: 30 * MB, share)
    assert asked == []
    memoryused.over([bounded], whose(bounded), lambda pid: 80 * MB, share)
    assert asked


async def test_exact_shares_are_asked_for_again_only_when_a_process_has_grown_or_some_time_has_passed() -> None:
    clock, asked, size = ManualClock(), list[int](), {ONE: 10}

    def share(pid: int) -> int:
        asked.append(pid)
        return size[pid]

    shares = Shares(clock, lambda pid: size[pid], share)

    def look(seen: dict[int, Process]) -> int:
        exact = shares.look(seen)[1]
        return exact(ONE)

    assert [look(SEEN), look(SEEN)] == [10, 10]
    assert asked == [ONE]
    size[ONE] = 20
    assert look(SEEN) == 20
    size[ONE] = 15
    assert look(SEEN) == 20, "it has not grown"
    await clock.advance(KNOWN_S + 1)
    assert look(SEEN) == 15
    size[ONE] = 5
    assert look(SEEN | {ONE: SEEN[ONE]._replace(start_time=2)}) == 5, "another process under the same number"


@contextmanager
def child(code: str) -> Iterator[int]:
    """A process that runs ``code``, says a word and waits."""
    started = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('there', flush=True)\nimport time\ntime.sleep(600)"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == b"there\n"
        yield started.pid
    finally:
        started.kill()
        started.communicate()


def test_what_is_written_counts_and_pages_of_files_do_not(tmp_path: Path) -> None:
    with child("kept = bytearray(b'x' * 100 * 1024 * 1024)") as pid:
        assert 100 * MB <= memory.share(pid) < 180 * MB
        assert memory.held(pid) >= memory.share(pid)
    file = str(tmp_path / "weights")
    Path(file).write_bytes(b"x" * 60 * MB)
    mapped = f"import mmap\nfile = open({file!r}, 'rb')\nkept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)"
    mapped += "\nkept.find(b'y')"
    with child(mapped) as pid:
        assert memory.share(pid) < 50 * MB
    assert memory.share(pid) == memory.held(pid) == 0, "it is gone"


def test_pages_that_several_hold_are_divided() -> None:
    kept = mmap.mmap(-1, 40 * MB)
    kept.write(b"x" * 40 * MB)
    before = memory.share(os.getpid())
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        assert memory.share(os.getpid()) <= before - 15 * MB
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


async def test_who_holds_too_much_is_told_why_and_what_it_began_elsewhere_is_ended_too() -> None:
    ended: list[tuple[Over, ErrorInfo]] = []

    async def end(one: Over, error: ErrorInfo) -> None:
        ended.append((one, error))

    begin = "import subprocess, sys\nkept = bytearray(b'x' * 90 * 1024 * 1024)\n"
    begin += "child = subprocess.Popen(['/bin/sleep', '600'], start_new_session=True)"
    with child(begin) as pid, child("kept = bytearray(b'x' * 30 * 1024 * 1024)") as modest:
        below = [one for one in proc.pids() if (seen := proc.stat(one)) is not None and seen.parent == pid]
        assert len(below) == 1
        bounded = [Bounded("greedy", 80 * MB, (), {"greedy-1": pid}), Bounded("modest", 80 * MB, (modest,), {})]
        found = await MemoryBound(lambda: bounded, ManualClock(), end).once()
        assert [one.replica for one in found] == ["greedy-1"]
        ((_, error),) = ended
        assert error.code == "oom"
        assert "more than memory_mb = 80" in error.message
        assert "raise memory_mb" in error.hint
        async with asyncio.timeout(DEADLINE_S):
            while proc.start_time(below[0]) is not None:  # it had a session of its own
                await asyncio.sleep(0.01)
        assert proc.start_time(modest) is not None


async def test_what_was_killed_and_is_not_gone_yet_does_not_end_who_is_started_in_its_place() -> None:
    clock, killed = ManualClock(), list[int]()

    async def end(one: Over, error: ErrorInfo) -> None:
        return

    with child("kept = bytearray(b'x' * 60 * 1024 * 1024)") as slow, child("") as fresh:
        bounded = [Bounded("greedy", 40 * MB, (slow,), {})]
        bound = MemoryBound(lambda: bounded, clock, end, killed.extend)
        assert [one.name for one in await bound.once()] == ["greedy"]
        bounded[0] = Bounded("greedy", 40 * MB, (slow, fresh), {})
        assert await bound.once() == ()
        assert killed == [slow]
        await clock.advance(ENDING_S + 1)
        assert [one.pids for one in await bound.once()] == [(slow, fresh)], "nothing that lives is free of the bound"
