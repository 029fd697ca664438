"""``fairlead backup`` and ``fairlead restore``: a whole house in one file, and back."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from fairlead.cli import terminal
from fairlead.cli.commands.up import HOME_HELP
from fairlead.errors import Error, Invalid, Unavailable
from fairlead.settings import Home, Settings

ASK_S = 3.0
CHECK_HELP = "Read the whole file, compare it with its digests, and write nothing."


def register(app: typer.Typer) -> None:
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    file: Path = typer.Argument(help="The archive to write, for example house.tar.zst."),
    home: Path = typer.Option(None, "--home", help=HOME_HELP),
    no_bucket: bool = typer.Option(False, "--no-bucket", help="Leave the objects of the bucket where they are."),
) -> None:
    """Write the whole house to one file.

    Records, objects, keys, settings and logs, while it runs or not.
    """
    import asyncio

    from fairlead import settings
    from fairlead.backup.save import save
    from fairlead.buckets.obstore import open_bucket

    chosen = settings.load({"home": home})
    place = Home(chosen.home)
    _refuse_place(file, place)
    bucket = None if no_bucket else open_bucket(chosen.bucket or str(place.bucket))
    try:
        saved = asyncio.run(save(file, place, _store(chosen, place), bucket, _progress))
    except Unavailable as error:
        if home is None and error.code == "database_missing" and (signed_in := _signed_in_home()):
            error.hint = f"you are signed in to the installation in {signed_in}: --home {shlex.quote(signed_in)}"
        raise
    _progress("")
    view = {"file": str(file), **{name: getattr(saved, name) for name in saved.__struct_fields__}}
    terminal.result(f"{file}  {saved.rows:,} rows, {saved.objects:,} objects, {_size(saved.size)}", view)
    terminal.note("keep it as safe as the house: the keys that sign tokens and open secrets are in it")


def _signed_in_home() -> str:
    """Return the home of the installation that this person is signed in to, where it is one of this machine."""
    from fairlead.cli.api import Api, Refused

    try:
        found = str(Api(timeout_s=ASK_S).get("/status").get("home") or "")
    except (Refused, Error):
        return ""
    return found if found and Path(found).is_dir() else ""


def restore(
    file: Path = typer.Argument(help="An archive that backup wrote."),
    home: Path = typer.Option(None, "--home", help="A new or empty folder; default: as for up."),
    store: str = typer.Option(
        None, "--store", help="An empty database, postgresql://…, instead of SQLite in the home."
    ),
    bucket: str = typer.Option(None, "--bucket", help="s3://… instead of a folder in the home."),
    check: bool = typer.Option(False, "--check", help=CHECK_HELP),
) -> None:
    """Make a house from a backup in a new home.

    Every part of it is compared with what was saved.
    """
    from fairlead.backup import archive

    if check:
        about, digests = archive.verify(file)
        view = {
            "file": str(file),
            "made_at": about.made_at,
            "fairlead": about.fairlead,
            "members": len(digests.members),
        }
        said = f"{file} is whole: {len(digests.members):,} members, made at {about.made_at:%Y-%m-%d %H:%M:%SZ}"
        terminal.result(said, view | {"made_at": about.made_at.isoformat()})
        return
    _restore(file, home, {"store": store, "bucket": bucket})


def _restore(file: Path, root: Path | None, said: dict[str, str | None]) -> None:
    import asyncio

    from fairlead import settings
    from fairlead.backup import archive
    from fairlead.backup.restore import restore
    from fairlead.buckets.obstore import open_bucket
    from fairlead.keeper import home as homes
    from fairlead.keeper import listening, storage
    from fairlead.store import migrate

    chosen = settings.load({"home": root, **said})
    home = Home(chosen.home)
    about, _ = archive.verify(file)
    if not about.has_bucket and not chosen.bucket:
        raise Invalid(
            f"{file} was made without the objects of its bucket",
            code="bucket_missing",
            hint="name the bucket of that house with --bucket",
        )
    options = {name: getattr(chosen, name) for name in said if getattr(chosen, name)}
    with homes.making(home):
        bucket = open_bucket(chosen.bucket or str(home.bucket)) if about.has_bucket else None
        restored = asyncio.run(restore(file, home, _store(chosen, home), bucket, options, _progress))
        storage.take(chosen, home)
        if not home.options.exists():
            listening.remember(home, options)
        migrate.mark(home.database_made)
    _progress("")
    for name, value in restored.places.items():
        terminal.note(f"settings.toml named {name} = {value!r}: taken out, that is the other house's")
    view = {"home": str(home.root), **{name: getattr(restored, name) for name in restored.__struct_fields__}}
    terminal.result(f"{home.root}  {restored.rows:,} rows, {restored.objects:,} objects, all as they were saved", view)
    terminal.note(f"start it with: fairlead up --home {home.root}")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def _store(chosen: Settings, home: Home) -> str:
    return chosen.store or f"sqlite:///{home.database}"


def _progress(said: str) -> None:
    if sys.stderr.isatty():
        terminal.progress(said)


def _refuse_place(file: Path, home: Home) -> None:
    if not file.absolute().parent.is_dir():
        raise Invalid(f"{file.parent} is no folder", code="file_unusable", hint="name a file in a folder that is there")
    if home.root.resolve() in file.absolute().resolve().parents:
        raise Invalid(
            f"{file} lies in the home that it would be a backup of", code="file_unusable", hint="name a file elsewhere"
        )
