"""What happens to simulated devices of an app that is developed: by itself now and then, and when somebody wants it."""

from __future__ import annotations

from fairlead.messages import Measured
from fairlead.simulators.desk import Desk
from fairlead.simulators.world import SimulatedDevice
from fairlead.testing.clock import ManualClock

BUTTON = SimulatedDevice("button-1", "", events={"pressed": {"type": "boolean"}})
SENSOR = SimulatedDevice("t1", "", properties={"temperature": {"type": "number"}}, every_s=3600)


async def desk(clock: ManualClock, heard: list[Measured]) -> Desk:
    async def hear(measured: Measured) -> None:
        heard.append(measured)

    said: list[str] = []
    made = Desk(said.append, clock)
    made.follow((BUTTON, SENSOR))
    for device in ("button-1", "t1"):
        await made.subscribe(Measured, hear, device=device)
    return made


async def test_buttons_are_pressed_about_once_a_minute_the_same_each_time() -> None:
    runs = []
    for _ in range(2):
        clock, heard = ManualClock(), list[Measured]()
        made = await desk(clock, heard)
        for _ in range(360):
            await clock.advance(5)
            await made.pass_time(5)
        pressed = [measured for measured in heard if measured.property == "pressed"]
        assert 15 <= len(pressed) <= 60
        assert {measured.value for measured in pressed} == {b"true"}
        runs.append([measured.at for measured in pressed])
    assert runs[0] == runs[1]


async def test_what_somebody_wants_happens_at_once_and_is_no_last_value() -> None:
    clock, heard = ManualClock(), list[Measured]()
    made = await desk(clock, heard)
    await made.happen("button-1", "pressed", True)
    await made.happen("t1", "temperature", 40)
    assert [(each.device, each.property, each.value) for each in heard] == [
        ("button-1", "pressed", b"true"),
        ("t1", "temperature", b"40"),
    ]
    made.follow((SENSOR,))
    await clock.advance(600)
    await made.pass_time(600)
    assert [each.device for each in heard[2:]] == ["t1"], "who is not there any more says nothing"
