"""What the command line prints steers no terminal, whatever people, devices and bundles wrote."""

import json

import pytest

from fairlead.cli import terminal
from fairlead.log import STEERING

FORGED = "one\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\x9b31m\x00\x08\u2028\r two\t\n"


def test_s72_nothing_that_is_printed_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.result(FORGED)
    terminal.note(FORGED)
    terminal.step(FORGED)
    terminal.piece(FORGED)
    terminal.table([{"title": FORGED, "tags": [FORGED]}], ["title", "tags"])
    terminal.error(FORGED, hint=FORGED, code="x")
    said = "".join(capsys.readouterr())

    assert not STEERING.search(said)
    assert said.count("\\x1b]0;owned") == 8


def test_s72_json_stays_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.use_json(True)
    try:
        terminal.result("", {"title": FORGED})
        terminal.table([{"title": FORGED}], ["title"])
    finally:
        terminal.use_json(False)
    first, second = capsys.readouterr().out.splitlines()

    assert not STEERING.search(first + second)
    assert json.loads(first)["title"] == json.loads(second)["items"][0]["title"] == FORGED
