"""What the fields of a body are called on the command line: an error speaks of options, not of JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from fairlead.cli.api import Refused


@contextmanager
def told_as(options: Mapping[str, str]) -> Iterator[None]:
    """Have what is refused within name ``options`` (field of the body to option), whose parts follow: ``--set x``."""
    try:
        yield
    except Refused as error:
        error.problems = tuple(
            msgspec.structs.replace(one, path=called(one.path, options) or one.path) for one in error.problems
        )
        path, colon, rest = error.message.partition(": ")
        if colon and (option := called(path, options)):
            error.message = f"{option}: {rest}"
        raise


def called(path: str, options: Mapping[str, str]) -> str:
    """Return how the field at the dotted ``path`` is called, nothing where none of ``options`` holds it."""
    head, rest = path, ""
    while head not in options:
        head, dot, part = head.rpartition(".")
        if not dot:
            return ""
        rest = f"{part}.{rest}".rstrip(".")
    return " ".join(filter(None, (options[head], rest)))
