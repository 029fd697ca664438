"""``fairlead``: puts the nouns together and turns every error into one line and an exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Sequence
from importlib import import_module

import typer

import fairlead
from fairlead.cli import mishap, terminal
from fairlead.cli.api import Refused
from fairlead.errors import Error, Kind

EXIT_BY_KIND = {
    Kind.INVALID: 5,
    Kind.NOT_FOUND: 3,
    Kind.CONFLICT: 4,
    Kind.FORBIDDEN: 4,
    Kind.BUSY: 6,
    Kind.UNAVAILABLE: 6,
    Kind.INTERNAL: 1,
}
"""The contract's exit codes; 2 is usage, 7 is timed out."""

ROOMS = {
    "up": ("up", "down", "status", "doctor"),
    "backup": ("backup", "restore"),
    "login": ("login", "logout", "whoami", "sessions", "use"),
    "bundles": ("init", "check", "push", "predict"),
    "serve": ("serve",),
    "models": ("models",),
    "slo": ("slo",),
    "apps": ("apps",),
    "jobs": ("jobs",),
    "gallery": ("gallery",),
    "schedules": ("schedules",),
    "runs": ("runs",),
    "why": ("why",),
    "logs": ("logs",),
    "devices": ("devices",),
    "types": ("types",),
    "locations": ("locations",),
    "simulate": ("simulate",),
    "users": ("users",),
    "tokens": ("tokens",),
    "secrets": ("secrets",),
    "audit": ("audit",),
    "mail": ("mail",),
    "bench": ("bench",),
}
"""File in ``commands`` to the verbs and nouns that it holds; only the file of the word in hand is loaded."""
_SAME = {
    **dict.fromkeys(("retire", "remove", "delete", "del"), ("rm",)),
    **dict.fromkeys(("new", "create", "register"), ("add", "new")),
    **dict.fromkeys(("set", "edit", "update", "change", "move", "rename"), ("change", "set")),
    **dict.fromkeys(("start", "run", "rerun"), ("again", "run")),
    **dict.fromkeys(("kill", "end", "cancel"), ("stop", "cancel")),
    **dict.fromkeys(("unpause", "continue"), ("resume",)),
}
"""Other words for verbs, to those that some nouns have."""
_ROOM_OF = {word: room for room, words in ROOMS.items() for word in words}


def build(rooms: Iterable[str] = tuple(ROOMS)) -> typer.Typer:
    """Return the command line with the verbs and nouns of ``rooms``; of all unless said."""
    app = typer.Typer(
        name="fairlead",
        help="The whole cloud of a small AI team in one install.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    app.callback()(_common)
    for room in rooms:
        module = import_module(f"fairlead.cli.commands.{room}")
        if hasattr(module, "register"):
            module.register(app)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=room)
    return app


def _say_version(wanted: bool) -> None:
    if wanted:
        terminal.result(f"fairlead {fairlead.__version__}")
        raise typer.Exit


def _common(
    json: bool = typer.Option(False, "--json", help="Print the API's view as JSON."),
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", is_eager=True, callback=_say_version
    ),
) -> None:
    terminal.use_json(json)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(_with_json_first(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    try:
        code = build(_rooms(arguments))(list(arguments), standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        return _usage(error)
    except Refused as error:
        terminal.error(error.message, hint=error.hint, code=error.code, id=error.id, problems=error.problems)
        return error.exit_code
    except Error as error:
        terminal.error(error.message, hint=error.hint, code=error.code, problems=error.problems)
        return EXIT_BY_KIND[error.kind]
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:  # noqa: BLE001 - the edge: nobody shall have to read a traceback of ours
        return mishap.tell(error)
    return code if isinstance(code, int) else 0


def _rooms(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the rooms that these words need: one of a known verb or noun, else all, so that help knows them."""
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    return (_ROOM_OF[word],) if word in _ROOM_OF else tuple(ROOMS)


def _usage(error: typer.TyperException) -> int:
    """Say how the command is used; 2 is usage."""
    message = error.format_message()
    if message.startswith("Usage:"):  # called bare: the help is the answer
        terminal.note(message)
    else:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "fairlead"
        meant = _meant(message, getattr(getattr(context, "command", None), "commands", {}))
        terminal.error(message, hint=f"did you mean {path} {meant}?" if meant else f"{path} --help", code="usage")
    return 2


def _meant(message: str, verbs: Collection[str]) -> str:
    """Return which of ``verbs`` stands for one that is not there, by another word for the same."""
    said = re.match(r"No such command '([^']+)'", message)
    return next((verb for verb in _SAME.get(said[1] if said else "", ()) if verb in verbs), "")


def _with_json_first(arguments: list[str]) -> list[str]:
    """Move a bare ``--json`` to the front, so that it may stand anywhere; ``predict --json BODY`` keeps its own."""
    if arguments[:1] == ["predict"] or "--json" not in arguments:
        return arguments
    return ["--json", *(argument for argument in arguments if argument != "--json")]
