"""``fairlead logs``."""

from __future__ import annotations

from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api


def register(app: typer.Typer) -> None:
    app.command("logs")(logs)


def logs(
    of: str = typer.Argument("", help="A model[@version], run, or control, keeper, envoy, bus; default: all."),
    since: str = typer.Option("", "--since", help="1h, 10m, or a moment."),
    until: str = typer.Option("", "--until", help="The same."),
    level: str = typer.Option("", "--level", help="debug, info, warning or error, and above."),
    grep: str = typer.Option("", "--grep", help="Only lines with this text."),
    limit: int = typer.Option(200, "--limit", "-n"),
    follow: bool = typer.Option(False, "--follow", "-f"),
) -> None:
    """Print logs, oldest first."""
    if until and follow:
        raise typer.BadParameter("--until ends what --follow goes on with: give one of them")
    query = {"of": of or None, "since": since or None, "level": level or None, "grep": grep or None}
    with Api() as api:
        view = api.get("/logs", limit=limit, until=until or None, **query)
        if terminal.wants_json() and not follow:
            terminal.result("", view)
            return
        for line in view["items"]:
            _print(line)
        if not view["items"]:
            terminal.note(_nothing(of, fits=bool(since or until or level or grep)))
        if follow:
            for _, line in api.events("/logs/follow", **{key: value for key, value in query.items() if value}):
                _print(line)


def _nothing(of: str, *, fits: bool) -> str:
    whose = f"of {of}" if of else "of anything that runs here"
    return f"no lines {whose}{' that fit --since, --until, --level and --grep' if fits else ''} yet"


def _print(line: dict[str, Any]) -> None:
    words = (
        terminal.moment(line.get("at") or ""),
        (line.get("level") or "").ljust(7),
        line.get("source") or "",
        line["said"],
    )
    terminal.result("  ".join(words).rstrip(), line)
