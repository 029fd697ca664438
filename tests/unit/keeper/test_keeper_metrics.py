"""What /metrics says of a machine: every name once, small closed sets of labels, Triton's names with their units."""

from __future__ import annotations

import re

from fairlead.exposition import Family, text
from fairlead.figures import COLD, ROWS, SECONDS, Figures, Histogram, observed
from fairlead.gateway import DoorStats, VersionTraffic
from fairlead.keeper.doors.metrics import families
from fairlead.keeper.serving.tally import Counted, Tally
from fairlead.messages import NodeReport, ProgramReport, ReplicaReport
from fairlead.status import ReplicaStatus

LINE = re.compile(r'[a-z_:][a-z0-9_:]*(\{([a-z_]+="[^"\\\n]*",?)+\})? -?[0-9.e+-]+|.*\+Inf.*')


def tally() -> Tally:
    made = Tally()
    figures = Figures(
        served=4,
        refused=(2, 1, 0, 0, 3),
        duration=observed(Histogram(), SECONDS, 0.5),
        queue=observed(Histogram(), SECONDS, 0.1),
        compute=observed(Histogram(), SECONDS, 0.3),
        batches=observed(Histogram(), ROWS, 4),
        input_s=0.02,
    )
    made.heard("m-1", figures, adopted=False)
    made.started(0.7)
    made.lost("frozen: no sign of life for 7 s")
    made.ejected("slow")
    return made


def said(door: DoorStats | None = None) -> dict[str, str]:
    replicas = (
        ReplicaReport("m-1", "m", "1.2.0", ReplicaStatus.READY, in_flight=2, queued=3),
        ReplicaReport("m-2", "m", "1.2.0", ReplicaStatus.STARTING),
        ReplicaReport("m-3", "m", "1.2.0", ReplicaStatus.READY, ejected="510 ms a call, the others take 51 ms"),
    )
    programs = (ProgramReport("envoy", "running", restarts=1), ProgramReport("bus", "waiting"))
    report = NodeReport("local", 1, "", replicas=replicas, programs=programs, memory_total_mb=2, jobs={"job-1": 1})
    found = families(report, [Counted("m", "1.2.0", tally(), waiting=4, woken=5)], door, "0.1.0")
    check(found)
    lines = [line.rpartition(" ") for line in text(found).splitlines() if not line.startswith("#")]
    return {name: value for name, _, value in lines}


def check(found: list[Family]) -> None:
    """Hold the text against the format, and the names against the habits of the field."""
    names = [family.name for family in found]
    assert len(names) == len(set(names))
    assert all(LINE.fullmatch(line) for line in text(found).splitlines() if not line.startswith("#"))
    for family in found:
        assert family.help.endswith(".")
        assert (family.kind == "counter") == family.name.endswith("_total") or family.name.startswith("nv_")


def test_calls_are_told_by_outcome_and_with_their_time() -> None:
    found = said()

    version = 'model="m",version="1.2.0"'
    assert found[f'fairlead_calls_total{{{version},outcome="success"}}'] == "4"
    assert found[f'fairlead_calls_total{{{version},outcome="failed"}}'] == "3"
    assert found[f'fairlead_compute_duration_seconds_bucket{{{version},le="0.5"}}'] == "1"
    assert found[f"fairlead_queue_duration_seconds_sum{{{version}}}"] == "0.1"
    assert found[f'fairlead_batch_size_bucket{{{version},le="4"}}'] == "1"


def test_replicas_cold_starts_and_losses_are_told() -> None:
    found = said()

    version = 'model="m",version="1.2.0"'
    assert found[f'fairlead_replicas{{{version},status="ready"}}'] == "2"
    assert found[f"fairlead_replicas_ejected{{{version}}}"] == "1"
    assert found[f'fairlead_ejections_total{{{version},reason="slow"}}'] == "1"
    assert found[f"fairlead_pending_requests{{{version}}}"] == "7"
    assert found[f"fairlead_in_flight_requests{{{version}}}"] == "2"
    assert found[f'fairlead_cold_start_seconds_bucket{{{version},le="{COLD[4]:g}"}}'] == "1"
    assert found[f'fairlead_restarts_total{{{version},reason="frozen"}}'] == "1"
    assert found[f"fairlead_wakes_total{{{version}}}"] == "5"
    assert found['fairlead_program_up{program="bus"}'] == "0"
    assert found["fairlead_jobs_in_hand"] == "1"


def test_tritons_names_have_tritons_units() -> None:
    found = said()

    version = '{model="m",version="1.2.0"}'
    assert found[f"nv_inference_request_success{version}"] == "4"
    assert found[f"nv_inference_count{version}"] == "4"
    assert found[f"nv_inference_exec_count{version}"] == "1"
    assert found[f"nv_inference_request_duration_us{version}"] == "500000"
    assert found[f"nv_inference_compute_infer_duration_us{version}"] == "300000"
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert sum(int(found[f"nv_inference_{part}_duration_us{version}"]) for part in parts) == 500000
    assert found['nv_inference_request_failure{model="m",version="1.2.0",reason="REJECTED"}'] == "1"
    assert found['nv_inference_request_failure{model="m",version="1.2.0",reason="BACKEND"}'] == "3"


def test_the_front_door_is_told_by_class_of_status() -> None:
    traffic = VersionTraffic(answered={"2xx": 7, "5xx": 1}, retried=2, duration=Histogram((8, *[0] * 17), 0.008))
    door = DoorStats(versions={"m@1.2.0": traffic}, connections=3, answered={"2xx": 9})

    found = said(door)

    assert found['fairlead_requests_total{model="m",version="1.2.0",code="5xx"}'] == "1"
    assert found['fairlead_request_duration_seconds_count{model="m",version="1.2.0"}'] == "8"
    assert found['fairlead_door_requests_total{code="2xx"}'] == "9"
    assert found["fairlead_door_up"] == "1"
    assert said()["fairlead_door_up"] == "0"
