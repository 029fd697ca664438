"""Start a program in a session of its own and keep a record of it on disk, so that a later keeper adopts it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fairlead.errors import Internal, Unavailable
from fairlead.supervisor.aside import aside
from fairlead.supervisor.child import Child, kill_session
from fairlead.supervisor.logfile import open_append
from fairlead.supervisor.proc import boot_id, environ, start_time, stat
from fairlead.supervisor.strays import MARKER, home_id


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program to start."""

    name: str
    """Unique among the children; names the record."""
    argv: tuple[str, ...]
    """First its absolute path."""
    env: Mapping[str, str]
    """Its whole environment."""
    log: Path
    """File that stdout and stderr are appended to."""
    digest: str = ""
    """Of what it was started from: tells whether a found child is still the wanted one."""
    sockets: Mapping[str, str] = {}
    """Name to path of the sockets on which it listens."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A child as it stands on disk."""

    name: str
    pid: int
    start_time: int
    """See :class:`fairlead.supervisor.proc.Stat`."""
    boot_id: str
    argv0: str
    digest: str = ""
    sockets: dict[str, str] = {}
    log: str = ""
    labels: dict[str, str] = {}
    """What its owner needs to know again after an adoption."""


def start(program: Program, records: Path, *, labels: Mapping[str, str] | None = None) -> tuple[Child, Record]:
    """Start ``program``; the record is on disk, synced, when this returns. Raises :class:`Unavailable`."""
    program.log.parent.mkdir(parents=True, exist_ok=True)
    log = open_append(program.log)
    try:
        pid = os.posix_spawn(
            program.argv[0],
            program.argv,
            dict(program.env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM],
        )
    except OSError as error:
        raise Unavailable(
            f"{program.name}: cannot start {program.argv[0]}: {error.strerror}",
            code="cannot_start",
            hint="check that the program is there and may be executed",
        ) from error
    finally:
        os.close(log)
    child = Child(pid, os.pidfd_open(pid))
    try:
        record = watch(pid, program, records, labels=labels)
    except BaseException:  # without a record nobody would find it again
        kill_session(pid)
        child.signal(signal.SIGKILL)
        child.close()
        os.waitpid(pid, 0)
        raise
    return child, record


async def start_aside(
    program: Program, records: Path, *, labels: Mapping[str, str] | None = None
) -> tuple[Child, Record]:
    """Return what :func:`start` returned, run in a thread: its record is synced. Raises :class:`Unavailable`.

    Canceled meanwhile, it ends what it started: nobody would know of it.
    """
    started: list[Child] = []

    def begin() -> tuple[Child, Record]:
        child, record = start(program, records, labels=labels)
        started.append(child)
        return child, record

    try:
        return await aside(begin)
    except asyncio.CancelledError:
        for child in started:
            await child.stop(0)
            child.close()
            forget(records, program.name)
        raise


def watch(pid: int, program: Program, records: Path, *, labels: Mapping[str, str] | None = None) -> Record:
    """Write the record of a process that runs, as that of ``program``, and return it.

    Also for processes that another one forked for us. Raises :class:`Internal` when it is gone already.
    """
    found = stat(pid)
    if found is None:
        raise Internal(f"{program.name}: process {pid} ended at once", code="ended_at_once", hint=f"see {program.log}")
    record = Record(
        name=program.name,
        pid=pid,
        start_time=found.start_time,
        boot_id=boot_id(),
        argv0=program.argv[0],
        digest=program.digest,
        sockets=dict(program.sockets),
        log=str(program.log),
        labels=dict(labels or {}),
    )
    write_record(records, record)
    return record


def write_record(records: Path, record: Record) -> None:
    """Put the record on disk: synced, renamed into place, its folder synced."""
    records.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = records / f".{record.name}.{os.getpid()}"
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(record))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(records / f"{record.name}.json")
    folder = os.open(records, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_records(records: Path) -> tuple[Record, ...]:
    """Return every record in the folder by name; one that cannot be read (a torn disk) is passed over.

    So is one of a process that says itself that it is another installation's: this folder was copied from there.
    """
    found = []
    mine = home_id(records.parent)
    for path in sorted(records.glob("*.json")):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except (msgspec.DecodeError, FileNotFoundError):
            continue
        if start_time(record.pid) != record.start_time or environ(record.pid).get(MARKER, mine) == mine:
            found.append(record)
    return tuple(found)


def forget(records: Path, name: str) -> None:
    """Remove a record; fine when it is not there."""
    (records / f"{name}.json").unlink(missing_ok=True)
