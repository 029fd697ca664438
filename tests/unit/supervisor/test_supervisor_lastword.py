import json
import logging

import pytest

from fairlead.errors import Conflict, Unavailable
from fairlead.log import JsonFormatter
from fairlead.supervisor import lastword


@pytest.mark.parametrize(("error", "code"), [(Conflict, 78), (Unavailable, 1)])
def test_what_was_spoken_is_heard(caplog: pytest.LogCaptureFixture, error: type, code: int) -> None:
    with caplog.at_level(logging.ERROR):
        spoken = lastword.speak(logging.getLogger("t"), error("no 100 %", code="why_not", hint="do that"))
    line = JsonFormatter().format(caplog.records[0])
    heard = lastword.heard(["before", line])
    assert (spoken, type(heard)) == (code, error)
    assert heard is not None
    assert (heard.message, heard.code, heard.hint) == ("no 100 %", "why_not", "do that")


@pytest.mark.parametrize("line", ["", "Traceback", json.dumps({"said": "hello"}), json.dumps([1])])
def test_other_lines_are_no_last_word(line: str) -> None:
    assert lastword.heard([line]) is None
    assert lastword.heard([]) is None
