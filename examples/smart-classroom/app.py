"""Calls the roll by faces, tends light and air while somebody is there, and shows today's list."""

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import comfort
import page
import register

import fairlead

site = page.Site()
app = fairlead.App(web=site)
cameras, motion, thermometer = app.devices("cameras"), app.devices("motion"), app.device("thermometer")
sky, lamps, coolers = app.devices("sky"), app.devices("lamps"), app.devices("coolers")
faces = app.model("faces")

DAY = "day"
"""Where the state has today's list: a run that is started again goes on with it."""
DAYS_SHOWN = 5
PICTURE_OLD = timedelta(seconds=90)
"""An older picture says nothing of who is there now."""


class Room:
    """What is known of the room."""

    def __init__(self) -> None:
        self.moved: datetime | None = None
        self.celsius: comfort.Value = None
        self.lux: comfort.Value = None
        self.lamps: bool | None = None
        """As told last; None: not known, it is told again."""
        self.cooler: bool | None = None
        self.trouble = ""
        self.day: register.Day = {"date": "", "lessons": {}}
        self.tending = asyncio.Lock()


room = Room()


def now() -> datetime:
    """Return the time at the place."""
    return app.clock.now().astimezone(ZoneInfo(app.run.zone))


@app.start
async def remember() -> None:
    for name in (await app.files.list())[-DAYS_SHOWN:]:
        site.tables[name.removeprefix("attendance-").removesuffix(".csv")] = (await app.files.get(name)).decode()
    kept = await app.state.get(DAY)
    if kept and kept["date"] == f"{now():%Y-%m-%d}":
        room.day = kept
    else:
        room.day = register.new_day(now())
        if kept:
            await keep(kept)  # the last lesson of that day may not have ended when the run did
    show()


@app.on(motion.motion)
async def moved(reading: fairlead.Reading) -> None:
    if reading.value:
        room.moved = now()
        if not room.lamps:
            await tend()
            show()


@app.on(thermometer.temperature)
async def felt(reading: fairlead.Reading) -> None:
    room.celsius = (reading.value, reading.at)


@app.on(sky.light)
async def shone(reading: fairlead.Reading) -> None:
    room.lux = (reading.value, reading.at)


@app.every(60)
async def minute() -> None:
    try:
        await call_roll()
    finally:
        await tend()
        show()


async def call_roll() -> None:
    """Look who is there, while a lesson is young; keep the day's table once its roll is called."""
    if room.day["date"] != f"{now():%Y-%m-%d}":
        await keep(room.day)
        room.day = register.new_day(now())
    start = register.current(app.params.lessons, app.params.days, now())
    if start is None:
        return
    lesson, at = register.begin(room.day, start), register.minute_of(start, now())
    if not register.is_open(lesson, at, app.params.roll_min):
        if not lesson.get("kept"):
            lesson["kept"] = True
            await keep(room.day)
        return
    names = await who_is_there()
    if names is not None:
        register.note(lesson, at, names)
        if names:
            room.moved = now()
    await app.state.set(DAY, room.day)


async def who_is_there() -> list[str] | None:
    """Return the names of all faces before the cameras; None where nothing could be seen. Tried again each minute."""
    names: set[str] = set()
    guests = looked = 0
    trouble = "no camera shows a picture"
    for camera in cameras:
        try:
            reading = await camera.image.get(max_age_s=30)
            if app.clock.now() - reading.at > PICTURE_OLD:
                continue
            answer = await faces.predict(reading.value)
        except fairlead.Error as error:
            trouble = f"nobody is recognized now: {error}"
            continue
        found = [face["name"] for face in answer["faces"]]
        names |= {name for name in found if name != "unknown"}
        guests, looked = max(guests, found.count("unknown")), looked + 1
    said = "" if looked else trouble
    if said and not room.trouble:
        app.log.warning("the roll is not called now, it is tried again each minute: %s", said)
    elif room.trouble and not said:
        app.log.info("the roll is called again")
    room.trouble = said
    return [*sorted(names), *["unknown"] * guests] if looked else None


async def keep(day: register.Day) -> None:
    """Keep a day's table as a file, and the day itself."""
    if day["lessons"]:
        text = register.table(day["date"], register.rows(day, app.params, now()))
        await app.files.put(f"attendance-{day['date']}.csv", text.encode())
        app.log.info("attendance of %s is kept: %d lessons", day["date"], len(day["lessons"]))
    await app.state.set(DAY, day)


async def tend() -> None:
    """Have lamps and coolers do what the room needs; what fails is told again the next minute."""
    async with room.tending:
        at, wish = now(), app.params
        occupied = comfort.is_occupied(room.moved, at, wish.empty_min)
        lit, why = comfort.lamps(occupied, comfort.fresh(room.lux, at), room.lamps, wish.dark_lx, wish.bright_lx)
        if lit != room.lamps and lamps:
            done = await lamps.send(on=lit, because=why)
            room.lamps = lit if told("lamps", lit, why, done) else None
        cool, why = comfort.cooler(occupied, comfort.fresh(room.celsius, at), room.cooler, wish.comfort_c)
        if cool != room.cooler and coolers:
            # the device's thermostat would else stop above the wish
            values = {"on": True, "target": max(16, wish.comfort_c - 1)} if cool else {"on": False}
            done = await coolers.send(because=why, **values)
            room.cooler = cool if told("air conditioner", cool, why, done) else None


def told(what: str, on: bool, why: str, commands: list[fairlead.Command]) -> bool:
    """Log a change, and return whether no device refused it."""
    failed = [command for command in commands if command.status == "failed"]
    for command in failed:
        app.log.warning("%s was not switched: %s", command.device, command.reason)
    app.log.info("%s %s: %s", what, "on" if on else "off", why)
    return not failed


def show() -> None:
    """Have the page show what is known now."""
    at = now()
    rows = register.rows(room.day, app.params, at)
    site.tables[room.day["date"]] = register.table(room.day["date"], rows)
    for old in sorted(site.tables)[:-DAYS_SHOWN]:
        del site.tables[old]
    site.show(
        page.View(
            place=app.run.place,
            date=f"{at:%A, %d %B %Y}",
            time=f"{at:%H:%M}",
            lessons=sorted(room.day["lessons"]),
            rows=rows,
            people=register.people(room.day, app.params.pupils),
            guests={start: lesson["guests"] for start, lesson in room.day["lessons"].items()},
            celsius=comfort.fresh(room.celsius, at),
            lux=comfort.fresh(room.lux, at),
            occupied=comfort.is_occupied(room.moved, at, app.params.empty_min),
            lamps=room.lamps if lamps else None,
            cooler=room.cooler if coolers else None,
            trouble=room.trouble,
            days=sorted(site.tables),
        )
    )


@app.stop
async def finish() -> None:
    site.close()
    await keep(room.day)
