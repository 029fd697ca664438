"""The caller's mistakes, as a model's code and the files it is given tell of them."""

from __future__ import annotations


class InvalidInput(Exception):
    """The caller's input is wrong; answered 422 and never retried."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Unreadable(InvalidInput, ValueError):
    """A file that a caller sent is not what it should be."""
