"""What simulated devices are made to say, ``DEVICE[.EVENT][=VALUE]``: by option, or typed while an app is served."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fairlead.cli.calling import as_value

_BLOCK_BYTES = 4096
_LINE_MAX = 64 * 1024


def parse(text: str) -> tuple[str, str | None, Any]:
    """Return device, event and value of ``DEVICE[.EVENT][=VALUE]``, None for what is left out.

    The value is JSON, else text.
    """
    named, sign, said = text.strip().partition("=")
    device, _, event = named.strip().partition(".")
    return device, event or None, as_value(said.strip()) if sign else None


@contextmanager
def typed(take: Callable[[str], None]) -> Iterator[None]:
    """Have ``take`` called with each line that is typed, or piped in, within the block.

    A program in the background of a terminal does not listen: the kernel would stop it (SIGTTIN, tty_ioctl(4)).
    """
    import asyncio

    loop, decoder = asyncio.get_running_loop(), codecs.getincrementaldecoder("utf-8")("replace")
    number, rest = _number(), ""

    def read() -> None:
        nonlocal rest
        data = os.read(number, _BLOCK_BYTES) if _is_ours(number) else b""
        *lines, rest = (rest + decoder.decode(data)).split("\n")
        for line in filter(None, map(str.strip, lines)):
            take(line)
        if not data or len(rest) > _LINE_MAX:
            loop.remove_reader(number)

    try:
        if number >= 0:
            loop.add_reader(number, read)
    except PermissionError:  # a file, or /dev/null: nothing is waited for there
        number = -1
    try:
        yield
    finally:
        if number >= 0:
            loop.remove_reader(number)


def _number() -> int:
    """Return the descriptor of what is typed, -1 where there is none."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, ValueError, OSError):
        return -1


def _is_ours(number: int) -> bool:
    return not os.isatty(number) or os.tcgetpgrp(number) == os.getpgrp()
