"""``fairlead``: puts the nouns together and turns every error into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Refused
from fairlead.cli.commands import (
    apps,
    bundles,
    devices,
    jobs,
    locations,
    login,
    logs,
    models,
    runs,
    schedules,
    tokens,
    types,
    up,
    users,
    why,
)
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

app = typer.Typer(
    name="fairlead",
    help="The whole cloud of a small AI team in one install.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
for room in (up, login, bundles, jobs, why, logs):
    room.register(app)
for name, group in (
    ("models", models.app),
    ("apps", apps.app),
    ("jobs", jobs.app),
    ("schedules", schedules.app),
    ("runs", runs.app),
    ("devices", devices.app),
    ("types", types.app),
    ("locations", locations.app),
    ("users", users.app),
    ("tokens", tokens.app),
):
    app.add_typer(group, name=name)


@app.callback()
def _common(
    json: bool = typer.Option(False, "--json", help="Print the API's view as JSON."),
) -> None:
    terminal.use_json(json)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(_with_json_first(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    try:
        code = app(list(arguments), standalone_mode=False)
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
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> int:
    """Say how the command is used; 2 is usage."""
    message = error.format_message()
    if message.startswith("Usage:"):  # called bare: the help is the answer
        terminal.note(message)
    else:
        context = getattr(error, "ctx", None)
        terminal.error(message, hint=f"{context.command_path if context else 'fairlead'} --help", code="usage")
    return 2


def _with_json_first(arguments: list[str]) -> list[str]:
    """Move a bare ``--json`` to the front, so that it may stand anywhere; ``predict --json BODY`` keeps its own."""
    if arguments[:1] == ["predict"] or "--json" not in arguments:
        return arguments
    return ["--json", *(argument for argument in arguments if argument != "--json")]
