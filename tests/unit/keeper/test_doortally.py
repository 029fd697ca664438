"""The front door's figures only grow, whatever Envoy forgets when replicas change."""

from __future__ import annotations

from fairlead.figures import Histogram
from fairlead.gateway import DoorStats, VersionTraffic
from fairlead.keeper.doors.doortally import RETIRED_MAX, DoorTally

SERVED = ("m@1",)


def seen(**answered: int) -> DoorStats:
    codes = {f"{name[1:]}xx": count for name, count in answered.items()}
    count = sum(codes.values())
    duration = Histogram((count,), count / 100) if count else Histogram()
    return DoorStats(versions={"m@1": VersionTraffic(total=count, answered=codes, duration=duration)})


def answered(stats: DoorStats) -> dict[str, int]:
    return dict(stats.versions["m@1"].answered)


def test_what_envoy_forgets_stays() -> None:
    tally = DoorTally()
    tally.take(seen(), SERVED)
    tally.take(seen(c2=5, c5=1), SERVED)
    tally.take(seen(), SERVED)  # its replicas changed

    found = tally.take(seen(c2=2), SERVED)

    assert answered(found) == {"2xx": 7, "5xx": 1}
    assert found.versions["m@1"].duration.count == 8
    assert round(found.versions["m@1"].duration.total, 6) == 0.08


def test_what_an_earlier_keeper_saw_is_not_new() -> None:
    tally = DoorTally()
    tally.take(seen(c2=100), SERVED)

    assert answered(tally.take(seen(c2=103), SERVED)) == {"2xx": 3}


def test_r3_a_version_that_is_gone_is_not_shown_and_goes_on_from_there_when_it_comes_back() -> None:
    tally = DoorTally()
    tally.take(seen(), SERVED)
    tally.take(seen(c2=5), SERVED)
    tally.take(DoorStats(), ())

    assert tally.take(DoorStats(), ()).versions == {}
    assert answered(tally.take(DoorStats(), SERVED)) == {"2xx": 5}
    tally.take(DoorStats(), ())
    assert answered(tally.take(seen(c2=1), SERVED)) == {"2xx": 6}


def test_of_versions_that_are_gone_only_so_many_are_kept() -> None:
    tally = DoorTally()
    for number in range(RETIRED_MAX + 5):
        name = f"m@{number}"
        tally.take(DoorStats(), (name,))
        tally.take(DoorStats(versions={name: VersionTraffic(answered={"2xx": 1})}), (name,))
    tally.take(DoorStats(), ())
    everything = {f"m@{number}" for number in range(RETIRED_MAX + 5)}
    assert len(tally.take(DoorStats(), everything).versions) == RETIRED_MAX


def test_what_was_counted_stays_while_envoy_does_not_name_the_version() -> None:
    tally = DoorTally()
    tally.take(DoorStats(), SERVED)
    tally.take(seen(c2=5), SERVED)

    assert answered(tally.take(DoorStats(), SERVED)) == {"2xx": 5}
    assert answered(tally.take(seen(c2=1), SERVED)) == {"2xx": 6}
