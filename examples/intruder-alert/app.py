"""Sounds an alarm when a camera sees somebody who should not be there."""

from collections import deque
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import fairlead

app = fairlead.App()
cameras, buzzer, displays = app.devices("cameras"), app.device("buzzer"), app.devices("displays")
faces = app.model("faces")

TOGETHER = timedelta(minutes=1)
"""Sightings of a camera that are farther apart are not of one visit."""
KEPT = 20
"""Pictures of a camera that wait while the model is away; then the oldest gives way."""
REFUSED = (400, 403, 413, 415, 422)
"""Statuses of what will not be taken the next time either."""
LAST = "last alarm"
"""Where the state has the time of it: a run that is started again keeps quiet too."""


class Watch:
    """What is known of the night so far."""

    def __init__(self) -> None:
        self.began: datetime | None = None
        self.alarm: datetime | None = None
        self.since = 0
        """Pictures with an intruder since the last alarm."""
        self.seen: dict[str, deque[datetime]] = {}
        self.visits: dict[tuple[str, str], datetime] = {}
        self.waiting: dict[str, deque[fairlead.Reading]] = {}
        self.away_since: datetime | None = None
        self.mails: deque[tuple[str, str, fairlead.Reading]] = deque(maxlen=KEPT)


watch = Watch()


@app.start
async def remember() -> None:
    watch.began = app.clock.now()
    try:
        told = await app.state.get(LAST)
    except fairlead.Error as error:  # an alarm too many is better than none
        app.log.warning("the time of the last alarm is not known: %s", error)
        return
    watch.alarm = datetime.fromisoformat(told) if told else None


@app.on(cameras.image)
async def look(reading: fairlead.Reading) -> None:
    if watch.began is not None and watch.began - reading.at > TOGETHER:
        return  # the last picture of a camera is told when the run begins: it may be of somebody who was there by day
    waiting = watch.waiting.setdefault(reading.device, deque(maxlen=KEPT))
    waiting.append(reading)
    if watch.away_since is None:
        await catch_up()


@app.every(10)
async def try_again() -> None:
    await catch_up()
    await send_mails()


async def catch_up() -> None:
    """Have the model look at all that waits; stop where it is away."""
    for waiting in tuple(watch.waiting.values()):
        while waiting:
            reading = waiting.popleft()  # taken before it is looked at: two handlers never look at the same picture
            try:
                answer = await faces.predict(reading.value)
            except fairlead.Error as error:
                if error.status in REFUSED:
                    app.log.warning("a picture of %s is left out: %s", reading.device, error)
                    continue
                if len(waiting) < KEPT:
                    waiting.appendleft(reading)
                if watch.away_since is None:
                    watch.away_since = app.clock.now()
                    app.log.warning("faces is away, pictures wait: %s", error)
                return
            if watch.away_since is not None:
                app.log.info("faces is back after %d s", (app.clock.now() - watch.away_since).total_seconds())
                watch.away_since = None
            await judge(reading, answer)


async def judge(reading: fairlead.Reading, answer: dict[str, Any]) -> None:
    """Note who is there, and sound the alarm where somebody should not be."""
    names = sorted({face["name"] for face in answer["faces"]} - set(app.params.ignored))
    known = set(app.params.known)
    strangers = [name for name in names if name == "unknown" or (known and name not in known)]
    for name in names:
        if name not in strangers:
            greet(name, reading)
    if not strangers:
        return
    seen = watch.seen.setdefault(reading.device, deque(maxlen=app.params.sightings))
    seen.append(reading.at)
    if len(seen) < app.params.sightings or reading.at - seen[0] > TOGETHER:
        return
    who = " and ".join("someone unknown" if name == "unknown" else name for name in strangers)
    quiet = timedelta(seconds=app.params.quiet_s)
    if watch.alarm is not None and timedelta(0) <= app.clock.now() - watch.alarm < quiet:
        watch.since += 1
        return
    await alarm(reading, who)


def greet(name: str, reading: fairlead.Reading) -> None:
    """Note somebody known, once a visit."""
    last = watch.visits.get((name, reading.device))
    watch.visits[name, reading.device] = reading.at
    if last is None or reading.at - last > TOGETHER:
        app.log.info("%s is at %s", name, reading.device)


async def alarm(reading: fairlead.Reading, who: str) -> None:
    more, watch.since, watch.alarm = watch.since, 0, app.clock.now()
    at = f"{reading.at.astimezone(ZoneInfo(app.run.zone)):%H:%M:%S %Z}"
    why = f"{who} at {reading.device}"  # `fairlead why` knows when
    sound = await buzzer.send(on=True, hold_s=app.params.buzz_s, because=why)
    told = await displays.send(text=f"{why} at {at}"[:200], because=why) if displays else []
    for command in (sound, *told):
        if not command.ok:
            app.log.error("%s was not told: %s", command.device, command.reason or command.status)
    app.log.warning("alarm: %s at %s (%s)", who, reading.device, sound.status)
    text = f"{reading.device} at {app.run.place} saw {who} at {at}. The picture is attached."
    if more:
        text += f"\nBefore that, {more} pictures since the last alarm showed somebody too."
    watch.mails.append((f"{who.capitalize()} at {app.run.place}", text, reading))
    await send_mails()
    try:
        await app.state.set(LAST, watch.alarm.isoformat())
    except fairlead.Error as error:
        app.log.warning("the time of the alarm is not kept: %s", error)


async def send_mails() -> None:
    """Send what waits; what is not taken is tried again."""
    while watch.mails:
        subject, text, reading = mail = watch.mails.popleft()
        try:
            picture = fairlead.File(reading.value.read(), f"{reading.device}-{reading.at:%Y%m%d-%H%M%S}.jpg")
            await app.mail(subject, text, attach=[picture])
        except fairlead.Error as error:
            if error.status in REFUSED:
                app.log.error("the mail is not sent: %s", error)
                continue
            app.log.warning("the mail is tried again: %s", error)
            watch.mails.appendleft(mail)
            return
