"""What takes the place of a device that is gone while a run goes on."""

from fairlead.apps.binding import Candidate, Role, Taken
from fairlead.apps.rebinding import NoSpare, Swap, replace

LAB = "campus/lab"
LAMP = Role("lamp", "lamp")


def lamp(name: str, at: str = LAB, *, major: int = 1, controls: bool = True, kind: str = "lamp") -> Candidate:
    return Candidate(name, kind, major, at, controls)


def outcome(*devices: Candidate, role: Role = LAMP, bound: tuple[str, ...] = ("lamp-1",), **more: object) -> object:
    known = [lamp("lamp-1"), *devices]
    given = {"gone": {"lamp-1"}, "there": {device.id for device in devices}, **more}
    taken = given.pop("taken", {})
    (found,) = replace([role], LAB, {role.name: bound}, known, taken, **given)  # type: ignore[arg-type]
    return found


def test_the_first_spare_of_the_place_takes_its_place() -> None:
    devices = [lamp("lamp-0", f"{LAB}/window"), lamp("lamp-3"), lamp("lamp-2"), lamp("fan-1", kind="fan")]

    assert outcome(*devices) == Swap("lamp", "lamp-1", "lamp-2")


def test_what_is_elsewhere_offline_taken_or_another_major_is_no_spare() -> None:
    nothing = NoSpare("lamp", "lamp-1", "no other lamp is free and online at campus/lab")

    assert outcome() == nothing
    assert outcome(lamp("lamp-2", "campus/hall")) == nothing
    assert outcome(lamp("lamp-2"), there=()) == nothing
    assert outcome(lamp("lamp-2"), taken={"lamp-2": [Taken("run-2", False)]}) == nothing
    assert outcome(lamp("lamp-2", major=2)) == nothing


def test_a_device_that_a_schedule_named_is_not_replaced() -> None:
    found = outcome(lamp("lamp-2"), fixed=("lamp",))

    assert found == NoSpare("lamp", "lamp-1", "its schedule names this device (--bind)")


def test_a_role_does_not_get_a_device_twice_and_two_that_are_gone_get_two() -> None:
    lamps = Role("lamp", "lamp", least=2, most=2)
    known = [lamp(f"lamp-{number}") for number in (1, 2, 3, 4)]

    found = replace(
        [lamps], LAB, {"lamp": ("lamp-1", "lamp-2")}, known, {}, gone={"lamp-1"}, there={"lamp-2", "lamp-3"}
    )
    both = replace(
        [lamps], LAB, {"lamp": ("lamp-1", "lamp-2")}, known, {}, gone={"lamp-1", "lamp-2"}, there={"lamp-3", "lamp-4"}
    )

    assert found == (Swap("lamp", "lamp-1", "lamp-3"),)
    assert both == (Swap("lamp", "lamp-1", "lamp-3"), Swap("lamp", "lamp-2", "lamp-4"))


def test_what_another_role_of_the_app_keeps_is_no_spare_unless_both_share() -> None:
    one, other = Role("one", "lamp"), Role("other", "lamp")
    bound = {"one": ("lamp-1",), "other": ("lamp-2",)}
    known = [lamp("lamp-1"), lamp("lamp-2")]

    (kept,) = replace([one, other], LAB, bound, known, {}, gone={"lamp-1"}, there={"lamp-2"})
    shared = [Role("one", "lamp", shared=True), Role("other", "lamp", shared=True)]
    (swapped,) = replace(shared, LAB, bound, known, {}, gone={"lamp-1"}, there={"lamp-2"})

    assert isinstance(kept, NoSpare)
    assert swapped == Swap("one", "lamp-1", "lamp-2")


def test_sensors_may_be_shared_with_other_runs() -> None:
    spare = lamp("lamp-2", controls=False)

    assert outcome(spare, taken={"lamp-2": [Taken("run-2", False)]}) == Swap("lamp", "lamp-1", "lamp-2")
