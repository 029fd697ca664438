"""``fairlead serve``: one bundle on this machine, without the platform."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    folder: Path = typer.Argument(Path(), help="The bundle's folder."),
    port: int = typer.Option(8000, "--port", "-p", min=0, max=65535, help="On 127.0.0.1; 0: any that is free."),
    here: bool = typer.Option(False, "--here", help="Use this Python instead of an environment of its own."),
    reload: bool = typer.Option(True, "--reload/--no-reload", help="Load it again when a file changes."),
    secret: list[str] = typer.Option([], "--secret", help="NAME=FILE of a secret; default: the variable NAME."),
) -> None:
    """Serve a model of yours on this machine. It needs no platform; Ctrl-C stops it."""
    import asyncio

    from fairlead.cli.serving import Serving

    asyncio.run(Serving(folder.resolve(), port, here=here, reload=reload, secrets=_values(secret)).run())


def _values(given: list[str]) -> dict[str, str]:
    """Return the secrets by name; raises for what names no file."""
    found = {}
    for item in given:
        name, equals, file = item.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--secret {item}: write NAME=FILE")
        try:
            found[name] = Path(file).read_text(encoding="utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"--secret {name}: {file}: {getattr(error, 'strerror', None) or error}") from error
    return found
