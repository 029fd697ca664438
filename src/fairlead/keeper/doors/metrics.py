"""Makes the families of ``/metrics`` from what the parts of a machine counted. Pure.

Labels are names of models, versions and programs and words of small closed sets; no ids, nothing that a caller chose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fairlead.exposition import Family, Sample, counter, gauge, histogram
from fairlead.figures import COLD, OUTCOMES, ROWS, SECONDS, Figures, Histogram
from fairlead.gateway import DURATIONS, DoorStats
from fairlead.keeper.serving.tally import Counted
from fairlead.messages import NodeReport

Labels = dict[str, str]
_TRITON_REASONS = {"invalid": "OTHER", "busy": "REJECTED", "unavailable": "REJECTED", "canceled": "CANCELED"}
_US = 1e6


def families(report: NodeReport, counted: Sequence[Counted], door: DoorStats | None, release: str) -> list[Family]:
    """Return what this machine knows; ``door`` is None while Envoy does not answer."""
    return [
        gauge("fairlead_build_info", "Release of the platform.", [Sample(1, {"version": release})]),
        gauge("fairlead_door_up", "Whether the front door answers.", [Sample(door is not None)]),
        *_door(door or DoorStats()),
        *_calls(counted),
        *_replicas(report, counted),
        *_machine(report),
        *_triton(report, counted),
    ]


def _door(door: DoorStats) -> list[Family]:
    seen = [
        (dict(zip(("model", "version"), name.split("@", 1), strict=True)), one)
        for name, one in sorted(door.versions.items(), key=lambda item: item[0])
    ]
    codes = [Sample(count, {**labels, "code": code}) for labels, one in seen for code, count in one.answered.items()]
    return [
        counter("fairlead_requests_total", "Requests to a version at the front door, by class of the status.", codes),
        histogram(
            "fairlead_request_duration_seconds",
            "From a request's arrival at the front door to the end of its answer, waking included.",
            DURATIONS,
            [(labels, one.duration) for labels, one in seen],
        ),
        counter(
            "fairlead_request_retries_total",
            "Requests that the front door sent to another replica.",
            [Sample(one.retried, labels) for labels, one in seen],
        ),
        counter(
            "fairlead_door_requests_total",
            "All requests at the front door, by class of the status.",
            [Sample(count, {"code": code}) for code, count in door.answered.items()],
        ),
        gauge("fairlead_door_connections", "Connections to the front door.", [Sample(door.connections)]),
    ]


def _calls(counted: Sequence[Counted]) -> list[Family]:
    outcomes = [
        Sample(count, {**one.labels, "outcome": outcome})
        for one in counted
        for outcome, count in (("success", one.tally.totals.served), *_refused(one.tally.totals))
    ]
    return [
        counter("fairlead_calls_total", "Calls that replicas ended, jobs included, by outcome.", outcomes),
        _seconds(counted, "call", "Calls that were answered, from the end of the body.", lambda made: made.duration),
        _seconds(counted, "queue", "Time that calls waited in a replica.", lambda made: made.queue),
        _seconds(counted, "compute", "Time in the model's code, of the whole batch.", lambda made: made.compute),
        histogram(
            "fairlead_batch_size",
            "Rows of the batches that the model's code was given.",
            ROWS,
            [(one.labels, one.tally.totals.batches) for one in counted],
        ),
    ]


def _refused(made: Figures) -> list[tuple[str, int]]:
    return list(zip(OUTCOMES, made.refused or (0,) * len(OUTCOMES), strict=True))


def _seconds(counted: Sequence[Counted], what: str, help: str, of: Callable[[Figures], Histogram]) -> Family:
    return histogram(
        f"fairlead_{what}_duration_seconds", help, SECONDS, [(one.labels, of(one.tally.totals)) for one in counted]
    )


def _replicas(report: NodeReport, counted: Sequence[Counted]) -> list[Family]:
    statuses: dict[tuple[str, str, str], int] = {}
    for one in report.replicas:
        key = (one.model, one.version, one.status.value)
        statuses[key] = statuses.get(key, 0) + 1
    in_flight = _of_replicas(report, lambda queued, in_flight: in_flight)
    return [
        gauge(
            "fairlead_replicas",
            "Replicas by status.",
            [Sample(count, {"model": m, "version": v, "status": s}) for (m, v, s), count in sorted(statuses.items())],
        ),
        gauge("fairlead_replicas_ejected", "Replicas that get hardly any calls.", _ejected(report, counted)),
        counter(
            "fairlead_ejections_total",
            "Replicas that were ejected, by cause.",
            [
                Sample(count, {**one.labels, "reason": cause})
                for one in counted
                for cause, count in sorted(one.tally.ejections.items())
            ],
        ),
        gauge("fairlead_pending_requests", "Calls that wait, those for waking included.", _pending(report, counted)),
        gauge("fairlead_in_flight_requests", "Calls that models work on.", _samples(counted, in_flight)),
        histogram(
            "fairlead_cold_start_seconds",
            "From the start of a replica until it was ready.",
            COLD,
            [(one.labels, one.tally.cold) for one in counted],
        ),
        counter(
            "fairlead_wakes_total",
            "Requests that found the version asleep.",
            [Sample(one.woken, one.labels) for one in counted],
        ),
        counter(
            "fairlead_restarts_total",
            "Replicas that were lost, by cause.",
            [
                Sample(count, {**one.labels, "reason": cause})
                for one in counted
                for cause, count in sorted(one.tally.restarts.items())
            ],
        ),
    ]


def _ejected(report: NodeReport, counted: Sequence[Counted]) -> list[Sample]:
    out = Counter((one.model, one.version) for one in report.replicas if one.ejected)
    return [Sample(out[one.model, one.version], one.labels) for one in counted]


def _of_replicas(report: NodeReport, value: Callable[[int, int], int]) -> Mapping[tuple[str, str], int]:
    """Return the sums of ``value`` of queued and in flight by version."""
    sums: dict[tuple[str, str], int] = {}
    for one in report.replicas:
        key = (one.model, one.version)
        sums[key] = sums.get(key, 0) + value(one.queued, one.in_flight)
    return sums


def _pending(report: NodeReport, counted: Sequence[Counted]) -> list[Sample]:
    queued = _of_replicas(report, lambda queued, in_flight: queued)
    return [Sample(queued.get((one.model, one.version), 0) + one.waiting, one.labels) for one in counted]


def _samples(counted: Sequence[Counted], values: Mapping[tuple[str, str], int]) -> list[Sample]:
    return [Sample(values.get((one.model, one.version), 0), one.labels) for one in counted]


def _machine(report: NodeReport) -> list[Family]:
    programs = report.programs
    return [
        gauge(
            "fairlead_program_up",
            "Whether a program of the platform runs.",
            [Sample(one.status == "running", {"program": one.name}) for one in programs],
        ),
        counter(
            "fairlead_program_restarts_total",
            "Starts of a program after it ended.",
            [Sample(one.restarts, {"program": one.name}) for one in programs],
        ),
        gauge(
            "fairlead_node_memory_bytes",
            "Memory of this machine.",
            [
                Sample(report.memory_total_mb * 1024**2, {"kind": "total"}),
                Sample(report.memory_used_mb * 1024**2, {"kind": "used"}),
            ],
        ),
        gauge("fairlead_node_load", "Load of this machine in the last minute.", [Sample(report.load)]),
        gauge("fairlead_jobs_in_hand", "Jobs that this machine holds or works on.", [Sample(len(report.jobs))]),
    ]


def _triton(report: NodeReport, counted: Sequence[Counted]) -> list[Family]:
    """The same under the names and in the units (microseconds) that dashboards for Triton look for."""
    made = [(one.labels, one.tally.totals) for one in counted]

    def of(name: str, help: str, value: Callable[[Figures], float]) -> Family:
        return counter(f"nv_inference_{name}", help, [Sample(value(total), labels) for labels, total in made])

    failures: list[Sample] = []
    for labels, total in made:
        reasons: dict[str, int] = {}
        for outcome, count in _refused(total):
            reason = _TRITON_REASONS.get(outcome, "BACKEND")
            reasons[reason] = reasons.get(reason, 0) + count
        failures += [Sample(count, {**labels, "reason": reason}) for reason, count in sorted(reasons.items())]
    return [
        of("request_success", "fairlead_calls_total of outcome success.", lambda f: f.served),
        counter("nv_inference_request_failure", "The other outcomes of fairlead_calls_total.", failures),
        of("count", "Rows that the model's code was given.", lambda f: f.batches.total),
        of("exec_count", "Batches that the model's code was given.", lambda f: f.batches.count),
        of("request_duration_us", "Time of answered calls.", lambda f: round(f.duration.total * _US)),
        of("queue_duration_us", "Time that calls waited.", lambda f: round(f.queue.total * _US)),
        of("compute_input_duration_us", "Time for reading inputs.", lambda f: round(f.input_s * _US)),
        of("compute_infer_duration_us", "Time in the model's code.", lambda f: round(f.compute.total * _US)),
        of("compute_output_duration_us", "Time for writing outputs.", lambda f: round(f.output_s * _US)),
        gauge("nv_inference_pending_request_count", "Calls that wait.", _pending(report, counted)),
    ]
