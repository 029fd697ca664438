"""``fairlead simulate``."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import typer

from fairlead.cli import pressing, terminal
from fairlead.cli.api import Api
from fairlead.cli.options import told_as


def register(app: typer.Typer) -> None:
    app.command("simulate")(simulate)


def simulate(
    location: str = typer.Argument("", help="Place whose devices, and those below it, get a body; none: list."),
    speed: float = typer.Option(1, "--speed", help="Seconds of its rooms in a second."),
    fault: list[str] = typer.Option([], "--fault", help="DEVICE=FAULT, such as t1=stuck; once for each."),
    play: list[str] = typer.Option([], "--play", help="DEVICE=FILE: JPEGs for a camera, a WAV for a microphone."),
    press: list[str] = typer.Option(
        [], "--press", help="DEVICE, DEVICE.EVENT or DEVICE.EVENT=VALUE: have it send that now; no LOCATION."
    ),
    off: bool = typer.Option(False, "--off", help="Take the bodies away; the devices' own passwords count again."),
) -> None:
    """Give every device at a place a simulated body.

    It is there until --off, also after a restart. Said again it changes speed and faults, which are stuck, drift,
    wild, late, duplicate, skew, silent, deaf and offline.
    A device that is connected by itself is left alone.
    """
    with Api() as api, told_as({"at": "LOCATION", "speed": "--speed", "faults": "--fault", "media": "--play"}):
        if press:
            _press(api, press, alone=not (location or fault or play or off))
            return
        if not location:
            view = api.get("/simulations")
            rows = [item | {"devices": ", ".join(item["devices"]), "faults": _faults(item)} for item in view["items"]]
            terminal.table(rows, ("at", "speed", "devices", "faults"), view)
            return
        if off:
            api.delete(f"/simulations/{location}")
            terminal.result(f"{location}: nothing is simulated any more")
            return
        body = {"speed": speed, "faults": dict(map(_fault, fault)), "media": _recordings(play)}
        view = api.put(f"/simulations/{location}", body)
    if view["left"]:
        terminal.note(f"left alone, for they are connected by themselves: {', '.join(view['left'])}")
    count = len(view["devices"])
    said = f"{view['at']}: {count} device{'' if count == 1 else 's'} simulated at speed {view['speed']:g}"
    terminal.result(said + (f", {_faults(view)}" if view["faults"] else ""), view)


def _press(api: Api, given: list[str], *, alone: bool) -> None:
    """Have devices send events, one after the other."""
    if not alone:
        raise typer.BadParameter("names devices that have a body: leave everything else out", param_hint="--press")
    for text in given:
        device, event, value = pressing.parse(text)
        view = api.post(f"/devices/{device}/events", {"event": event, "value": value})
        terminal.result(f"{device} sent {view['event']} = {json.dumps(view['value'], ensure_ascii=False)}", view)


def _fault(text: str) -> tuple[str, str]:
    """Return device and fault of ``t1=stuck`` or ``t1:stuck``."""
    device, sign, fault = text.replace(":", "=", 1).partition("=")
    if not (device and sign and fault):
        raise typer.BadParameter(f"{text}: write DEVICE=FAULT, such as t1=stuck", param_hint="--fault")
    return device, fault


def _recordings(given: list[str]) -> dict[str, list[str]] | None:
    """Return the files of each device as the API takes them; None where none is named: what was given stays."""
    found: dict[str, list[str]] = {}
    for text in given:
        device, _, file = text.partition("=")
        if not (device and file and Path(file).is_file()):
            raise typer.BadParameter(f"{text}: write DEVICE=FILE, a file that is there", param_hint="--play")
        found.setdefault(device, []).append(base64.b64encode(Path(file).read_bytes()).decode())
    return found or None


def _faults(view: dict[str, dict[str, str]]) -> str:
    return ", ".join(f"{device}={fault}" for device, fault in view["faults"].items())
