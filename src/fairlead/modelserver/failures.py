"""What a caller is told where a model does not answer as it should. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairlead.errors import Error, Internal, Invalid, Problem, Unavailable, without_folders
from fairlead.modelserver.load import Item
from fairlead.sdk.inputs import raise_problems
from fairlead.sdk.model import InvalidInput


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
    """Return what a caller is told of ``error``."""
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
            hint="raise memory_mb in fairlead.toml, or take less at once; its log has the traceback: fairlead logs MODEL",
        )
        out.__cause__ = error
        return out
    found = Internal(
        f"the model failed: {type(error).__name__}: {without_folders(str(error))}",
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


def canceled() -> Unavailable:
    return Unavailable("the call was canceled", code="canceled", hint="submit it again if it is still wanted")
