"""When control hears at once of a version's work."""

from fairlead.keeper.serving.pressure import KEPT_S, Pressure


def test_what_waits_is_told_whenever_it_has_doubled() -> None:
    pressure = Pressure()

    told = [waiting for waiting in range(33) if pressure.rises(waiting, 1, None, now=waiting / 100)]

    assert told == [4, 8, 16, 32]


def test_it_is_counted_for_each_replica() -> None:
    assert not Pressure().rises(15, 4, None, now=0)
    assert Pressure().rises(16, 4, None, now=0)


def test_what_wavers_is_told_once_in_a_while() -> None:
    pressure = Pressure()

    told = [tick / 10 for tick in range(50) if pressure.rises(7 + tick % 2, 1, None, now=tick / 10)]

    assert 2 <= len(told) <= 2 * (1 + 5 / KEPT_S)


def test_the_first_cost_and_one_that_doubles_are_told() -> None:
    pressure = Pressure()

    told = [cost for cost in (None, 0.001, 0.0015, 0.05, 0.06, 0.04) if pressure.rises(0, 1, cost, now=0)]

    assert told == [0.001, 0.05]
