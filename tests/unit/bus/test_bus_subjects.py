"""Which subject carries what, and who may use it."""

from __future__ import annotations

import pytest

from fairlead.bus import subjects
from fairlead.errors import Invalid
from fairlead.messages import CommandAsk, JobMoved, JobOrder, Measured, NodeReport, NodeWanted


def test_messages_name_their_subject() -> None:
    order = JobOrder(job="job-1", epoch=1, model="m", version="1")
    assert subjects.of(NodeWanted(node="b", generation=1)) == "fl.node.b.wanted"
    assert subjects.of(order, node="b") == "fl.node.b.job"
    assert subjects.of(NodeReport(node="b", generation=1, at="")) == "fl.report.b"
    assert subjects.of(JobMoved(job="job-1", epoch=1, step=1)) == "fl.moved"
    assert subjects.of(Measured(device="t1", property="x", at="")) == "fl.measured.t1"
    assert subjects.of(CommandAsk(run="run-1", role="fan", device="fan-1", set={})) == "fl.ask.CommandAsk"


def test_subscriptions_are_narrow_or_wide() -> None:
    assert subjects.every(JobOrder, node="b") == "fl.node.b.job"
    assert subjects.every(NodeReport) == "fl.report.*"
    assert subjects.every(Measured, device="t1") == "fl.measured.t1"


@pytest.mark.parametrize("name", ["*", ">", "a.b", "", "#", "A", "a b", "x" * 64])
def test_a_name_can_never_become_a_wildcard(name: str) -> None:
    with pytest.raises(Invalid):
        subjects.of(NodeWanted(node=name, generation=1))
    if name:
        with pytest.raises(Invalid):
            subjects.every(NodeReport, node=name)
    for ask in (subjects.device_permissions, subjects.keeper_permissions):
        with pytest.raises(Invalid):
            ask(name)


def test_topics_are_subjects_and_back() -> None:
    assert subjects.device("t1", "state/temperature") == "dev.t1.state.temperature"
    assert subjects.device_and_tail("dev.t1.state.temperature") == ("t1", "state/temperature")
    assert subjects.is_from_platform("cmd")
    assert not subjects.is_from_platform("cmd/ack")


def test_a_device_may_do_what_the_contract_says_and_nothing_else() -> None:
    may = subjects.device_permissions("t1")
    assert may.publish == ("dev.t1.>",)
    assert set(may.subscribe) == set(may.publish_not) == {"dev.t1.cmd", "dev.t1.error"}
