"""What the commands that call a model share: the body that is sent, pieces that come back, and hints in options."""

from __future__ import annotations

import difflib
import json
import mimetypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, Refused
from fairlead.cli.headers import attachment


class Pieces:
    """Prints the pieces of an answer as they come."""

    def __init__(self) -> None:
        self.came = self._in_line = False

    def show(self, event: str, value: Any) -> None:
        self.came = True
        if event == "message":
            terminal.piece(value)
            self._in_line = isinstance(value, str) and not terminal.wants_json()

    def end(self) -> None:
        """End the line that a text left open."""
        if self._in_line:
            terminal.result("")


def explained(api: Api, error: Refused, model: str, file: Path | None, given: Mapping[str, str]) -> Refused:
    """Return the refusal of a call with hints that name options: values of ``--set`` by name are ``given``."""
    if error.code == "no_such_model" and (near := _near(api, model)):
        error.hint = f"did you mean {near}? {error.hint}".rstrip()
        return error
    words = {name: value for name, value in given.items() if not isinstance(as_value(value), str)}
    for one in error.problems:
        if one.path in words and "is not text" in one.message:
            error.hint = f"--set reads JSON first; as text: --set {one.path}='\"{words[one.path]}\"'"
            return error
        if one.path in given and "is not a list" in one.message and isinstance(as_value(given[one.path]), str):
            error.hint = f"a list is JSON: --set {one.path}='[{given[one.path]}]'"
            return error
    if file is None and any("base64" in f"{one.message} {one.hint}" for one in error.problems):
        error.hint = f"{error.hint}; of a file: fairlead predict {model} --file FILE"
    return error


def _near(api: Api, model: str) -> str:
    """Return the model that is called nearly so, with the version that was asked for."""
    name, at, ref = model.partition("@")
    try:
        known = [one["name"] for one in api.get("/models")["items"]]
    except (Refused, KeyError, TypeError):
        return ""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"{found[0]}{at}{ref}" if found else ""


def check_output(output: Path | None) -> None:
    """Refuse a place that cannot be written before anything is called."""
    if output is None:
        return
    folder = output.parent
    why = ""
    if output.is_dir():
        why = "is a folder"
    elif not folder.is_dir():
        why = f"there is no folder {folder}"
    elif not os.access(output if output.exists() else folder, os.W_OK):
        why = "may not be written"
    if why:
        raise Refused(
            f"{output}: {why}",
            exit_code=5,
            code="output_unusable",
            hint="name a file that can be written; nothing was called",
        )


def body_of(body: str, file: Path | None, settings: list[str], option: str = "--json") -> dict[str, Any]:
    """Return what is sent: the file, the JSON, or the values one by one."""
    if sum((bool(body), file is not None)) + (bool(settings) and bool(body)) > 1:
        raise typer.BadParameter(f"{option} is the whole body: give either it, or --set, or a file")
    if file is not None:
        if not file.is_file():
            raise typer.BadParameter(f"{file}: no such file")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return {
            "content": file.read_bytes(),
            "headers": {"Content-Type": kind, "Content-Disposition": attachment(file.name)},
            "params": pairs(settings),
        }
    if body.startswith("@") or (body != "-" and Path(body).suffix == ".json" and Path(body).is_file()):
        raise typer.BadParameter(f"{option} is the body itself; of a file write --file {body.removeprefix('@')}")
    if body:
        return {
            "content": sys.stdin.buffer.read() if body == "-" else os.fsencode(body),
            "headers": {"Content-Type": "application/json"},
        }
    return {"json": {name: as_value(value) for name, value in pairs(settings).items()}}


def pairs(settings: list[str]) -> dict[str, str]:
    """Return the values by name; raises for a name that is given twice."""
    pairs = [pair(item) for item in settings]
    twice = next((name for name, _ in pairs if [one for one, _ in pairs].count(name) > 1), None)
    if twice is not None:
        raise typer.BadParameter(f"--set {twice} is given twice; write a list as {twice}='[1, 2]'")
    return dict(pairs)


def pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{item}: write name=value")
    return name, value


def as_value(text: str) -> Any:
    """Return ``text`` as JSON if it is, else as text: ``4`` is a number, ``Newark`` a string."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
