"""``fairlead bench``: what is measured of models and of the platform's own decisions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from fairlead.cli import terminal
from fairlead.cli.calling import check_output

app = typer.Typer(help="Measure models, and the platform's own decisions.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _verbs() -> None:
    """Keep it a noun with verbs, however few."""


class Kind(StrEnum):
    """Loads that can be made up."""

    constant = "constant"
    steps = "steps"
    ramp = "ramp"
    bursts = "bursts"
    day = "day"
    all = "all"


@app.command()
def simulate(
    load: Kind = typer.Option(Kind.all, "--load", help="Calls to make up."),
    trace: list[Path] = typer.Option([], "--trace", help="CSV file with the moment of each call in its first column."),
    column: str = typer.Option("", "--column", help="Column of the trace that a call's time depends on."),
    per: float = typer.Option(0.001, "--per", help="Seconds for each 1 in that column."),
    rate: float = typer.Option(20.0, "--rate", min=0.001, max=10_000, help="Calls a second, on the average."),
    cv: list[float] = typer.Option([1.0, 4.0, 13.0], "--cv", help="Bursts: deviation of the gaps, by their mean."),
    service: float = typer.Option(0.1, "--service", min=0, max=3600, help="Seconds a replica works on a call."),
    service_cv: float = typer.Option(0.5, "--service-cv", min=0, max=20, help="Its deviation, by its mean."),
    start: float = typer.Option(2.0, "--start", min=0, max=3600, help="Seconds from a replica's start until ready."),
    slo: float = typer.Option(1.0, "--slo", min=0.001, help="Seconds within which a call shall be answered."),
    least: int = typer.Option(0, "--min", min=0, max=1000, help="Fewest replicas."),
    most: int = typer.Option(20, "--max", min=1, max=1000, help="Most replicas."),
    idle: float = typer.Option(300.0, "--idle", min=1, help="Seconds without a call before it sleeps."),
    drain: float = typer.Option(15.0, "--drain", min=0.1, help="Seconds in which jobs shall be worked off."),
    jobs: bool = typer.Option(False, "--jobs", help="The calls are jobs."),
    hours: float = typer.Option(1.0, "--hours", min=0.01, max=240, help="Length of made-up loads but for the day."),
    seed: int = typer.Option(1, "--seed", help="Another one: other calls of the same kind."),
    picture: Path | None = typer.Option(None, "--picture", help="Write the replicas over time to this SVG file."),
) -> None:
    """Try the autoscaler on recorded or made-up calls. Prints a table in Markdown, beside other rules."""
    from fairlead.autoscaler.signals import Limits
    from fairlead.measure import arrivals, elasticity

    if least > most:
        raise typer.BadParameter(f"--min {least} is more than --max {most}")
    check_output(picture)
    shape = arrivals.Shape(rate=rate, service_s=service, service_cv=service_cv, length_s=3600 * hours, seed=seed)
    limits = Limits(least=least, most=most, idle_s=idle, drain_s=drain, slo_s=slo)
    setting = elasticity.Setting(limits=limits, start_s=start, slo_s=slo, jobs=jobs)
    loads = [arrivals.trace(path, shape, column=column or None, per=per) for path in trace]
    compared = []
    for one in loads or arrivals.made_up(shape, cv, "" if load is Kind.all else load.value):
        terminal.step(f"{one.name}: {len(one.calls):,} calls")
        compared.append(elasticity.compare(one, setting))
    terminal.result(elasticity.table(compared, slo).rstrip(), elasticity.view(compared, slo))
    if picture is not None:
        picture.write_text(elasticity.picture(compared), encoding="utf-8")
        terminal.note(f"wrote {picture}")


@app.command()
def load(
    model: str = typer.Argument(help="NAME, NAME@ALIAS or NAME@VERSION."),
    images: Path | None = typer.Option(None, "--images", help="Folder of files, each one call."),
    rows: Path | None = typer.Option(None, "--rows", help="File of JSON bodies, one a line, each one call."),
    expect: Path | None = typer.Option(None, "--expect", help="CSV: file or row number, and the right answer."),
    key: str = typer.Option("", "--field", help="Field of the answer that is checked: name, label, prediction, or so."),
    settings: list[str] = typer.Option([], "--set", help="name=value beside each file"),
    requests: int = typer.Option(0, "--requests", min=0, max=1_000_000, help="Calls; 0: each file or row once."),
    workers: int = typer.Option(100, "--workers", min=1, max=1000, help="Calls that wait for answers at a time."),
    predict: bool = typer.Option(False, "--predict", help="Predictions, each sent once, instead of jobs."),
    rate: float = typer.Option(0, "--rate", min=0, max=10_000, help="Calls a second whatever answers take (Poisson)."),
    trace: Path | None = typer.Option(None, "--trace", help="CSV file with the moment of each call in column one."),
    seed: int = typer.Option(1, "--seed", help="Of --rate: another one, other moments."),
    timeout: float = typer.Option(600, "--timeout", min=0.1, max=86_400, help="Seconds for each call."),
    settle: float = typer.Option(0, "--settle", min=0, max=3600, help="Seconds to watch replicas leave afterwards."),
    chart: Path | None = typer.Option(None, "--chart", help="Write the chart to this SVG file."),
) -> None:
    """Send a load, wait for every answer and check it. Exit 1 when one is wrong or missing; Ctrl-C ends it early."""
    from fairlead.cli import loading

    given = loading.Asked(model, images, rows, expect, requests, workers, predict, rate, trace, seed, timeout, settle)
    plan = loading.plan(given, key, settings)
    raise typer.Exit(loading.carry_out(plan, chart))
