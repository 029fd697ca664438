"""Which devices an app gets, and why not."""

import msgspec

from fairlead.apps.binding import AWAY, STALE, Candidate, Role, Taken, bind


def device(name: str, at: str = "campus/lab", kind: str = "fan", *, major: int = 1, controls: bool = True) -> Candidate:
    return Candidate(name, kind, major, at, controls)


LAB = "campus/lab"
FAN = Role("fan", "fan")


def test_the_place_itself_comes_first_then_what_lies_below_in_order_of_ids() -> None:
    devices = [device("fan-1", "campus/lab/window"), device("fan-3"), device("fan-2"), device("fan-0", "campus/hall")]

    assert bind([FAN], LAB, devices, {}, {}).roles == {"fan": ("fan-2",)}
    assert bind([Role("fan", "fan", most=None)], LAB, devices, {}, {}).roles == {"fan": ("fan-2", "fan-3", "fan-1")}


def test_a_place_whose_name_begins_alike_is_another() -> None:
    assert bind([FAN], "campus/lab", [device("fan-1", "campus/lab-2")], {}, {}).problems


def test_a_missing_device_says_how_to_add_one() -> None:
    (problem,) = bind([FAN], LAB, [], {}, {}).problems

    assert problem.message == "fan needs 1 fan at campus/lab; there is none"
    assert problem.hint == "fairlead devices add ID --type fan --at campus/lab"


def test_a_controller_is_one_runs_alone() -> None:
    taken = {"fan-1": [Taken("run-1", False, "17:00")]}

    (problem,) = bind([FAN], LAB, [device("fan-1")], taken, {}).problems

    assert problem.message == "fan needs 1 fan at campus/lab; of 1, 1 is held: fan-1 by run-1 until 17:00"


def test_the_reason_why_not_names_what_is_held_and_nothing_else() -> None:
    lamps = Role("lamps", "lamp", least=2, most=2)
    devices = [device(f"lamp-{number}", kind="lamp") for number in (1, 2)]

    (problem,) = bind([lamps], LAB, [*devices, device("fan-1")], {"lamp-1": [Taken("run-1", False)]}, {}).problems

    assert problem.message == ("lamps needs 2 lamp at campus/lab; of 2, 1 is held: lamp-1 by run-1 until it is stopped")


def test_sharing_needs_both() -> None:
    shared = Role("fan", "fan", shared=True)

    assert bind([shared], LAB, [device("fan-1")], {"fan-1": [Taken("run-1", False)]}, {}).problems
    assert bind([shared], LAB, [device("fan-1")], {"fan-1": [Taken("run-1", True)]}, {}).roles == {"fan": ("fan-1",)}


def test_sensors_are_always_shared() -> None:
    roles = [Role("warm", "fan"), Role("again", "fan")]
    devices = [device("t1", controls=False)]

    assert bind(roles, LAB, devices, {"t1": [Taken("run-1", False)]}, {}).roles == {"warm": ("t1",), "again": ("t1",)}


def test_safety_takes_from_none_and_is_kept_from_none() -> None:
    assert bind([Role("fan", "fan", tier="safety")], LAB, [device("fan-1")], {"fan-1": [Taken("r", False)]}, {}).roles


def test_every_role_gets_its_least_before_any_gets_more() -> None:
    roles = [Role("many", "fan", most=None), Role("one", "fan")]

    assert bind(roles, LAB, [device("fan-1"), device("fan-2"), device("fan-3")], {}, {}).roles == {
        "many": ("fan-1", "fan-3"),
        "one": ("fan-2",),
    }


def test_an_optional_role_may_stay_empty() -> None:
    assert bind([Role("fan", "fan", least=0)], LAB, [], {}, {}) == bind(
        [Role("fan", "fan", least=0, most=2)], LAB, [], {}, {}
    )


def test_a_roles_devices_are_of_one_major_the_newest_that_suffices() -> None:
    devices = [device("fan-1"), device("fan-2", major=2), device("fan-3", major=1)]

    assert bind([FAN], LAB, devices, {}, {}).roles == {"fan": ("fan-2",)}
    assert bind([Role("fan", "fan", least=2, most=2)], LAB, devices, {}, {}).roles == {"fan": ("fan-1", "fan-3")}
    assert bind([Role("fan", "fan", major=1)], LAB, devices, {}, {}).roles == {"fan": ("fan-1",)}


def test_a_wish_is_held_against_the_role() -> None:
    devices = [device("fan-1"), device("lamp-1", kind="lamp")]
    taken = {"fan-1": [Taken("run-1", False)]}

    problems = bind([FAN], LAB, devices, taken, {"fan": ["lamp-1", "ghost", "fan-1"], "lamp": ["x"]}).problems

    assert {problem.rule for problem in problems} == {
        "unknown_role",
        "count",
        "type",
        "device_not_found",
        "device_taken",
    }


def test_a_wish_may_reach_beyond_the_place() -> None:
    assert bind([FAN], LAB, [device("fan-9", "moon")], {}, {"fan": ["fan-9"]}).roles == {"fan": ("fan-9",)}


def away(name: str, how: int = AWAY, at: str = LAB, **more: object) -> Candidate:
    return msgspec.structs.replace(device(name, at, **more), away=how)  # type: ignore[arg-type]


def test_what_is_online_goes_before_what_is_stale_and_that_before_what_is_away() -> None:
    devices = [away("fan-1"), away("fan-2", STALE), device("fan-3", "campus/lab/window")]

    assert bind([FAN], LAB, devices, {}, {}).roles == {"fan": ("fan-3",)}
    assert bind([FAN], LAB, devices[:2], {}, {}).roles == {"fan": ("fan-2",)}
    assert bind([FAN], LAB, devices[:1], {}, {}).roles == {"fan": ("fan-1",)}, "it may come back"
    assert bind([Role("fan", "fan", most=None)], LAB, devices, {}, {}).roles == {"fan": ("fan-1", "fan-2", "fan-3")}
    assert bind([FAN], LAB, devices, {}, {"fan": ["fan-1"]}).roles == {"fan": ("fan-1",)}, "a schedule named it"


def test_a_newer_major_that_is_away_gives_way_to_one_that_is_there() -> None:
    assert bind([FAN], LAB, [away("fan-1", major=2), device("fan-2")], {}, {}).roles == {"fan": ("fan-2",)}


def test_two_roles_share_a_sensor_that_is_there_before_one_takes_another_that_is_away() -> None:
    devices = [device("t1", controls=False), away("t2", controls=False)]
    roles = [Role("warm", "fan"), Role("again", "fan")]

    assert bind(roles, LAB, devices, {}, {}).roles == {"warm": ("t1",), "again": ("t1",)}
