"""``fairlead predict`` of a model that answers in pieces."""

from __future__ import annotations

from collections.abc import Callable

from .conftest import Door

Said = tuple[int, str, str]
PREDICT = "POST /v1/models/m/predict"


def streams(door: Door, text: str) -> None:
    door.answers[PREDICT] = (200, text.encode(), "text/event-stream")


def test_texts_go_on_and_objects_are_lines(cli: Callable[..., Said], signed_in: Door) -> None:
    streams(signed_in, 'data: "Once "\n\n: alive\n\ndata: "upon"\n\nevent: done\ndata: {"pieces": 2}\n\n')
    assert cli("predict", "m") == (0, "Once upon\n", "")
    streams(signed_in, 'data: {"n": 1}\n\ndata: {"n": 2}\n\nevent: done\ndata: {"pieces": 2}\n\n')
    assert cli("predict", "m") == (0, '{"n": 1}\n{"n": 2}\n', "")


def test_a_stream_that_fails_or_is_cut_says_so(cli: Callable[..., Said], signed_in: Door) -> None:
    failed = '{"error": {"code": "model_failed", "message": "out of words", "hint": "see its log", "id": "req-1"}}'
    streams(signed_in, f'data: "Once"\n\nevent: error\ndata: {failed}\n\n')
    code, out, err = cli("predict", "m")
    assert (code, out) == (1, "Once\n")
    assert err == "error: out of words\n  hint: see its log (model_failed, req-1)\n"
    streams(signed_in, 'data: "Once"\n\n')
    code, out, err = cli("predict", "m")
    assert (code, out) == (1, "Once\n")
    assert "stream_cut" in err
