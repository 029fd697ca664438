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
) -> None:
    """Serve a model of yours on this machine, without the platform; Ctrl-C stops it."""
    import asyncio

    from fairlead.cli.serving import Serving

    asyncio.run(Serving(folder.resolve(), port, here=here, reload=reload).run())
