"""The sentence and the chain of why."""

from datetime import UTC, datetime

import pytest

from fairlead.logs import why
from fairlead.logs.why import Link, Order

AT = datetime(2026, 11, 20, 0, 0, 5, tzinfo=UTC)


def order(**more: object) -> Order:
    fields = {
        "id": "cmd-1",
        "device": "fan-1",
        "values": {"on": "true"},
        "status": "observed",
        "reason": "",
        "tier": "app",
        "at": AT,
        "app": "cool",
        **more,
    }
    return Order(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (order(), "cool switched fan-1 on."),
        (order(values={"on": "false"}, app=None, user="ada"), "ada switched fan-1 off."),
        (order(values={"target": "22", "mode": '"cool"'}), 'cool set fan-1.target = 22, fan-1.mode = "cool".'),
        (order(status="accepted"), "cool wants to switch fan-1 on."),
        (order(status="failed", reason="offline: it is off"), "cool tried to switch fan-1 on (offline: it is off)."),
        (
            order(tier="default", app=None, because=("nobody holds it",)),
            "The platform switched fan-1 on: nobody holds it.",
        ),
        (order(values={}), "cool asked fan-1 for fresh values."),
    ],
)
def test_the_sentence(told: Order, answer: str) -> None:
    assert why.of_command("fan-1.on", AT, told, (), ()).answer == answer


def test_a_time_of_day_is_the_last_one_before() -> None:
    link = why.because("reading t1.temperature 27.4 °C at 23:59:58Z", AT)

    assert link == Link(datetime(2026, 11, 19, 23, 59, 58, tzinfo=UTC), "reading", "t1.temperature", "27.4 °C")


@pytest.mark.parametrize("text", ["because I say so", "reading", "reading x", "reading t1.x 3 at noon", ""])
def test_free_words_are_kept(text: str) -> None:
    assert why.because(text, AT).at == AT


def test_a_prediction_is_told_as_its_model_answered() -> None:
    told = order(because=('prediction comfort@1.0.0 req-123: {"hot": true, "why": "33 at noon"}',))

    answer = why.of_command("fan-1.on", AT, told, (), ()).answer

    assert answer == 'cool switched fan-1 on: comfort@1.0.0 answered {"hot": true, "why": "33 at noon"}.'


@pytest.mark.parametrize(
    ("link", "answer"),
    [
        (Link(AT, "alias", "flowers@production", "3 → 4"), "flowers@production names 4; it named 3 before."),
        (Link(AT, "alias", "flowers@production", "→ 4"), "flowers@production names 4."),
        (Link(AT, "alias", "flowers@staging", "removed"), "flowers@staging was removed."),
        (Link(AT, "version", "flowers@4", "ready: it answers", "ready"), "flowers@4 is ready: it answers."),
        (Link(AT, "job", "job-1", "failed: no", "failed"), "job-1 has failed: no."),
        (Link(AT, "command", "cmd-1", "sent", "sent"), "cmd-1 is sent."),
        (Link(AT, "schedule", "sch-1", "paused by ada"), "x: paused by ada."),
    ],
)
def test_a_life_is_told_in_a_whole_sentence(link: Link, answer: str) -> None:
    assert why.of_events("x", AT, (link,)).answer == answer


def test_nothing_known_is_said() -> None:
    assert why.of_events("x", AT, ()).answer == f"Nothing was known of x by {AT:%Y-%m-%d %H:%M:%SZ}."
