"""``fairlead jobs``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import calling, saving, terminal
from fairlead.cli.api import Api, Refused, named

FINAL = ("succeeded", "failed", "canceled")
_MOMENTS = (
    ("created", "created_at"),
    ("began", "started_at"),
    ("ended", "finished_at"),
    ("next attempt", "next_attempt_at"),
    ("deadline", "deadline_at"),
    ("kept until", "expires_at"),
)


def register(app: typer.Typer) -> None:
    """Jobs have no verbs of their own at the top."""


app = typer.Typer(help="Durable calls of models.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _list(
    context: typer.Context,
    model: str = typer.Option("", "--model", help="Jobs of this model."),
    status: str = typer.Option("", "--status", help="queued, running, succeeded, failed or canceled."),
    limit: int = typer.Option(50, "--limit", help="As many of the newest, up to 500."),
) -> None:
    if context.invoked_subcommand is not None:
        return
    chosen = {name: value for name, value in (("model", model), ("status", status)) if value}
    with Api() as api:
        view = api.get("/jobs", limit=limit, **chosen)
        if model and not view["items"]:
            api.get(f"/models/{named('model', model)}")  # whether there is such a model
    terminal.table(view["items"], ("id", "model", "version", "status", "attempts", "created_at", "reason"), view)


def _failed(api: Api, model: str) -> Iterator[str]:
    """Yield the ids of all failed jobs of ``model``, the newest first."""
    page: dict[str, Any] = {"model": model, "status": "failed", "limit": 100}
    while True:
        found = api.get("/jobs", **page)
        yield from (item["id"] for item in found["items"])
        if not found["next"]:
            return
        page["before"] = found["next"]


@app.command()
def submit(
    model: str,
    files: list[Path] = typer.Argument(None, help="One job a file, sent as it is; fields beside it with --set."),
    body: str = typer.Option("", "--body", help="A JSON body."),
    settings: list[str] = typer.Option([], "--set", help="name=value"),
    key: str = typer.Option("", "--idempotency-key", help="The same key and body give the same job."),
    priority: str = typer.Option("", "--priority", help="normal or batch, which comes after normal."),
    deadline: str = typer.Option("", "--deadline", help="Seconds, or a moment (2026-11-20T14:03:00Z): fails after it."),
    callback: str = typer.Option("", "--callback", help="URL that is told once it has ended; see jobs secret."),
) -> None:
    """Keep calls until they are done; prints one id a line."""
    from fairlead.cli.calling import body_of

    path = f"/v1/models/{named('model', model)}/jobs"
    if any(str(file)[:1] in ("{", "[") and not file.is_file() for file in files or ()):
        raise typer.BadParameter(
            "files are given as they are, a JSON body as --body '{…}'; --json prints the API's view"
        )
    calls = [body_of(body, file, settings, "--body") for file in files or (None,)]
    said = {"Idempotency-Key": key, "X-Priority": priority, "X-Deadline": deadline, "X-Callback-Url": callback}
    headers = {name: value for name, value in said.items() if value}
    if key and len(calls) > 1:
        raise typer.BadParameter("--idempotency-key is one job's: submit the files one by one")
    with Api(timeout_s=600) as api:
        for call in calls:
            call["headers"] = call.get("headers", {}) | headers
            try:
                view = api.send("POST", path, **call).json()
            except Refused as error:
                raise calling.explained(api, error, model, Path(), calling.pairs(settings)) from None
            terminal.result(view["id"], view)


@app.command()
def show(job: str) -> None:
    """Show one job; its result is printed with `jobs result`."""
    with Api() as api:
        view = api.get(f"/jobs/{job}")
    _print(view, _details(view))


def _details(view: dict[str, Any]) -> str:
    """Return lines that tell how far a job is, when it came, began and ended, and what else was asked of it."""
    progress, lines = _step(view), []
    if progress and view["status"] == "running":
        lines.append(progress)
    said = [f"{word} {terminal.moment(view[name])}" for word, name in _MOMENTS if view.get(name)]
    if view.get("priority") not in (None, "normal"):
        said.append(f"priority {view['priority']}")
    if said:
        lines.append(", ".join(said))
    return "".join(f"\n  {line}" for line in lines)


def _step(view: dict[str, Any]) -> str:
    """Return what a model told last of how far it is."""
    progress = view.get("progress")
    if not progress:
        return ""
    return f"step {progress['step']} of {progress['total']}" + (f": {progress['note']}" if progress.get("note") else "")


def _print(view: dict[str, Any], details: str = "") -> None:
    text = f"{view['id']} {view['model']}@{view['version']} {view['status']}"
    error = view.get("error") if view["status"] == "failed" else None
    if error:
        text += f": {error['message']} ({error['code']})"
        text += f"\n  hint: {error['hint']}" if error.get("hint") else ""
    elif view.get("reason"):
        text += f": {view['reason']}"
    text += details
    if view.get("download"):
        text += f"\n  download, without a token until {view['download']['expires_at']}: {view['download']['url']}"
    terminal.result(text, view)


@app.command()
def result(
    job: str,
    output: Path = typer.Option(None, "--output", "-o", help="Write it there; the file is there once it is whole."),
) -> None:
    """Print what a job answered, or write it to a file."""
    calling.check_output(output)
    with Api() as api, api.opened(f"/api/v1/jobs/{job}/result") as (headers, pieces):
        if output is None:
            saving.to_stdout(pieces)
        else:
            size = saving.to_file(pieces, output)
    if output is not None:
        terminal.result(f"{output}: {size} bytes", {"file": str(output), "bytes": size})
    elif headers.get_content_type() == "application/json":
        terminal.raw(b"\n")


@app.command()
def link(
    job: str,
    seconds: int = typer.Option(3600, "--for", help="Seconds that it holds; a week at most."),
) -> None:
    """Make a link to a job's result that needs no token.

    Anybody who has the link may fetch it, for as long as it holds.
    """
    with Api() as api:
        view = api.get(f"/jobs/{job}/link", for_s=seconds)
    terminal.result(view["url"], view)


@app.command()
def wait(job: str, timeout: float = typer.Option(600, "--timeout", help="Seconds.")) -> None:
    """Wait until a job has ended. Each attempt that failed is told; exit 1 if the job failed."""
    deadline = time.monotonic() + timeout
    with Api() as api:
        view = api.get(f"/jobs/{job}")
        told, far = 0, ""
        while view["status"] not in FINAL:
            if view["status"] == "queued" and view["attempts"] > told:
                told = view["attempts"]
                terminal.step(view["reason"])
            elif view["status"] == "running" and _step(view) not in ("", far):
                far = _step(view)
                terminal.step(far)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Refused(
                    f"{view['id']} is {view['status']} after {timeout:g} s",
                    exit_code=7,
                    code="timed_out",
                    hint=f"it goes on; wait again, or: fairlead jobs cancel {view['id']}",
                )
            view = api.get(f"/jobs/{view['id']}", wait=min(left, 5 if far else 20), told=told)
    _print(view)
    if view["status"] != "succeeded":
        raise typer.Exit(1)


@app.command()
def callbacks(job: str) -> None:
    """Show what was told of a job's end, and how it went."""
    with Api() as api:
        view = api.get(f"/jobs/{job}/callbacks")
    terminal.table(view["items"], ("id", "url", "status", "attempts", "next_attempt_at", "reason"), view)


@app.command()
def secret() -> None:
    """Make the secret that signs your callbacks. It is shown once, and the one before signs as well for a day."""
    with Api() as api:
        view = api.post("/callbacks/secret")
    terminal.result(view["secret"], view)


@app.command()
def cancel(job: str) -> None:
    """Cancel a job that has not ended."""
    with Api() as api:
        view = api.delete(f"/jobs/{job}")
    _print(view)


@app.command()
def replay(
    job: str = typer.Argument("", help="Job."),
    failed: str = typer.Option("", "--failed", metavar="MODEL", help="All failed jobs of this model."),
) -> None:
    """Do a job again with the same bytes.

    By the version that answers now, where no alias names its own any more.
    """
    if bool(job) == bool(failed):
        raise typer.BadParameter("name a job, or --failed MODEL")
    with Api() as api:
        names = [job] if job else list(_failed(api, failed))
        for name in names:
            _print(api.post(f"/jobs/{name}/replay"))
        if not names:
            api.get(f"/models/{named('model', failed)}")  # whether there is such a model
    if not names:
        terminal.note(f"{failed} has no failed jobs")
