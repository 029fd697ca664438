"""What ``fairlead init`` writes: the smallest model and app that can be pushed as they are."""

from __future__ import annotations

from pathlib import Path

from fairlead.errors import Conflict, Invalid
from fairlead.ids import is_name

MODEL = {
    "fairlead.toml": """kind = "model"
name = "{name}"
summary = "Says hello"

[run]
runtime = "python"
entry = "model:Greeter"

[[examples]]
title = "Ada"
input = {{ name = "Ada" }}
expect = {{ text = "Hello, Ada" }}
""",
    "model.py": '''"""A model is a class; load() runs once, predict() answers."""

from dataclasses import dataclass

import fairlead


@dataclass
class Greeting:
    text: str


class Greeter(fairlead.Model):
    def load(self) -> None:
        self.word = "Hello"

    def predict(self, name: str) -> Greeting:
        return Greeting(text=f"{{self.word}}, {{name}}")
''',
}
APP = {
    "fairlead.toml": """kind = "app"
name = "{name}"
summary = "Counts readings of a thermometer"

[run]
entry = "app:app"

[devices]
thermometer = {{ type = "temperature" }}
""",
    "app.py": '''"""An app speaks of roles; which devices stand for them is decided where it runs."""

import fairlead

app = fairlead.App()
thermometer = app.device("thermometer")


@app.on(thermometer.temperature)
async def count(reading: fairlead.Reading) -> None:
    seen = (await app.state.get("seen", 0)) + 1
    await app.state.set("seen", seen)
    app.log.info("reading %d: %s", seen, reading.value)
''',
}


def write(kind: str, name: str, folder: Path) -> Path:
    """Write the template of ``kind`` below ``folder``; return its folder. Raises for a taken or wrong name."""
    files = {"model": MODEL, "app": APP}.get(kind)
    if files is None:
        raise Invalid(f"{kind!r} is neither model nor app", code="unknown_kind", hint="fairlead init app my-app")
    target = free(name, folder)
    target.mkdir()
    for file, text in files.items():
        (target / file).write_text(text.format(name=name), encoding="utf-8")
    return target


def free(name: str, folder: Path) -> Path:
    """Return the folder below ``folder`` that a bundle called ``name`` gets; raises for a taken or wrong name."""
    if not is_name(name):
        raise Invalid(
            f"{name!r} is no name", code="invalid_name", hint="lower-case letters, digits and hyphens, 63 at most"
        )
    target = folder / name
    if target.exists():
        raise Conflict(f"{target} exists already", code="exists", hint="choose another name")
    return target
