"""``fairlead gallery``: results that are kept on purpose."""

from __future__ import annotations

import base64
import json
import mimetypes
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import calling, saving, terminal
from fairlead.cli.api import Api, named

_VISIBILITY = typer.Option("", "--visibility", help="private, team or public, which is read without a token.")


def register(app: typer.Typer) -> None:
    """The gallery has no verbs of its own at the top."""


app = typer.Typer(help="Results kept on purpose.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _list(
    context: typer.Context,
    model: str = typer.Option("", "--model", help="Results of this model."),
    by: str = typer.Option("", "--by", help="What this person keeps."),
    limit: int = typer.Option(50, "--limit", help="As many of the newest, up to 500."),
) -> None:
    if context.invoked_subcommand is not None:
        return
    chosen = {name: value for name, value in (("model", model), ("by", by)) if value}
    with Api() as api:
        view = api.get("/gallery", limit=limit, **chosen)
    rows = [one | {"title": one["title"] or one["prompt"][:40]} for one in view["items"]]
    columns = (
        "id",
        "title",
        "model",
        "version",
        "content_type",
        "size_bytes",
        "visibility",
        "created_by",
        "created_at",
    )
    terminal.table(rows, columns, view)


@app.command()
def keep(
    job: str,
    title: str = typer.Option("", "--title", help="What it is called."),
    visibility: str = _VISIBILITY,
) -> None:
    """Keep the result of a job until it is taken down.

    It is copied in the bucket, and does not come by way of this machine.
    """
    with Api() as api:
        view = api.post("/gallery", {"job": job, "title": title} | _seen_by(visibility))
    _print(view)


@app.command()
def add(
    model: str,
    file: Path = typer.Argument(help="What the model answered: a picture, or JSON."),
    settings: list[str] = typer.Option([], "--set", help="name=value of what it was asked, e.g. prompt=a boat"),
    title: str = typer.Option("", "--title", help="What it is called."),
    visibility: str = _VISIBILITY,
) -> None:
    """Keep what a model answered to a call that was no job."""
    if not file.is_file():
        raise typer.BadParameter(f"{file}: no such file")
    inputs = {name: calling.as_value(value) for name, value in calling.pairs(settings).items()}
    body = {"model": named("model", model), "answer": _answer(file), "inputs": inputs, "title": title}
    with Api(timeout_s=600) as api:
        view = api.post("/gallery", body | _seen_by(visibility))
    _print(view)


@app.command()
def show(entry: str) -> None:
    """Show one entry: who made what with which model."""
    with Api() as api:
        _print(api.get(f"/gallery/{entry}"))


@app.command()
def get(
    entry: str,
    output: Path = typer.Option(None, "--output", "-o", help="Write it there; the file is there once it is whole."),
) -> None:
    """Print the content of an entry, or write it to a file."""
    calling.check_output(output)
    with Api() as api, api.opened(f"/api/v1/gallery/{entry}/content") as (_, pieces):
        if output is None:
            saving.to_stdout(pieces)
        else:
            size = saving.to_file(pieces, output)
    if output is not None:
        terminal.result(f"{output}: {size} bytes", {"file": str(output), "bytes": size})


@app.command("set")
def set_(
    entry: str,
    title: str = typer.Option(None, "--title", help="What it is called."),
    visibility: str = _VISIBILITY,
) -> None:
    """Change what an entry is called, or who sees it."""
    with Api() as api:
        view = api.patch(f"/gallery/{entry}", ({} if title is None else {"title": title}) | _seen_by(visibility))
    _print(view)


@app.command("rm")
def remove(entry: str) -> None:
    """Take an entry down: its link leads nowhere from then on."""
    with Api() as api:
        api.delete(f"/gallery/{entry}")
    terminal.result(f"{entry} is taken down", {"id": entry})


def _seen_by(visibility: str) -> dict[str, str]:
    return {"visibility": visibility} if visibility else {}


def _answer(file: Path) -> Any:
    content = file.read_bytes()
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if kind == "application/json":
        try:
            return json.loads(content)
        except ValueError as error:
            raise typer.BadParameter(f"{file} is no JSON: {error}") from error
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _print(view: dict[str, Any]) -> None:
    seed = "" if view["seed"] is None else f", seed {view['seed']}"
    made = f"{view['model']}@{view['version']}{seed}, {view['content_type']}, {view['size_bytes']} bytes"
    lines = [view["id"], *([view["title"]] if view["title"] else []), *([view["prompt"]] if view["prompt"] else [])]
    lines += [made, f"{view['visibility']}, kept by {view['created_by']} {view['created_at']}", view["url"]]
    terminal.result("\n  ".join(lines), view)
