"""The platform's own log: in a file beside the terminal, and with all that a line tells."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import log
from fairlead.supervisor import logfile


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, with one handler that takes warnings and what is worse."""
    logger = logging.getLogger()
    level, handlers = logger.level, logger.handlers[:]
    logger.handlers[:] = []
    logger.setLevel(logging.WARNING)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


def test_a_kept_log_has_what_the_terminal_does_not_and_survives_rotation(root: logging.Logger, tmp_path: Path) -> None:
    said = io.StringIO()
    terminal = logging.StreamHandler(said)
    terminal.setFormatter(log.PlainFormatter())
    root.addHandler(terminal)
    path = tmp_path / "keeper.log"

    with log.kept(path):
        logging.getLogger("keeper").info("adopted replica", extra={"replica": "r-1"})
        logging.getLogger("keeper").warning("killing replica", extra={"replica": "r-2", "reason": "frozen"})
        assert logfile.rotate(path, limit_bytes=path.stat().st_size - 1)
        logging.getLogger("keeper").info("after")
    logging.getLogger("keeper").info("not there")

    older = [json.loads(line) for line in path.with_name("keeper.log.1").read_text().splitlines()]
    assert [(line["said"], line["replica"]) for line in older] == [
        ("adopted replica", "r-1"),
        ("killing replica", "r-2"),
    ]
    assert logfile.said(path) == ("after",)
    assert said.getvalue().splitlines()[0].endswith("killing replica replica=r-2 reason=frozen")
    assert said.getvalue().count("\n") == 1
