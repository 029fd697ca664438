"""``fairlead check``, ``push``, ``init`` and ``predict``: what one does with a folder."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import calling, terminal
from fairlead.cli.api import Api, Refused, named
from fairlead.cli.commands import templates
from fairlead.errors import Error, Problem

MANIFEST = "fairlead.toml"
ASK_S = 3.0
"""A check waits so long for the installation."""
UNCHANGED = 200
"""Status of a push of what is there already."""


def register(app: typer.Typer) -> None:
    app.command("init")(init)
    app.command("check")(check)
    app.command("push")(push)
    app.command("predict")(predict)


def init(
    kind: str = typer.Argument(help="model or app"),
    name: str = typer.Argument("", help="Its name and folder; default: my-model or my-app, or that of the file."),
    source: Path = typer.Option(
        None, "--from", help="A model that you have: .onnx, .joblib, .pkl, .pt, .pt2, .pth, .safetensors."
    ),
) -> None:
    """Make a folder that can be pushed as it is. With --from it is made of the file of a model, which is copied."""
    if source is not None:
        from fairlead.cli import artifact

        if kind != "model":
            raise typer.BadParameter("--from makes a model: fairlead init model --from FILE")
        folder, told = artifact.adopt(source, name or artifact.name_of(source), Path.cwd())
    else:
        folder, told = templates.write(kind, name or f"my-{kind}", Path.cwd()), []
    terminal.result(str(folder))
    for line in told:
        terminal.note(line)
    terminal.note(f"next: fairlead check {folder.name}; fairlead push {folder.name}")


def check(folder: Path = typer.Argument(Path(), help="The bundle's folder.")) -> None:
    """Look for every problem that a push would refuse."""
    from fairlead.bundles.check import check as examine

    checked = examine(folder)
    for item in (*checked.warnings, *_lacking(checked.manifest)):
        terminal.note(f"warning: {item.path}: {'; '.join(filter(None, (item.message, item.hint)))}")
    for item in checked.problems:
        terminal.problem(item, MANIFEST, is_file=_is_file(item.path, folder))
    if checked.problems:
        raise typer.Exit(5)
    manifest = checked.require()
    terminal.result(f"{manifest.name}: {len(checked.files)} files, no problems")


def _lacking(manifest: object) -> tuple[Problem, ...]:
    """Return what an app asks of an installation that is not there: asked of the one that this person is signed in to.

    Where there is none, or it does not answer, nothing is told: types and models are added by people.
    """
    from fairlead.apps import lacking
    from fairlead.bundles.manifest import AppManifest

    if not isinstance(manifest, AppManifest) or not (manifest.devices or manifest.models):
        return ()
    try:
        with Api(timeout_s=ASK_S) as api:
            types, models = api.get("/types")["items"], api.get("/models")["items"]
    except (Refused, Error):
        return ()
    majors: dict[str, set[int]] = {}
    for one in types:
        majors.setdefault(one["name"], set()).add(int(one["version"].partition(".")[0]))
    return tuple(lacking.told(manifest, majors, [one["name"] for one in models]))


def _is_file(path: str, folder: Path) -> bool:
    """Whether the path of a problem is that of a file, and no key of the manifest."""
    return path in (MANIFEST, str(folder)) or (folder / path).is_file()


def push(
    folder: Path = typer.Argument(Path(), help="The bundle's folder."),
    alias: str = typer.Option("production", "--alias", help="Alias to move once ready; none: move nothing."),
    wait: bool = typer.Option(True, "--wait/--no-wait", help="Follow until it is ready or has failed."),
) -> None:
    """Pack, check and send a bundle; follow it until it answers."""
    from fairlead.bundles.check import check as examine
    from fairlead.cli.sending import send

    with _naming(folder):
        checked = examine(folder)
        checked.require()
        terminal.step(f"checked {len(checked.files)} files")
        with Api(timeout_s=600) as api:
            sent = send(api, folder, checked.files, alias)
            answer = sent.json()
            if sent.status_code == UNCHANGED:
                terminal.step(f"unchanged: {answer['name']}@{answer['version']} has the same content")
            for warning in answer.get("warnings") or ():
                terminal.note(f"warning: {warning}")
            name, version = answer["name"], answer["version"]
            if wait:
                _follow(api, answer["kind"], name, version, told=answer.get("warnings") or ())
            terminal.result(" ".join(filter(None, (f"{name}@{version}", _url(answer, alias)))), answer)


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Have hints name the folder that is pushed: the platform does not know it."""
    try:
        yield
    except (Refused, Error) as error:
        error.hint = error.hint.replace("FOLDER", shlex.quote(str(folder)))
        raise


def _url(answer: dict[str, Any], alias: str) -> str | None:
    """Return where this very push is called: by its alias, or by its version where it took none."""
    url: str | None = answer["url"]
    if url is None or alias == "production":
        return url
    ref = answer["version"] if alias == "none" else alias
    return url.replace(f"/models/{answer['name']}/", f"/models/{answer['name']}@{ref}/")


def _follow(api: Api, kind: str, name: str, version: str, *, told: Collection[str] = ()) -> None:
    """Print the version's steps until it is ready; raises :class:`Refused` with its last lines when it failed."""
    said = ""
    for event, view in api.events(f"/{kind}s/{name}/versions/{version}/events"):
        if view.get("said") and view["said"] != said:
            said = view["said"]
            terminal.step(said)
        if event == "done":
            for warning in view.get("warnings") or ():
                if warning not in told:
                    terminal.note(f"warning: {warning}")
            return
        if event == "away":
            raise Refused(
                f"{name}@{version} is pushed and waits: {view['message']}",
                exit_code=6,
                code=view["code"],
                hint=view["hint"],
            )
        if event == "error":
            for line in view.get("last_lines") or ():
                terminal.note(f"  | {line}")
            error = view.get("error") or {}
            raise Refused(
                f"{name}@{version} failed: {error.get('message') or view.get('reason') or 'no reason was given'}",
                code=error.get("code", "version_failed"),
                hint=error.get("hint") or f"fairlead logs {name}@{version}",
            )
    raise Refused(
        f"{name}@{version} is not ready yet: the stream of its steps ended",
        exit_code=6,
        code="not_ready",
        hint=f"fairlead models show {name}",
    )


def predict(
    model: str = typer.Argument(help="name, name@alias or name@version"),
    body: str = typer.Option("", "--json", "--body", help="The body, or - for standard input."),
    file: Path = typer.Option(None, "--file", help="Send this file as the body."),
    settings: list[str] = typer.Option(
        [], "--set", help="name=value, each JSON or text; a text of digits as name='\"123\"'."
    ),
    output: Path = typer.Option(None, "--output", "-o", help="Write the answer there."),
) -> None:
    """Call a model."""
    path = f"/v1/models/{named('model', model)}/predict"
    calling.check_output(output)
    sent = calling.body_of(body, file, settings)
    pieces = calling.Pieces()
    with Api(timeout_s=600) as api:
        try:
            answer = api.send("POST", path, on_event=pieces.show if output is None else None, **sent)
        except Refused as error:
            error.message = error.message.replace(path, model)
            raise calling.explained(api, error, model, file, dict(map(calling.pair, settings))) from None
        finally:
            pieces.end()
    if pieces.came:
        return
    if output is not None:
        output.write_bytes(answer.content)
        terminal.result(str(output))
    elif answer.headers.get("content-type", "").startswith(("application/json", "text/")):
        terminal.result(answer.text.rstrip("\n"))
    else:
        terminal.raw(answer.content)
