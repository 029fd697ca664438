"""What a caller is told where a model does not answer as it should. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fairlead.errors import Busy, Error, Internal, Invalid, Problem, Unavailable, without_folders
from fairlead.modelserver.load import Item
from fairlead.sdk.inputs import raise_problems
from fairlead.sdk.model import InvalidInput

_RETRY_MAX_S = 60.0
"""Nobody is told to stay away for longer: more replicas may come."""


def check_count(answers: Any, rows: int) -> None:
    """Raise :class:`Internal` unless there is an answer for every row: else somebody would get another's."""
    if not hasattr(answers, "__len__") or isinstance(answers, str | bytes | dict) or len(answers) != rows:
        got = f"{len(answers)} answers" if hasattr(answers, "__len__") else f"a {type(answers).__name__}"
        raise Internal(
            f"the model returned {got} for {rows} rows",
            code="answer_count",
            hint="predict_batch must return a list with one answer for each row, in order",
        )


def refuse_bad_rows(item: Item, answers: Sequence[Any]) -> None:
    """Raise :class:`Invalid` naming each row of ``item`` that the model refused."""
    problems = []
    for index, answer in enumerate(answers):
        if isinstance(answer, InvalidInput):
            path = f"[{index}].{answer.field}" if item.many and answer.field else f"[{index}]" if item.many else ""
            problems.append(Problem(path=path or answer.field or "", rule="model", message=answer.message))
        elif isinstance(answer, BaseException):
            raise answer
    raise_problems(problems)


def as_error(error: BaseException) -> Error:
    """Return what a caller is told of ``error``, in texts that every wire takes: a bundle's may hold anything."""
    found = _as_error(error)
    found.message, found.hint, found.code = sendable(found.message), sendable(found.hint), sendable(found.code)
    found.problems = tuple(
        Problem(sendable(one.path), sendable(one.rule), sendable(one.message), sendable(one.hint), one.line)
        for one in found.problems
    )
    return found


def sendable(text: object) -> str:
    """Return ``text`` such that it has bytes in UTF-8: half a surrogate pair, as in names of files that are no UTF-8,
    is written out."""
    found = text if isinstance(text, str) else str(text)
    return found if found.isascii() else found.encode("utf-8", "backslashreplace").decode()


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as worse:  # noqa: BLE001 - the bundle's own code, which may fail in any way
        return f"and its text cannot be told ({type(worse).__name__})"


def _as_error(error: BaseException) -> Error:
    if isinstance(error, Error):
        return error
    if isinstance(error, InvalidInput):
        problem = Problem(path=error.field or "", rule="model", message=error.message)
        text = f"{error.field}: {error.message}" if error.field else error.message
        return Invalid(text, problems=(problem,))
    if isinstance(error, MemoryError):
        out = Internal(
            "the model failed: MemoryError: it needs more memory than memory_mb below [resources] lets it have",
            code="model_failed",
            hint="raise memory_mb in fairlead.toml, or take less at once; "
            "its log has the traceback: fairlead logs MODEL",
        )
        out.__cause__ = error
        return out
    found = Internal(
        f"the model failed: {type(error).__name__}: {without_folders(_said(error))}",
        code="model_failed",
        hint="its log has the traceback; fairlead logs MODEL shows it",
    )
    found.__cause__ = error
    return found


def timed_out() -> Unavailable:
    return Unavailable(
        "no answer within the time that the call allows",
        code="timed_out",
        hint="submit it as a job, or raise timeout_s in fairlead.toml",
        retry_after_s=1,
    )


def queue_full(waiting: int, drained_s: float) -> Busy:
    """Return the refusal of a call for which there is no room; ``drained_s``: until what waits is worked off."""
    wait_s = _retry_s(drained_s)
    return Busy(
        f"{waiting} calls wait already",
        code="queue_full",
        hint=f"try again in {wait_s:.0f} s, or submit a job: jobs wait as long as it takes",
        retry_after_s=wait_s,
    )


def overloaded(waiting: int, expected_s: float, left_s: float, drained_s: float) -> Busy:
    """Return the refusal of a call whose answer would come too late; it was not worked on."""
    wait_s, left = _retry_s(drained_s), f"{max(0.0, left_s):.3g} s are left"
    wait = "1 call waits" if waiting == 1 else f"{waiting} calls wait"
    return Busy(
        f"{wait} already: the answer would take some {expected_s:.3g} s, and {left}",
        code="overloaded",
        hint=f"try again in {wait_s:.0f} s, allow it more time, or submit a job: jobs wait as long as it takes",
        retry_after_s=wait_s,
    )


def _retry_s(drained_s: float) -> float:
    return min(_RETRY_MAX_S, max(1.0, math.ceil(drained_s)))


def canceled() -> Unavailable:
    return Unavailable("the call was canceled", code="canceled", hint="submit it again if it is still wanted")
