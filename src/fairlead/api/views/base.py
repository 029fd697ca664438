"""What all views share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from fairlead.clock import to_text

T = TypeVar("T")


class View(BaseModel):
    """A thing as the API shows it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Body(BaseModel):
    """What a caller sends; a key that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Page(View, Generic[T]):
    """A list; ``next`` is passed as ``before`` to get on."""

    items: list[T]
    next: str | None = None


def page(items: Iterable[T], next: str | None = None) -> Page[T]:
    """Return a list of views as the API shows it."""
    return Page(items=list(items), next=next)


def moment(value: datetime | None) -> str | None:
    """Return a moment as RFC 3339 in UTC."""
    return None if value is None else to_text(value)


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    path: str
    rule: str
    message: str
    hint: str = ""
    line: int | None = None


class Said(BaseModel):
    """What was refused, why, and what to do about it."""

    code: str
    message: str
    hint: str = ""
    id: str | None = None
    problems: list[Fault] = []


class Refusal(BaseModel):
    """The body of every answer of status 400 and above."""

    error: Said


class InferenceRefusal(BaseModel):
    """The body of every refusal of the Open Inference Protocol."""

    error: str
