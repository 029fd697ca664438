"""Switches fan, air conditioner and lamps by temperature and light, unless somebody did on the page."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from page import Page
from rules import cools, lights

import fairlead

HANDS = "hands"
SENSORS = {"thermometer": "temperature", "light": "light"}
COLDEST_C, WARMEST_C = 16, 30
"""What an air conditioner can be set to."""
SWITCHED = ("fan", "air_conditioners", "lamps")


@dataclass
class Hand:
    """What somebody switched on the page, and until when it counts."""

    on: bool
    by: str
    until: datetime


@dataclass
class House:
    """What the app knows of its devices, by id."""

    hands: dict[str, Hand] = field(default_factory=dict)
    told: dict[str, fairlead.Command] = field(default_factory=dict)
    """What became of the last command to each."""
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)
    """What each role should be by the rules, and why."""

    def is_on(self, role: str) -> bool:
        """Whether the devices of a role should be on by the rules."""
        return role in self.rules and self.rules[role][0]["on"]


async def view(user: str) -> dict[str, Any]:
    """Return what the page shows."""
    sensors = [
        {"id": one.device, "title": name, "value": one.value, "stale": one.stale}
        for role, name in SENSORS.items()
        for one in (await app.devices(role)[name].get() if app.devices(role) else ())
    ]
    on = {one.device: one.value for role in SWITCHED if app.devices(role) for one in await app.devices(role).on.get()}
    now = app.clock.now()
    switches = []
    for role in SWITCHED:
        for device in app.devices(role).id:
            hand, command = house.hands.get(device), house.told.get(device)
            left_min = round((hand.until - now).total_seconds() / 60) if hand else 0
            by = (
                f"switched by {hand.by}, for {left_min} min more"
                if hand
                else house.rules[role][1]
                if role in house.rules
                else ""
            )
            problem = "" if command is None or command.ok else command.reason or command.status
            switches.append(
                {"id": device, "role": role, "on": on.get(device), "by": by, "hand": bool(hand), "problem": problem}
            )
    return {"user": user, "place": app.run.place, "sensors": sensors, "switches": switches}


async def switch(user: str, given: Any) -> None:
    """Switch a device by hand, or (``on`` null) have the rules count again; raises :class:`ValueError`."""
    device, on = (given.get("device"), given.get("on")) if isinstance(given, dict) else (None, None)
    role = next((role for role in SWITCHED if device in app.devices(role).id), None)
    if role is None or not (on is None or isinstance(on, bool)):
        raise ValueError('send {"device": "fan-1", "on": true}; null for on: by itself')
    if on is None:
        house.hands.pop(device, None)
        await keep_hands()
        if role in house.rules:
            await tell(role, device, house.rules[role][0], f"{user} gave it back")
        return
    house.hands[device] = Hand(on, user, app.clock.now() + timedelta(minutes=app.params["by_hand_min"]))
    await keep_hands()
    await tell(role, device, {"on": on}, f"{user} switched it on the page")


app = fairlead.App(web=Page(Path(__file__).with_name("page.html"), view, {"/switch": switch}))
thermometer, fan, comfort = app.device("thermometer"), app.device("fan"), app.model("comfort")
light = app.devices("light")
house = House()


@app.start
async def remember() -> None:
    kept = await app.state.get(HANDS, {})
    for device, (on, by, until) in kept.items():
        house.hands[device] = Hand(on, by, datetime.fromisoformat(until))


@app.on(thermometer.temperature)
async def feel(reading: fairlead.Reading) -> None:
    comfort_c = app.params["comfort_c"]
    band_c = app.params["band_c"] if house.is_on("fan") else 0  # one that runs goes on a little farther
    verdict = await comfort.predict(temperature=reading.value, comfort_c=comfort_c - band_c)
    await rule("fan", {"on": verdict["hot"]}, verdict["why"], again=True)
    cool = cools(reading.value, house.is_on("air_conditioners"), comfort_c, app.params["cool_above_c"])
    wanted = {"on": True, "target": min(max(comfort_c, COLDEST_C), WARMEST_C)} if cool else {"on": False}
    await rule("air_conditioners", wanted, f"{reading.value:g} °C")


@app.on(light.light)
async def see(reading: fairlead.Reading) -> None:
    shine = lights(reading.value, house.is_on("lamps"), app.params["dark_lx"], app.params["bright_lx"])
    await rule("lamps", {"on": True, "brightness": 100} if shine else {"on": False}, f"{reading.value:g} lx")


@app.every(60)
async def let_go() -> None:
    """Have the rules count again for what was switched by hand long enough ago."""
    over = [device for device, hand in house.hands.items() if hand.until <= app.clock.now()]
    for device in over:
        del house.hands[device]
    if not over:
        return
    await keep_hands()
    for role in SWITCHED:
        for device in app.devices(role).id:
            if device in over and role in house.rules:
                await tell(role, device, house.rules[role][0], "it was switched by hand long enough ago")


@app.bindings.changed
async def take_over(change: fairlead.Rebound) -> None:
    """Have a device that took the place of another do what the rules say."""
    if change.role in house.rules:
        await rule(change.role, *house.rules[change.role])


async def rule(role: str, wanted: dict[str, Any], why: str, again: bool = False) -> None:
    """Have the devices of a role do what the rules say, those left out that somebody switched by hand.

    They are told what is new or was not done; with ``again`` each time: the newest reading is the reason of what holds.
    """
    house.rules[role] = wanted, why
    for device in app.devices(role).id:
        if device in house.hands:
            continue
        last = house.told.get(device)  # none yet while the first is on its way
        if again or house.sent.get(device) != wanted or (last is not None and not last.ok):
            await tell(role, device, wanted, why)


async def tell(role: str, device: str, values: dict[str, Any], why: str) -> None:
    """Send one command, and log what is new."""
    is_new = house.sent.get(device) != values
    house.sent[device] = values
    one = next(one for one in app.devices(role) if one.id == device)
    command = house.told[device] = await one.send(**values, because=why)
    if is_new:  # the log has what changes, not each reading
        name = "fan" if role == "fan" else device
        app.log.info("%s %s: %s (%s)", name, "on" if values["on"] else "off", why, command.status)


async def keep_hands() -> None:
    await app.state.set(
        HANDS, {device: [hand.on, hand.by, hand.until.isoformat()] for device, hand in house.hands.items()}
    )
