"""``fairlead serve``: one bundle on this machine, without the platform."""

from __future__ import annotations

from pathlib import Path

import typer

from fairlead.cli.commands.schedules import values

COUNT_MAX = 100
"""Most simulated devices of a role."""


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    folder: Path = typer.Argument(Path(), help="The bundle's folder."),
    port: int = typer.Option(8000, "--port", "-p", min=0, max=65535, help="On 127.0.0.1; 0: any that is free."),
    here: bool = typer.Option(False, "--here", help="Use this Python instead of an environment of its own."),
    reload: bool = typer.Option(True, "--reload/--no-reload", help="Load it again when a file changes."),
    secret: list[str] = typer.Option([], "--secret", help="NAME=FILE of a secret; default: the variable NAME."),
    model: list[str] = typer.Option([], "--model", help="App: ROLE=FILE.json, an answer in place of a model's."),
    setting: list[str] = typer.Option([], "--set", help="App: param=value"),
    count: list[str] = typer.Option([], "--count", help="App: ROLE=N simulated devices."),
    kind: list[Path] = typer.Option([], "--type", help="App: FILE.toml of a device type that is not built in."),
    every: float = typer.Option(5, "--every", min=0.1, max=3600, help="App: seconds between reports of a device."),
    press: list[str] = typer.Option(
        [], "--press", help="App: DEVICE[.EVENT][=VALUE], said when it is ready; typed while it runs, said at once."
    ),
    at: str = typer.Option("here", "--at", help="App: what the place is called."),
) -> None:
    """Serve a bundle of yours on this machine. It needs no platform; Ctrl-C stops it.

    An app gets simulated devices, and the models of the platform that you are signed in to.
    """
    import asyncio

    from fairlead.bundles.check import check
    from fairlead.bundles.manifest import AppManifest

    folder, secrets = folder.resolve(), _values(secret)
    if not isinstance(check(folder).manifest, AppManifest):
        from fairlead.cli.serving import Serving

        if model or setting or count or kind or press:
            raise typer.BadParameter("--model, --set, --count, --type and --press are for apps")
        asyncio.run(Serving(folder, port, here=here, reload=reload, secrets=secrets).run())
        return
    from fairlead.cli.appserving import AppServing, Wanted

    wanted = Wanted(
        port=port,
        here=here,
        reload=reload,
        place=at,
        secrets=secrets,
        settings=values(setting),
        counts={role: _number(role, text) for role, text in _pairs("--count", "ROLE=N", count).items()},
        models={role: Path(text) for role, text in _pairs("--model", "ROLE=FILE.json", model).items()},
        types=tuple(kind),
        every_s=every,
        press=tuple(press),
    )
    asyncio.run(AppServing(folder, wanted).run())


def _pairs(option: str, form: str, given: list[str]) -> dict[str, str]:
    """Return what was given by name; raises for what is no pair."""
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name or not value:
            raise typer.BadParameter(f"{option} {item}: write {form}")
        found[name] = value
    return found


def _number(role: str, text: str) -> int:
    if not text.isdecimal() or int(text) > COUNT_MAX:
        raise typer.BadParameter(f"--count {role}={text}: 0 to {COUNT_MAX}")
    return int(text)


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
