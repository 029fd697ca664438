"""``fairlead slo NAME``: how the objectives of a model stand."""

from __future__ import annotations

from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, named

WINDOWS = ("5m", "30m", "1h", "6h", "3d", "30d")
NOBODY = "none"


def register(app: typer.Typer) -> None:
    app.command()(slo)


def slo(
    name: str,
    export: str = typer.Option("", "--export", help="Print them for others: openslo or prometheus."),
    mail: list[str] = typer.Option([], "--mail", help="Mail alerts there, and nowhere else; none: to nobody."),
    webhook: str = typer.Option("", "--webhook", help="POST alerts to this URL; none: to nobody."),
) -> None:
    """Show how the objectives of a model stand.

    Attainment, error budget, burn rates and alerts. Or set who is told of its alerts.
    """
    path = f"/models/{named('model', name)}/slo"
    if mail or webhook:
        _tell(name, path, mail, webhook)
        return
    if export:
        with Api() as api:
            terminal.raw(api.send("GET", f"/api/v1{path}/{named('form', export)}").content)
        return
    with Api() as api:
        view = api.get(path)
    if terminal.wants_json():
        terminal.result("", view)
        return
    if (hour_s := 60 * view.get("slice_s", 60)) != 3600:
        terminal.result(
            f"an hour is {hour_s} s here (setting slo_hour_s): 5m is {hour_s / 12:g} s, 30d are {_days(hour_s)}\n"
        )
    for objective in view["objectives"]:
        _show(objective)
    if view["tell"] is not None:
        _show_told(name, view["tell"])


def _days(hour_s: int) -> str:
    """Return how long 30 days are where an hour has so many seconds."""
    return f"{30 * 24 * hour_s / 3600:g} h"


def _tell(name: str, path: str, mail: list[str], webhook: str) -> None:
    wanted: dict[str, Any] = {}
    if mail:
        wanted["mail"] = [] if mail == [NOBODY] else mail
    if webhook:
        wanted["webhook"] = "" if webhook == NOBODY else webhook
    with Api() as api:
        view = api.put(f"{path}/alerts", wanted)
    if terminal.wants_json():
        terminal.result("", view)
    else:
        _show_told(name, view)


def _show_told(name: str, view: dict[str, Any]) -> None:
    """Print who is told of alerts."""
    told = [*view["mail"], *filter(None, [view["webhook"]])]
    if told:
        terminal.result(f"alerts are told to {', '.join(told)}")
    else:
        terminal.result(f"alerts are told to nobody: fairlead slo {name} --mail ADDRESS, or --webhook URL")


def _show(one: dict[str, Any]) -> None:
    """Print one objective: a line, its windows, and the alerts that fire or did last."""
    attained = "nothing counted yet" if one["attainment"] is None else f"{_percent(one['attainment'])} attained"
    left = f"{_percent(one['budget_left'])} of the error budget left"
    terminal.result(f"{one['objective']}: {one['said']}\n  in 30 days: {attained}, {left}")
    rows = [
        {
            "window": window["window"],
            "good": _percent(1 - window["bad"] / window["valid"]) if window["valid"] else "-",
            "of": window["valid"],
            "bad": window["bad"],
            "burn rate": f"{window['burn_rate']:.3g}",
            "by": window["by"],
            "alert": _alerts_over(window["window"], one["alerts"]),
        }
        for window in one["windows"]
    ]
    terminal.table(rows, ("window", "good", "of", "bad", "burn rate", "by", "alert"))
    for alert in one["alerts"]:
        if alert["firing"]:
            said = f"the alert {alert['name']} ({alert['severity']}) fires since {terminal.moment(alert['since'])}"
            terminal.result(f"  {said}: at least {alert['threshold']:g} over {' and '.join(alert['windows'])}")
        elif alert["resolved_at"]:
            said = f"{terminal.moment(alert['since'])} to {terminal.moment(alert['resolved_at'])}"
            terminal.result(f"  the alert {alert['name']} ({alert['severity']}) fired from {said}")
    terminal.result("")


def _alerts_over(window: str, alerts: list[dict[str, Any]]) -> str:
    """Return the burn rates from which on alerts fire that look at a window."""
    said = [
        f"{alert['name']} from {alert['threshold']:g}{', firing' if alert['firing'] else ''}"
        for alert in alerts
        if window in alert["windows"]
    ]
    return "; ".join(said)


def _percent(share: float) -> str:
    """Return a share in percent, with as many digits as tell it from all, and never rounded up to all."""
    percent = share * 100
    return f"{percent:.4g} %" if percent < 99 else f"{int(percent * 1000 + 1e-6) / 1000:g} %"
