"""``fairlead up``, ``down``, ``status`` and ``doctor``: the installation itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from fairlead.cli import session, terminal
from fairlead.cli.api import Api, Refused
from fairlead.cli.commands.noun import telling
from fairlead.errors import Error

HOME_HELP = "Folder of the installation; default: FAIRLEAD_HOME, else the user's data folder."


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("doctor")(doctor)


def up(
    home: Path = typer.Option(None, "--home", help=HOME_HELP),
    listen: str = typer.Option(None, "--listen", help="Front door, host:port."),
    devices: str = typer.Option(None, "--devices", help="MQTT, host:port."),
    cert: Path = typer.Option(None, "--cert", help="Certificate chain, PEM."),
    key: Path = typer.Option(None, "--key", help="Its private key, PEM."),
    insecure: bool = typer.Option(None, "--insecure", help="Listen beyond loopback without TLS."),
    public_url: str = typer.Option(None, "--public-url"),
    apps_domain: str = typer.Option(None, "--apps-domain"),
    store: str = typer.Option(None, "--store", help="postgresql://… instead of SQLite in the home."),
    bucket: str = typer.Option(None, "--bucket", help="s3://… instead of a folder in the home."),
    trusted_only: str = typer.Option(None, "--trusted-only", help="Refuse bundles below this isolation level."),
    log_level: str = typer.Option(None, "--log-level"),
    demo: bool = typer.Option(False, "--demo", help="Also deploy the examples; in a home of its own unless said."),
) -> None:
    """Start the platform in the foreground; Ctrl-C stops everything. What is not said is as the home's last start."""
    from fairlead import log, settings
    from fairlead.cli import demo as demonstration
    from fairlead.cli import welcome
    from fairlead.keeper import life

    if demo and home is None:
        home = demonstration.home_of()
    said = {
        "home": home,
        "listen": listen,
        "devices": devices,
        "cert": cert,
        "key": key,
        "insecure": insecure,
        "public_url": public_url,
        "apps_domain": apps_domain,
        "store": store,
        "bucket": bucket,
        "trusted_only": trusted_only,
        "log_level": log_level,
    }
    chosen, options = settings.load(said), settings.options(said)
    log.configure(chosen.log_level if log_level else "warning")
    life.run(
        chosen,
        ready=welcome.Welcome(chosen, demo=demo).greet,
        stopping=lambda: terminal.note("stopping"),
        options=options,
    )


def down(home: Path = typer.Option(None, "--home", help=HOME_HELP)) -> None:
    """Stop the platform of a home, also one whose keeper was killed."""
    from fairlead import settings
    from fairlead.keeper import life

    root = Path(home or settings.default_home()).expanduser().absolute()  # settings that are wrong keep nothing running
    ended = life.stop(settings.Settings(home=root))
    terminal.result(f"stopped {root}" if ended else f"{root}: nothing was running")


def status(
    home: Path = typer.Option(None, "--home", help="That of a home on this machine; default: the one in use."),
) -> None:
    """Show what runs and how it is."""
    with Api(_session_at(home) if home is not None else None) as api:
        view = api.get("/status")
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result("  ".join(filter(None, (view["state"], api.url, view.get("home")))))
    for trouble in view.get("troubles") or ():
        terminal.result(f"  {trouble}")
    processes = [process | {"reason": telling(process)} for process in view["processes"]]
    terminal.table(processes, ("name", "status", "pid", "since", "restarts", "reason"))
    for noun in ("models", "runs", "jobs", "devices"):
        counts = view.get(noun) or {}
        terminal.result(f"{noun}: " + (", ".join(f"{count} {word}" for word, count in counts.items()) or "none"))


def _session_at(home: Path) -> session.Session:
    """Return the session kept for a home's platform, else that of the home's owner, which is not kept."""
    from fairlead.cli import homes

    found = homes.look(home)
    try:
        return session.of(found.url)
    except KeyError:
        with Api(session.Session(found.url, "", "", found.ca)) as api:
            signed = api.post("/login/here", {"key": found.key})
        return session.Session(found.url, signed["token"], signed["user"], found.ca)


def doctor(home: Path = typer.Option(None, "--home", help=HOME_HELP)) -> None:
    """Look whether this machine has what Fairlead needs. Then come the settings that are not the default."""
    from fairlead import settings
    from fairlead.keeper.doctor import examine

    chosen = settings.load({"home": home})
    findings = examine(chosen)
    view: dict[str, Any] = {
        "settings": settings.redacted(chosen),
        "checks": [finding.as_view() for finding in findings],
        "troubles": _troubles(chosen.home),
    }
    if terminal.wants_json():
        terminal.result("", view)
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else ("FAIL" if finding.needed else "warn")
            terminal.result(f"{mark} {finding.name}: {finding.said}")
            if finding.hint and not finding.ok:
                terminal.result(f"     hint: {finding.hint}")
        for trouble in view["troubles"]:
            terminal.result(f"warn platform: {trouble}")
        usual = settings.redacted(settings.Settings(home=chosen.home))
        for name, value in view["settings"].items():
            if value != usual[name] or name == "home":
                terminal.result(f"{name} = {value}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise Refused(
            "this machine lacks something that Fairlead needs", exit_code=6, code="not_fit", hint="see FAIL above"
        )


def _troubles(home: Path) -> list[str]:
    """Return what the platform of a home says is wrong, where it runs and answers."""
    try:
        with Api(_session_at(home)) as api:
            return [str(trouble) for trouble in api.get("/status").get("troubles") or ()]
    except (Error, Refused):
        return []  # whether it runs, the other findings tell
