"""The database: one writer that groups what waits into one commit, and readers beside it.

``write`` returns after the commit that holds its work was synced (SQLite: WAL with ``synchronous=FULL``; PostgreSQL:
``synchronous_commit = on``): only then may anybody be promised anything. All writes that wait share one transaction,
each in a savepoint of its own, so that one fails alone; at 50 submitters that is ten times as fast as a commit each.

Functions given to :meth:`Database.write` and :meth:`Database.read` run in a thread of the database: they take a
:class:`Session`, call the rooms' services, and return records (detached, all columns loaded) or values.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from fairlead.errors import Error, Invalid
from fairlead.store import migrate
from fairlead.store.changes import Changes
from fairlead.store.connect import READERS, make_engine, parse_url
from fairlead.store.faults import busy, translated, unavailable
from fairlead.store.move import MOVED, MOVES, Move, Ref

T = TypeVar("T")
X = TypeVar("X")
_log = logging.getLogger(__name__)

GROUP_MAX = 512
"""Writes in one transaction: more would let the first wait for the last."""
LINGER_S, LINGER_FROM, LINGERS_MAX = 0.005, 8, 3
"""After a group of so many writes it waits for more, which share what a group costs: in steps of so long, so many at
most, for as long as in each some came."""
WAITING_MAX = 20_000
"""Writes that may wait; more are refused with :class:`Busy`."""
READING_MAX = 2_000
"""Reads under way or waiting; with more, requests are refused with :class:`Busy`: all others would come late."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One write; a joined one has an item, and all that wait with the same function run as one."""

    run: Callable[..., Any]
    future: asyncio.Future[Any]
    joined: bool = False
    item: Any = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    future: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None


class Database:
    """Open it with :func:`open_database`."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.broken = ""
        """Why no write is taken any more: after a failed sync nobody knows what is on disk. Control then exits."""
        self.moves: Counter[Move] = Counter()
        """How often something came to a status, of what was committed since the start."""
        self.on_moved: Callable[[Collection[Ref]], None] = lambda moved: None
        """Told of the records that moved, once that is committed."""
        self.written = 0
        """Groups of writes that were committed since the start and, as far as that is known, changed something beside
        the ledgers (``store.changes``)."""
        self._writer = make_engine(url, writes=True)
        self.changes = Changes(self._writer)
        self._reader = make_engine(url, writes=False)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._waiting = self._reading = 0
        self.refused = Counter({"read": 0, "write": 0})
        """What was refused since the start because too many waited."""
        self._shared: dict[Hashable, asyncio.Future[Any]] = {}
        """Reads under way that several wait for, by key."""
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    async def start(self, marker: Path | None) -> None:
        """Bring the schema up to date and take writes; see :func:`open_database` for what it refuses."""
        try:
            await asyncio.to_thread(migrate.upgrade, self._writer, marker)
        except DBAPIError as error:
            raise translated(error) from error
        self._thread.start()

    async def write(self, run: Callable[[Session], T]) -> T:
        """Return what ``run`` returned, once its transaction is committed and synced.

        Raises what ``run`` raised (nothing of it is kept then), :class:`Conflict` when a constraint refuses it,
        :class:`Busy` when too many wait and :class:`Unavailable` when the database is not there. A caller that is
        canceled meanwhile does not learn whether the write was made.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Write(run, future))
        return await future

    async def write_joined(self, run: Callable[[Session, Sequence[X]], Sequence[T | Error]], item: X) -> T:
        """Return what ``run`` returned for ``item``, like :meth:`write`, but many at once: made for the busiest writes.

        All items that wait with the same ``run`` (the same function object) are given to it together; it returns one
        outcome for each, in order: a value, or an :class:`Error` for an item of which it kept nothing. Where it
        raises, each item is tried alone.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Write(run, future, joined=True, item=item))
        return await future

    async def read(self, run: Callable[[Session], T], *, may_refuse: bool = False) -> T:
        """Return what ``run`` returned from one consistent view of what is committed; writing in it fails.

        Raises what ``run`` raised, :class:`Unavailable` when the database is not there and, where it ``may_refuse``
        (a request from outside, which can come again), :class:`Busy` when too many wait.
        """
        if may_refuse and self._reading >= READING_MAX:
            self.refused["read"] += 1
            raise busy(f"{self._reading} reads")
        self._reading += 1
        try:
            return await self._loop.run_in_executor(self._readers, self._read, run)
        finally:
            self._reading -= 1

    async def read_shared(self, key: Hashable, run: Callable[[Session], T]) -> T:
        """Return what ``run`` returned, like :meth:`read` of a request from outside, for all who ask with ``key`` now.

        They share one read, which begins after each of them asked: what any of them was told before is in it. ``run``
        must be the same for the same key, and nobody may change what it returns.
        """
        going = self._shared.get(key)
        if going is not None:
            await asyncio.wait((going,))  # it began before this call: the next one is meant
        begun = self._shared.get(key)
        if begun is None or begun is going:
            begun = self._shared[key] = asyncio.ensure_future(self.read(run, may_refuse=True))
            begun.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(begun)

    def _forget(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        if self._shared.get(key) is done:
            del self._shared[key]
        if not done.cancelled():
            done.exception()  # those who asked may all be gone

    async def copy_to(self, path: Path) -> None:
        """Write a consistent copy of a SQLite database to the new file ``path``, synced, while work goes on.

        Raises :class:`Invalid` on PostgreSQL, which has tools of its own, and where ``path`` exists.
        """
        if not self.is_sqlite:
            raise Invalid("PostgreSQL is copied with pg_dump", code="backup_postgres", hint="pg_dump -Fc")
        if path.exists():
            raise Invalid(f"{path} exists already", code="file_exists", hint="take a new name")
        await self._loop.run_in_executor(self._readers, self._copy, path)

    async def close(self) -> None:
        """Finish the writes that wait, then close all connections."""
        self._closed = True
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        self._reader.dispose()
        self._writer.dispose()
        await asyncio.sleep(0)  # the last outcomes were handed to this loop

    def _put(self, write: _Write) -> None:
        if self.broken or self._closed:
            raise unavailable(self.broken or "it is closed")
        if self._waiting >= WAITING_MAX:
            self.refused["write"] += 1
            raise busy(f"{self._waiting} writes")
        self._waiting += 1
        self._queue.put(write)

    def _read(self, run: Callable[[Session], T]) -> T:
        try:
            with Session(self._reader, expire_on_commit=False, autoflush=False) as session:
                return run(session)
        except DBAPIError as error:
            raise translated(error) from error

    def _copy(self, path: Path) -> None:
        temporary = path.with_name(path.name + ".new")
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(str(self.url.database))) as source, closing(sqlite3.connect(temporary)) as copy:
            source.backup(copy)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.rename(path)

    def _run(self) -> None:
        closing, lingers = False, False
        while not closing:
            if lingers:
                self._linger()
            group: list[_Write] = []
            item = self._queue.get()
            while True:
                if item is None:
                    closing = True
                    break
                group.append(item)
                if len(group) == GROUP_MAX:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            lingers = LINGER_FROM <= len(group) < GROUP_MAX // 2
            if group:
                outcomes = self._commit(group)
                self._loop.call_soon_threadsafe(self._deliver, outcomes)

    def _linger(self) -> None:
        """Wait while they come: where all that write at once are back, waiting longer gains nothing."""
        waiting = -1
        for _ in range(LINGERS_MAX):
            if self._queue.qsize() <= waiting:
                return
            waiting = self._queue.qsize()
            time.sleep(LINGER_S)

    def _commit(self, group: Sequence[_Write]) -> list[_Outcome]:
        """Run ``group`` in one transaction and return how each went."""
        try:
            with self._writer.connect() as connection:
                self.changes.begin(connection)
                try:
                    with connection.begin():
                        moves: Counter[Move] = Counter()
                        moved: set[Ref] = set()
                        connection.info[MOVES], connection.info[MOVED] = moves, moved
                        before = _rows_changed(connection)
                        outcomes = [outcome for unit in _units(group) for outcome in _run(connection, unit)]
                        after = _rows_changed(connection)
                        told = self.changes.beside_ledgers(connection)
                finally:
                    self.changes.end(connection)
            self.moves.update(moves)
            self.written += told and (after is None or after != before)
            if moved:
                self._loop.call_soon_threadsafe(self._tell, moved)
            return outcomes
        except DBAPIError as error:
            failure = translated(error)
            if failure.code == "database_broken":
                self.broken = failure.message
            _log.error("a group of %d writes was lost: %s", len(group), failure.message)
        except Exception as error:  # noqa: BLE001 - the edge of the writer's loop: it must outlive everything
            failure = unavailable(str(error))
            _log.exception("a group of %d writes was lost", len(group))
        return [_Outcome(write.future, error=failure) for write in group]

    def _tell(self, moved: Collection[Ref]) -> None:
        self.on_moved(moved)

    def _deliver(self, outcomes: Sequence[_Outcome]) -> None:
        self._waiting -= len(outcomes)
        for outcome in outcomes:
            if outcome.future.done():
                continue  # its caller was canceled
            if outcome.error is not None:
                outcome.future.set_exception(outcome.error)
            else:
                outcome.future.set_result(outcome.value)


@asynccontextmanager
async def open_database(url: str, marker: Path | None = None) -> AsyncIterator[Database]:
    """Yield the database at ``url`` with its schema brought up to date.

    ``marker`` is a file of the home that is written once the first schema stands. Where it is there and the database
    is not, :class:`Unavailable` (``database_missing``) is raised: a lost database must never be taken for a new
    installation. A schema of a newer program raises :class:`Conflict` (``schema_newer``).
    """
    database = Database(parse_url(url))
    try:
        await database.start(marker)
        yield database
    finally:
        await database.close()


def _rows_changed(connection: Connection) -> int | None:
    """Return how many rows were changed on this connection, None where the driver does not count them."""
    raw: Any = connection.connection.dbapi_connection
    return raw.total_changes if isinstance(raw, sqlite3.Connection) else None


def _units(group: Sequence[_Write]) -> list[list[_Write]]:
    """Return the writes that run alone and, together, those that are joined."""
    units: list[list[_Write]] = []
    joined: dict[Callable[..., Any], list[_Write]] = {}
    for write in group:
        if write.joined and write.run in joined:
            joined[write.run].append(write)
            continue
        units.append([write])
        if write.joined:
            joined[write.run] = units[-1]
    return units


def _run(connection: Connection, unit: Sequence[_Write]) -> list[_Outcome]:
    """Run one unit in a savepoint and return how each of its writes went.

    Only a failure of the database itself is raised; it ends the whole group.
    """
    first = unit[0]
    try:
        if not first.joined:
            return [_Outcome(first.future, _in_savepoint(connection, first.run))]
        items = [write.item for write in unit]
        values = _in_savepoint(connection, lambda session: first.run(session, items))
        return [
            _Outcome(write.future, error=value) if isinstance(value, Error) else _Outcome(write.future, value)
            for write, value in zip(unit, values, strict=True)
        ]
    except Exception as error:  # whatever it is belongs to the caller, not to the writes beside it
        if isinstance(error, OperationalError | InterfaceError) and not _goes_on(connection, error):
            raise
        if len(unit) > 1:
            return [outcome for write in unit for outcome in _run(connection, [write])]
        return [_Outcome(first.future, error=translated(error) if isinstance(error, DBAPIError) else error)]


def _goes_on(connection: Connection, error: DBAPIError) -> bool:
    """Whether the transaction stands after a failure of the driver that was undone to a savepoint.

    A statement that can never work (too many parameters, a column that is missing) leaves it as it was. But SQLite may
    have rolled everything back, PostgreSQL may be gone, and after a fault of the disk nothing is believed.
    """
    if error.connection_invalidated or translated(error).code != "database_unavailable":
        return False
    raw: Any = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection):
        return raw.in_transaction
    return not raw.closed and raw.info.transaction_status.name == "INTRANS"


def _in_savepoint(connection: Connection, run: Callable[[Session], T]) -> T:
    """Return what ``run`` returned; nothing of it is kept when it raises."""
    with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
        value = run(session)
        session.commit()
        connection.info.setdefault(MOVES, Counter()).update(session.info.get(MOVES, {}))
        connection.info.setdefault(MOVED, set()).update(session.info.get(MOVED, ()))
        return value
