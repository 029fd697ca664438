"""``fairlead secrets``."""

from __future__ import annotations

import sys
from urllib.parse import quote

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api
from fairlead.cli.commands.noun import group
from fairlead.errors import Invalid

_READ_MAX = 1024 * 1024
"""More than any secret may have: an endless stdin is not read to its end."""


def _list() -> None:
    _show("")


app = group("Secrets of models and apps.", _list)


def _path(bundle: str, name: str) -> str:
    return f"/secrets/{quote(bundle, safe='', errors='replace')}/{quote(name, safe='', errors='replace')}"


@app.command("ls")
def list_(bundle: str = typer.Argument("", help="A model or app; default: all of yours.")) -> None:
    """List secrets by name; values are never shown."""
    _show(bundle)


@app.command("set")
def set_(bundle: str = typer.Argument(help="A model or app."), name: str = typer.Argument()) -> None:
    """Set a secret; its value comes from stdin, or is asked for. Replicas with an older value are replaced."""
    with Api() as api:
        view = api.put(_path(bundle, name), {"value": _value(name)})
    for warning in view.get("warnings") or ():
        terminal.note(f"warning: {warning}")
    terminal.result(f"{bundle} {name} set", view)


@app.command("rm")
def remove(bundle: str, name: str) -> None:
    """Remove a secret that no version needs."""
    with Api() as api:
        api.delete(_path(bundle, name))
    terminal.result(f"{bundle} {name} removed")


def _show(bundle: str) -> None:
    with Api() as api:
        view = api.get("/secrets", bundle=bundle or None)
    terminal.table(view["items"], ("bundle", "name", "set_by", "set_at"), view)


def _value(name: str) -> str:
    """Return the value: all of stdin but one newline at its end, or what is typed unseen. Never from the arguments,
    which other users of the machine can read."""
    if sys.stdin.isatty():
        typed: str = typer.prompt(f"value of {name}", hide_input=True, err=True)
        return typed
    try:
        value = sys.stdin.buffer.read(_READ_MAX).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{name} is no text in UTF-8", code="secret_invalid", hint="encode it, for example as base64"
        ) from error
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        hint = f"give it there: fairlead secrets set … {name} < FILE"
        raise Invalid(f"nothing came on standard input for {name}", code="secret_invalid", hint=hint)
    return value
