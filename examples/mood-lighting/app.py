"""Has lamps shine in the color of the mood that the microphone hears, in the colors that a person chose."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from page import Page
from plane import MOODS, NEUTRAL, SILENCES, Ear, Settings, apart, color, nearest, settings

import fairlead

FULL, DIM = 100, 15
"""Brightness, %."""


@dataclass
class Now:
    """What the app knows and shows."""

    who: str = ""
    """Whose colors the lamps show."""
    chosen: Settings = field(default_factory=Settings)
    point: tuple[float, float] | None = None
    """Valence and energy; None: nothing was heard yet, or silence."""
    shown: dict[str, Any] | None = None
    """What the lamps were told last."""
    heard_s: float = 0
    """When something was heard last; monotonic."""
    is_silent: bool = False
    asking: bool = False
    trouble: str = ""
    """Why the model did not answer."""
    away: dict[str, str] = field(default_factory=dict)
    """Lamps that did not do what they were told, and why."""


async def view(user: str) -> dict[str, Any]:
    """Return what the page shows to ``user``."""
    mine = now.chosen if user == now.who else await chosen_by(user)
    return {
        "user": user,
        "who": now.who,
        "mine": mine.plain(),
        "moods": MOODS,
        "neutral": NEUTRAL,
        "silences": SILENCES,
        "colors": now.chosen.colors,
        "point": now.point,
        "mood": nearest(*now.point) if now.point else "silence",
        "shown": now.shown,
        "trouble": now.trouble,
        "lamps": [{"id": lamp, "problem": now.away.get(lamp, "")} for lamp in lamps.id],
        "place": app.run.place,
        "silence_s": app.params["silence_s"],
    }


async def choose(user: str, given: Any) -> None:
    """Keep what ``user`` chose and show it from now on."""
    now.chosen, now.who = settings(given), user
    await app.state.set(f"colors.{user}", now.chosen.plain())
    await app.state.set("who", user)
    app.log.info("the lamps show the colors of %s", user)
    if now.point is not None:
        await shine({"on": True, "color": color(*now.point, now.chosen.colors), "brightness": FULL}, f"{user} chose")
    elif now.is_silent:
        await shine(in_silence(), f"{user} chose")


app = fairlead.App(web=Page(Path(__file__).with_name("page.html"), view, {"/choose": choose}))
microphone, lamps, mood = app.device("microphone"), app.devices("lamps"), app.model("mood")
now, ear, lock = Now(), Ear(), asyncio.Lock()


async def chosen_by(user: str) -> Settings:
    kept = await app.state.get(f"colors.{user}") if user else None
    return settings(kept) if kept else Settings()


@app.start
async def begin() -> None:
    now.who = await app.state.get("who", app.run.user)
    now.chosen = await chosen_by(now.who)
    now.heard_s = app.clock.monotonic()


@app.on(microphone.audio)
async def listen(reading: fairlead.Reading) -> None:
    now.asking = True
    try:
        told = await mood.predict(reading.value)
    except fairlead.Error as error:  # the lamps stay as they are until it answers again
        if not now.trouble:
            app.log.warning("the model does not answer, the lamps stay as they are: %s", error)
        now.trouble = f"{error.code}: {error.message}"
        return
    finally:
        now.asking = False
    if now.trouble:
        app.log.info("the model answers again")
    now.trouble = ""
    if told["heard"]["loudness_db"] <= app.params["quiet_db"]:
        return
    now.heard_s, now.is_silent = app.clock.monotonic(), False
    now.point = ear.hear(reading.at, told["valence"], told["energy"], app.params["smooth_s"])
    wanted = color(*now.point, now.chosen.colors)
    if is_lit() and apart(wanted, now.shown["color"]) < app.params["least_change"]:
        return
    await shine({"on": True, "color": wanted, "brightness": FULL}, f"it sounds {nearest(*now.point)}")


@app.every(1)
async def notice_silence() -> None:
    """A microphone that says nothing is silent too; one whose sounds the model cannot judge is not."""
    silent_s = app.clock.monotonic() - now.heard_s
    if now.is_silent or now.trouble or now.asking or silent_s < app.params["silence_s"]:
        return
    now.is_silent, now.point = True, None
    ear.forget()
    await shine(in_silence(), f"silence for {silent_s:.0f} s")


@app.bindings.changed
async def take_over(change: fairlead.Rebound) -> None:
    """Have a lamp that took the place of another shine like the others."""
    if change.role == "lamps" and now.shown is not None:
        told, now.shown = now.shown, None
        await shine(told, f"{', '.join(change.now)} are the lamps now")


def is_lit() -> bool:
    return bool(now.shown and now.shown["on"] and now.shown["brightness"] == FULL)


def in_silence() -> dict[str, Any]:
    """Return what the lamps do in silence; nothing: they stay."""
    if now.chosen.silence == "off":
        return {"on": False}
    return {"on": True, "color": NEUTRAL, "brightness": DIM} if now.chosen.silence == "dim" else {}


async def shine(values: dict[str, Any], why: str) -> None:
    """Tell all lamps, unless they were told so last; the platform itself tells one that comes back later."""
    async with lock:
        if not values or values == now.shown:
            return
        now.shown = values
        commands = await lamps.send(**values, because=why)
        away = {one.device: one.reason or one.status for one in commands if not one.ok}
        for lamp in away.keys() - now.away.keys():
            app.log.warning("%s: %s", lamp, away[lamp])
        now.away = away
        app.log.info("%s: %s", why, values.get("color", "off") if values["on"] else "off")
