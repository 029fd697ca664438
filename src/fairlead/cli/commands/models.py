"""``fairlead models``."""

from __future__ import annotations

import re
import time
from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, Refused, named
from fairlead.cli.commands.noun import telling

_WEIGHT = re.compile("[0-9]{1,4}")
_FACT_MAX = 100
"""Characters of a fact in a table; ``--json`` has all."""


app = typer.Typer(help="Models and their versions.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _list(
    context: typer.Context,
    author: str = typer.Option("", "--author", help="By this person, or who has this in their name."),
    task: str = typer.Option("", "--task", help="For this task."),
    tag: str = typer.Option("", "--tag", help="With this tag."),
    words: str = typer.Option("", "--search", help="With all these words somewhere."),
) -> None:
    if context.invoked_subcommand is not None:
        return
    chosen = {"author": author, "task": task, "tag": tag, "q": words}
    with Api() as api:
        view = api.get("/models", **{name: value for name, value in chosen.items() if value})
    terminal.table(
        [_row(model) for model in view["items"]],
        ("name", "production", "status", "visibility", "owner", "summary"),
        view,
    )


def _row(model: dict[str, Any]) -> dict[str, Any]:
    production = targets(model["aliases"].get("production") or [])
    named = {target["version"] for target in model["aliases"].get("production") or []}
    status = ",".join(sorted({version["status"] for version in model["versions"] if version["version"] in named}))
    return model | {
        "production": production,
        "status": status or (model["versions"][0]["status"] if model["versions"] else "-"),
    }


def targets(items: list[dict[str, Any]]) -> str:
    """Return ``1.3.0:10,1.2.0:90``, or just the version where it has all."""
    if len(items) == 1:
        return str(items[0]["version"])
    return ",".join(f"{item['version']}:{item['weight']}" for item in items) or "-"


WAIT_S = 60.0
"""Longest wait for a front door to do what was decided."""
DECISIONS = 5
"""Decisions about replicas that ``show`` prints; the API has more."""


@app.command()
def show(name: str = typer.Argument(help="name, name@alias or name@version")) -> None:
    """Show one model: aliases, versions, replicas, how to call it. With @ one version of it."""
    name, at, ref = name.partition("@")
    with Api() as api:
        model = api.get(f"/models/{named('model', name)}")
        if at:
            held = model["aliases"].get(ref) or [{"version": ref}]
            for one in held:
                _version(name, api.get(f"/models/{name}/versions/{named('version', one['version'])}"), model["url"])
            return
        scaling = api.get(f"/models/{name}/scaling") if not terminal.wants_json() else {}
    if terminal.wants_json():
        terminal.result("", model)
        return
    terminal.result(f"{model['name']}  {model['summary']}".rstrip() + f"\n{model['url']}")
    for alias, items in sorted(model["aliases"].items()):
        terminal.result(f"  {alias}: {targets(items)}")
    for field, words in (model.get("inputs") or {}).items():
        terminal.result(f"  input {field}: {words}")
    for field, words in (model.get("outputs") or {}).items():
        terminal.result(f"  output {field}: {words}")
    rows = [version | {"reason": telling(version)} for version in model["versions"]]
    terminal.table(rows, ("version", "status", "created_at", "created_by", "reason"))
    live = [version for version in model["versions"] if version["status"] not in ("failed", "retired")]
    for version in live:
        if version.get("serving"):
            terminal.result(f"  serving {version['version']}: {version['serving']}")
        if version.get("crash"):
            terminal.result(f"  last crash of {version['version']}: {version['crash']}; fairlead logs {name}")
        for warning in version.get("warnings") or ():
            terminal.result(f"  warning: {version['version']}: {warning}")
    if model.get("replicas"):
        replicas = [replica | {"reason": telling(replica)} for replica in model["replicas"]]
        terminal.table(replicas, ("replica", "version", "status", "pid", "served", "reason"))
    for one in model.get("traffic") or ():
        terminal.result(f"  {_traffic(one)}")
    _show_scaling(scaling)


def _show_scaling(scaling: dict[str, Any]) -> None:
    """Print how many replicas there shall be, and the last decisions."""
    for one in scaling["versions"]:
        said = f"scaling {one['version']}: {one['ready']} ready, {one['starting']} starting, {one['wanted']} wanted"
        terminal.result(f"  {said} of {one['min']} to {one['max']}{': ' if one['why'] else ''}{one['why']}")
    if scaling["decisions"]:
        shown = scaling["decisions"][:DECISIONS]
        terminal.table(
            [one | {"replicas": f"{one['from']} → {one['to']}"} for one in shown],
            ("at", "version", "replicas", "rule", "why"),
        )


def _version(name: str, version: dict[str, Any], url: str) -> None:
    """Print one version."""
    terminal.result(f"{name}@{version['version']}  {version['status']}", version)
    if terminal.wants_json():
        return
    terminal.result(url.replace(f"/models/{name}/", f"/models/{name}@{version['version']}/"))
    said = [("reason", version.get("reason")), ("pushed by", version.get("created_by"))]
    said += [("at", terminal.moment(version["created_at"])), ("digest", version.get("digest"))]
    said += [("serving", version.get("serving")), ("last crash", version.get("crash"))]
    if evidence := version.get("evidence"):
        said += [("examples", f"as of {terminal.moment(evidence['at'])}, {_went(evidence['examples'])}")]
    said += [("warning", warning) for warning in version.get("warnings") or ()]
    for word, value in said:
        if value:
            terminal.result(f"  {word}: {value}")
    for line in version.get("last_lines") or ():
        terminal.result(f"  | {line}")


def _went(tried: list[dict[str, Any]]) -> str:
    """Return how examples went when they were tried last, in one line."""
    wrong = [f"{one['title']}: {one['said']}" for one in tried if not one["ok"]]
    return "; ".join(wrong) or f"{len(tried)} of {len(tried)} hold"


@app.command()
def card(name: str) -> None:
    """Show what a model's card says, and whose word each fact is."""
    with Api() as api:
        view = api.get(f"/models/{named('model', name)}/card")
    rows = [
        {"fact": fact, "value": _word(one["value"]), "source": one["source"]} for fact, one in view["facts"].items()
    ]
    for site in view["sites"]:
        said = site["facts"].get("title") or site["facts"].get("id") or site["why"] or site["state"]
        rows.append({"fact": site["url"], "value": _word(said), "source": site["source"]})
    terminal.table(rows, ("fact", "value", "source"), view)


def _word(value: Any) -> str:
    """Return a fact in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _FACT_MAX else f"{text[: _FACT_MAX - 1]}…"


def _traffic(one: dict[str, Any]) -> str:
    """Return what a version did in the last minutes, in one line."""
    said = f"{one['version']}: {one['requests']} requests in {max(1, round(one['window_s'] / 60))} min"
    if one["requests"]:
        said += f", {one['errors']} errors"
    if one["p50_ms"] is not None:
        said += f", p50 {one['p50_ms']:g} ms, p99 {one['p99_ms']:g} ms"
    if one["batch_rows"] is not None:
        said += f", {one['batch_rows']:g} rows a batch"
    if one["cold_starts"]:
        said += f"; {one['cold_starts']} cold starts, {one['cold_start_s']:g} s each"
    return said


@app.command()
def alias(
    name: str, assignment: str = typer.Argument(help="alias=version, alias=1.3.0:10,1.2.0:90, or alias= to remove it")
) -> None:
    """Point an alias at one version or several, or remove it."""
    label, equals, spec = assignment.partition("=")
    if not equals:
        raise typer.BadParameter(f"{assignment}: write alias=version")
    if not spec:
        _remove_alias(named("model", name), named("alias", label))
        return
    wanted: list[dict[str, Any]] = []
    for part in spec.split(","):
        version, _, weight = part.partition(":")
        if weight and not _WEIGHT.fullmatch(weight):
            raise typer.BadParameter(f"{part}: the weight is a whole number from 1 to 1000")
        if weight and not int(weight):
            raise typer.BadParameter(f"{part}: a version with weight 0 takes no call; leave it out")
        wanted.append({"version": version, "weight": int(weight or 100)})
    if len(wanted) == 1 and ":" in spec:
        lone, rest = wanted[0]["version"], 100 - wanted[0]["weight"]
        raise typer.BadParameter(
            f"{spec}: one version alone takes all calls; write {label}={lone}, or who takes the rest:"
            f" {label}={spec},VERSION:{rest if rest > 0 else 100}"
        )
    with Api() as api:
        view = api.put(f"/models/{named('model', name)}/aliases/{named('alias', label)}", {"targets": wanted})
        _until_in_force(api, name, wanted[0]["version"], view, f"{label} is {targets(wanted)}")
    for warning in view.get("warnings") or ():
        terminal.note(f"warning: {warning}")
    terminal.result(f"{label}: {targets(wanted)}", view)


@app.command()
def rollback(name: str, alias: str = typer.Option("production", "--alias")) -> None:
    """Put back what the alias held before; once."""
    with Api() as api:
        view = api.post(f"/models/{named('model', name)}/rollback", {"alias": alias})
        version = view["to"].partition(",")[0].partition(":")[0]
        _until_in_force(api, name, version, view, f"{alias} is {view['to']}")
    for warning in view.get("warnings") or ():
        terminal.note(f"warning: {warning}")
    terminal.result(f"{view['alias']}: {view['from']} → {view['to']}", view)
    terminal.note(f"put back what it held before; forth again: fairlead models alias {name} {alias}={view['from']}")


@app.command("set")
def change(
    name: str,
    visibility: str = typer.Option("", "--visibility", help="private, team, or public, which a configurer grants."),
    outbound: bool = typer.Option(None, "--outbound/--no-outbound", help="Whether it has the network it asks for."),
    owner: str = typer.Option("", "--owner", help="Whose it is from now on."),
) -> None:
    """Change who may see and call a model, or whose it is.

    A configurer grants the network too. Public: anyone, without a token, at a bounded rate.
    """
    said_of = (("visibility", visibility or None), ("owner", owner or None), ("outbound", outbound))
    wanted: dict[str, Any] = {field: value for field, value in said_of if value is not None}
    if not wanted:
        raise typer.BadParameter("say --visibility, --owner, --outbound or --no-outbound")
    with Api() as api:
        view = api.patch(f"/models/{named('model', name)}", wanted)
    if pending := view.get("pending"):
        raise _not_in_force(f"{name} is {view['visibility']}", pending)
    said = "" if outbound is None else f", network {'granted' if outbound else 'no longer granted'}"
    said += f", owner {view['owner']}" if owner else ""
    terminal.result(f"{name}: {view['visibility']}{said}", view)


@app.command()
def rm(name: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Remove a model, or one version (name@version)."""
    model, at, version = name.partition("@")
    path = f"/models/{named('model', model)}" + (f"/versions/{named('version', version)}" if at else "")
    if not yes:  # what is not there is told before anything is asked
        with Api() as api:
            api.get(path)
    if not terminal.confirm(f"remove {name}? calls to it will answer {410 if at else 404}", yes=yes):
        terminal.error("nothing was removed", hint="say --yes", code="not_confirmed")
        raise typer.Exit(1)
    with Api() as api:
        view = api.delete(path) or {}
        _until_gone(api, view, f"{name} is removed")
    terminal.result(f"removed {name}")


def _remove_alias(name: str, label: str) -> None:
    """Remove an alias; ``production`` is kept by the platform."""
    with Api() as api:
        view = api.delete(f"/models/{name}/aliases/{label}") or {}
        _until_gone(api, view, f"{label} of {name} is removed")
    terminal.result(f"removed {name}@{label}")


def _until_in_force(api: Api, name: str, version: str, view: dict[str, Any], done: str) -> None:
    """Return once front doors do what was ``done``, saying what is waited for; else raises :class:`Refused`."""
    said = view.get("pending")
    if not said:
        return
    terminal.step(said)
    for event, step in api.events(f"/models/{name}/versions/{version}/events"):
        if event == "done":
            return
        if event == "step" and step.get("said") not in ("", said):
            said = step["said"]
            terminal.step(said)
        if event == "away":
            raise _not_in_force(done, step["message"], step["hint"])
    raise _not_in_force(done, said)


def _until_gone(api: Api, view: dict[str, Any], done: str) -> None:
    """Return once no front door leads to what was removed, saying what is waited for; else raises :class:`Refused`."""
    said, deadline = view.get("pending"), time.monotonic() + WAIT_S
    if said:
        terminal.step(said)
    while said:
        if time.monotonic() > deadline:
            raise _not_in_force(done, said)
        last, said = said, api.get("/pending").get("pending")
        if said and said != last:
            terminal.step(said)


def _not_in_force(done: str, why: str, hint: str = "it takes effect once that is mended: fairlead status") -> Refused:
    return Refused(f"{done}, but calls do not know it yet: {why}", exit_code=6, code="not_in_force", hint=hint)
