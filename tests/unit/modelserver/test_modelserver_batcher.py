"""Batching: everybody gets their own rows' answers, bad rows fail alone, bounds hold."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import Busy, Error, Internal, Invalid, Unavailable
from fairlead.figures import OUTCOMES
from fairlead.messages import BatchSpec, ModelSpec
from fairlead.modelserver.batcher import JOBS_TURN
from fairlead.modelserver.calls import JobCall, Reply, TypedCall
from fairlead.modelserver.dataplane import DataPlane
from fairlead.modelserver.runtimes.port import Endpoint
from fairlead.sdk.inputs import signature_from
from fairlead.sdk.model import Canceled, InvalidInput, progress
from fairlead.testing.runtime import DoublingRuntime

DEADLINE_S = 30.0
ROW = signature_from({"x": float})


def spec_of(**changes: Any) -> ModelSpec:
    return ModelSpec(**({"name": "m", "version": "1", "runtime": "python"} | changes))


_loops: list[asyncio.AbstractEventLoop] = []


def plane_of(endpoint: Endpoint, **changes: Any) -> DataPlane:
    plane = DataPlane(spec_of(**changes))
    plane.open({"predict": endpoint})
    if plane._model_loop is not None:
        _loops.append(plane._model_loop)
    return plane


def stop_loops() -> None:
    """End the threads of async models: each loop holds five descriptors, and property tests make hundreds."""
    while _loops:
        loop = _loops.pop()
        loop.call_soon_threadsafe(loop.stop)


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield
    stop_loops()


def call_of(value: Any, **changes: Any) -> TypedCall:
    deadline = time.monotonic() + changes.pop("timeout_s", DEADLINE_S)
    return TypedCall("predict", msgspec.json.encode(value), "req", deadline, **changes)


def value_of(row: Any) -> float:
    value: float = ROW.arguments(row)[0]
    return value


def doubling(**changes: Any) -> Endpoint:
    runtime = DoublingRuntime()
    runtime.load(Path())
    return Endpoint("predict", runtime.signature, runtime.infer, **({"together": True} | changes))


def touchy(rows: Sequence[Any]) -> list[Any]:
    """Double each row; refuse negative ones, and break altogether where any is 13."""
    values = [value_of(row) for row in rows]
    if 13 in values:
        raise ZeroDivisionError("13")
    return [InvalidInput("is negative", "x") if value < 0 else 2 * value for value in values]


async def touchy_async(rows: Sequence[Any]) -> list[Any]:
    await asyncio.sleep(0)
    return touchy(rows)


def one_by_one(rows: Sequence[Any]) -> list[Any]:
    return [answer for row in rows for answer in touchy([row])]


ENDPOINTS = {
    "threads": Endpoint("predict", ROW, touchy, together=True),
    "native": Endpoint("predict", ROW, touchy, together=True, native=True),
    "async": Endpoint("predict", ROW, touchy_async, together=True, is_async=True),
    "single": Endpoint("predict", ROW, one_by_one),
}


async def outcome(plane: DataPlane, values: list[float], many: bool) -> Any:
    body = [{"x": value} for value in values] if many else {"x": values[0]}
    try:
        return msgspec.json.decode((await plane.infer(call_of(body))).body)
    except Error as error:
        return type(error)


def expected(values: list[float], many: bool) -> Any:
    if 13 in values:
        return Internal
    if min(values) < 0:
        return Invalid
    doubled = [2.0 * value for value in values]
    return doubled if many else doubled[0]


@pytest.mark.parametrize("kind", ENDPOINTS)
@given(
    calls=st.lists(
        st.tuples(st.lists(st.sampled_from([-1.0, 0, 1, 2, 13, 500, 501, 502]), min_size=1, max_size=9), st.booleans()),
        max_size=40,
    ),
    max_size=st.integers(1, 8),
    concurrency=st.integers(1, 3),
)
@settings(max_examples=settings.default.max_examples // 4)
def test_nobody_ever_gets_the_row_of_another(
    kind: str, calls: list[tuple[list[float], bool]], max_size: int, concurrency: int
) -> None:
    async def run() -> None:
        calls_cut = [(values if many else values[:1], many) for values, many in calls]
        plane = plane_of(ENDPOINTS[kind], batch=BatchSpec(max_size=max_size), concurrency=concurrency)
        async with asyncio.timeout(DEADLINE_S):
            got = await asyncio.gather(*[outcome(plane, values, many) for values, many in calls_cut])
        for (values, many), answer in zip(calls_cut, got, strict=True):
            wanted = expected(values, many)
            mixed = 13 in values and min(values) < 0
            assert answer == wanted or (mixed and answer in (Internal, Invalid))
        assert plane.active == 0
        assert plane.load.queued == 0

    try:
        asyncio.run(run())
    finally:
        stop_loops()


@pytest.fixture
async def gate() -> AsyncIterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def gated(gate: threading.Event, seen: list[int]) -> Callable[[Sequence[Any]], list[float]]:
    def run(rows: Sequence[Any]) -> list[float]:
        seen.append(len(rows))
        gate.wait(DEADLINE_S)
        return [2 * value_of(row) for row in rows]

    return run


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.002)


async def ask(plane: DataPlane, value: float, **changes: Any) -> asyncio.Task[Reply]:
    task = asyncio.create_task(plane.infer(call_of({"x": value}, **changes)), name="ask")
    await asyncio.sleep(0)
    return task


async def test_what_comes_while_the_worker_is_busy_goes_together(gate: threading.Event) -> None:
    seen: list[int] = []
    plane = plane_of(Endpoint("predict", ROW, gated(gate, seen), together=True), batch=BatchSpec(max_size=4))
    tasks = [await ask(plane, 0)]
    await until(lambda: seen == [1])
    tasks += [await ask(plane, value) for value in range(1, 7)]
    gate.set()
    replies = await asyncio.gather(*tasks)
    assert seen == [1, 4, 2]
    assert [float(reply.body) for reply in replies] == [0, 2, 4, 6, 8, 10, 12]


async def test_a_batch_is_bounded_by_bytes(gate: threading.Event) -> None:
    seen: list[int] = []
    plane = plane_of(Endpoint("predict", ROW, gated(gate, seen), together=True), batch=BatchSpec(max_bytes=20))
    tasks = [await ask(plane, 0)]
    await until(lambda: seen == [1])
    tasks += [await ask(plane, value) for value in range(1, 5)]  # 9 bytes each: two fit
    gate.set()
    await asyncio.gather(*tasks)
    assert seen == [1, 2, 2]


async def test_a_lone_request_waits_for_nobody_and_max_wait_gathers() -> None:
    runtime = DoublingRuntime()
    runtime.load(Path())
    endpoint = Endpoint("predict", ROW, runtime.infer, together=True)
    plane = plane_of(endpoint, batch=BatchSpec(max_wait_ms=200))
    tasks = [await ask(plane, 1)]
    await asyncio.sleep(0.01)
    tasks.append(await ask(plane, 2))
    await asyncio.gather(*tasks)
    assert runtime.batches == [2]
    eager = plane_of(endpoint)
    assert min([(await eager.infer(call_of({"x": 1}))).queue_s for _ in range(5)]) < 0.15


async def test_a_full_queue_says_when_to_come_back(gate: threading.Event) -> None:
    seen: list[int] = []
    plane = plane_of(Endpoint("predict", ROW, gated(gate, seen), together=True), queue_max=2)
    tasks = [await ask(plane, 0)]
    await until(lambda: seen == [1])
    tasks += [await ask(plane, 1), await ask(plane, 2)]
    assert plane.is_full
    with pytest.raises(Busy) as caught:
        await plane.infer(call_of({"x": 3}))
    assert caught.value.code == "queue_full"
    assert caught.value.retry_after_s >= 1
    gate.set()
    await asyncio.gather(*tasks)
    assert not plane.is_full
    assert (plane.load.counts.served, plane.load.counts.failed) == (3, 1)


async def test_deadlines_hold_for_what_waits_and_what_runs(gate: threading.Event) -> None:
    seen: list[int] = []
    plane = plane_of(Endpoint("predict", ROW, gated(gate, seen), together=True))
    tasks = [await ask(plane, 0, timeout_s=0.01)]
    await until(lambda: seen == [1])
    tasks.append(await ask(plane, 1, timeout_s=0.01))
    await asyncio.sleep(0.02)
    plane.tick(time.monotonic())
    for task in tasks:
        with pytest.raises(Unavailable) as caught:
            await task
        assert caught.value.code == "timed_out"
    gate.set()
    assert float((await plane.infer(call_of({"x": 4}))).body) == 8
    assert seen == [1, 1]  # what nobody waited for any more was skipped


async def test_progress_ends_a_canceled_call(gate: threading.Event) -> None:
    heard: list[tuple[int, int | None]] = []
    begun = threading.Event()

    def run(rows: Sequence[Any]) -> list[str]:
        progress(1, 2)
        begun.set()
        gate.wait(DEADLINE_S)
        try:
            progress(2, 2)
        except Exception:  # a broad handler does not swallow Canceled
            return ["swallowed"]
        return ["went on"]

    plane = plane_of(Endpoint("predict", ROW, run))
    call = call_of({"x": 1}, on_progress=lambda step, total, preview, note: heard.append((step, total)))
    task = asyncio.create_task(plane.infer(call), name="canceled")
    await until(begun.is_set)
    plane.cancel(call)
    gate.set()
    with pytest.raises(Unavailable) as caught:
        await task
    assert caught.value.code == "canceled"
    assert heard == [(1, 2), (2, 2)]
    assert issubclass(Canceled, BaseException)
    assert not issubclass(Canceled, Exception)


@pytest.mark.parametrize("answers", [[1.0], [1.0] * 3, "ab", None, {"a": 1, "b": 2}])
async def test_a_wrong_number_of_answers_reaches_nobody(answers: Any) -> None:
    plane = plane_of(Endpoint("predict", ROW, lambda rows: answers, together=True))
    with pytest.raises(Internal) as caught:
        await plane.infer(call_of([{"x": 1}, {"x": 2}]))
    assert caught.value.code == "answer_count"


def ends_oddly(rows: Sequence[Any]) -> list[Any]:
    """Answer, but for negative rows: there, raise what is no :class:`Exception`, as code of a model may."""
    if value_of(rows[0]) < 0:
        raise asyncio.CancelledError if value_of(rows[0]) == -1 else KeyboardInterrupt
    return [value_of(row) for row in rows]


async def ends_oddly_async(rows: Sequence[Any]) -> list[Any]:
    return ends_oddly(rows)


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("predict", ROW, ends_oddly, together=True),
        Endpoint("predict", ROW, ends_oddly_async, together=True, is_async=True),
    ],
)
async def test_what_is_no_exception_is_a_failure_of_the_model_too_and_ends_no_worker(endpoint: Endpoint) -> None:
    plane = plane_of(endpoint)
    async with asyncio.timeout(DEADLINE_S):
        assert [await outcome(plane, [x], many=False) for x in (-1, -2, -1, 3)] == [Internal, Internal, Internal, 3]
    await until(lambda: plane.load.in_flight == 0)


async def test_an_answer_that_json_cannot_hold_is_the_models_failure() -> None:
    plane = plane_of(Endpoint("predict", ROW, lambda rows: [object() for _ in rows], together=True))
    with pytest.raises(Internal) as caught:
        await plane.infer(call_of({"x": 1}))
    assert caught.value.code == "model_failed"


async def test_draining_refuses_and_finishes(gate: threading.Event) -> None:
    seen: list[int] = []
    plane = plane_of(Endpoint("predict", ROW, gated(gate, seen), together=True))
    task = await ask(plane, 1)
    plane.drain()
    with pytest.raises(Unavailable) as caught:
        await plane.infer(call_of({"x": 2}))
    assert caught.value.code == "draining"
    gate.set()
    assert float((await task).body) == 2
    assert plane.active == 0


async def test_native_batches_run_on_the_loop_only_while_they_are_quick() -> None:
    threads: list[bool] = []
    burn_s = 0.0

    def run(rows: Sequence[Any]) -> list[float]:
        threads.append(threading.current_thread() is threading.main_thread())
        end = time.thread_time() + burn_s
        while time.thread_time() < end:
            pass
        return [0.0 for _ in rows]

    plane = plane_of(Endpoint("predict", ROW, run, together=True, native=True))
    for _ in range(100):
        await plane.infer(call_of({"x": 1}))
    assert threads[0] is False
    assert threads[-1] is True
    burn_s = 0.01
    await plane.infer(call_of({"x": 1}))
    await plane.infer(call_of({"x": 1}))
    assert threads[-1] is False


@pytest.mark.parametrize("kind", ENDPOINTS)
async def test_calls_batches_and_their_time_are_counted(kind: str) -> None:
    plane = plane_of(ENDPOINTS[kind])
    await asyncio.gather(*(plane.infer(call_of({"x": value})) for value in (1, 2, 3)))
    with pytest.raises(Internal):
        await plane.infer(call_of({"x": 13}))
    with pytest.raises(Invalid):
        await plane.infer(call_of({"x": "no number"}))

    made = plane.load.counts.figures()

    assert (made.served, dict(zip(OUTCOMES, made.refused, strict=True))) == (
        3,
        {"invalid": 1, "busy": 0, "unavailable": 0, "canceled": 0, "failed": 1},
    )
    assert made.duration.count == made.queue.count == made.compute.count == 3
    assert made.batches.total == 3, "what a call costs is told by good ones (R9)"
    assert 0 <= made.input_s + made.queue.total + made.compute.total <= made.duration.total


async def test_a_call_whose_answer_would_come_too_late_is_refused_when_it_comes(gate: threading.Event) -> None:
    seen: list[int] = []
    plane = plane_of(Endpoint("predict", ROW, gated(gate, seen)))
    batcher = plane._batchers["predict"]
    tasks = [await ask(plane, 0)]
    await until(lambda: seen == [1])
    batcher.pace.note(2.0, 1)
    with pytest.raises(Busy) as caught:  # 2 s for the one that is worked on, and 2 for itself
        await plane.infer(call_of({"x": 1}, timeout_s=3))
    assert (caught.value.code, caught.value.retry_after_s) == ("overloaded", 2.0)
    tasks.append(await ask(plane, 1, timeout_s=10))
    gate.set()
    await asyncio.gather(*tasks)
    assert len(seen) == 2


async def test_a_call_whose_turn_comes_too_late_makes_room_unless_it_is_the_last(gate: threading.Event) -> None:
    seen: list[int] = []
    plane = plane_of(Endpoint("predict", ROW, gated(gate, seen)))
    batcher = plane._batchers["predict"]
    tasks = [await ask(plane, 0)]
    await until(lambda: seen == [1])
    tasks += [await ask(plane, value, timeout_s=5) for value in (1, 2, 3)]
    batcher.pace.note(20.0, 1)  # calls take longer than when they came
    gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(one, "code", "answered") for one in outcomes] == [
        "answered",
        "overloaded",
        "overloaded",
        "answered",
    ]


async def test_jobs_wait_behind_requests_and_go_on_all_the_same(gate: threading.Event) -> None:
    seen: list[float] = []

    def run(rows: Sequence[Any]) -> list[float]:
        gate.wait(DEADLINE_S)
        seen.extend(value_of(row) for row in rows)
        return [0.0 for _ in rows]

    plane = plane_of(Endpoint("predict", ROW, run), queue_max=100)
    tasks = [await ask(plane, 0)]
    await until(lambda: plane.load.in_flight == 1)
    body, deadline = msgspec.json.encode({"x": -1}), time.monotonic() + DEADLINE_S
    tasks += [asyncio.create_task(plane.infer(JobCall("predict", body, "job", deadline)), name="job") for _ in range(2)]
    await asyncio.sleep(0)
    tasks += [await ask(plane, value) for value in range(1, JOBS_TURN + 6)]
    assert plane.load.queued == JOBS_TURN + 7
    gate.set()
    await asyncio.gather(*tasks)
    assert seen.index(-1) == JOBS_TURN  # the one that was first, and all but one of a turn
    assert seen[-1] == -1
    assert [value for value in seen if value >= 0] == sorted(value for value in seen if value >= 0)


async def test_jobs_are_not_refused_where_the_queue_is_full(gate: threading.Event) -> None:
    plane = plane_of(Endpoint("predict", ROW, gated(gate, [])), queue_max=1)
    tasks = [await ask(plane, 0)]
    await until(lambda: plane.load.in_flight == 1)
    tasks.append(await ask(plane, 1))
    body, deadline = msgspec.json.encode({"x": 1}), time.monotonic() + DEADLINE_S
    tasks += [asyncio.create_task(plane.infer(JobCall("predict", body, "job", deadline)), name="job") for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)


async def test_jobs_of_a_quick_model_are_answered_too() -> None:
    plane = plane_of(ENDPOINTS["native"])
    for _ in range(100):
        await plane.infer(call_of({"x": 1}))
    body, deadline = msgspec.json.encode({"x": 1}), time.monotonic() + DEADLINE_S
    async with asyncio.timeout(DEADLINE_S):
        replies = await asyncio.gather(
            *(plane.infer(JobCall("predict", body, "job", deadline)) for _ in range(3)),
            *(plane.infer(call_of({"x": 2})) for _ in range(3)),
        )
    assert [float(reply.body) for reply in replies] == [2, 2, 2, 4, 4, 4]
