"""Calls as they come: made up with a seed, or read from a trace. Moments are seconds from the beginning."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from fairlead.errors import Invalid, NotFound

CALLS_MAX = 5_000_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call: when it comes, and how long a replica works on it."""

    at: float
    service_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """Calls in order, under a name."""

    name: str
    calls: Sequence[Call]
    until_s: float
    """When it is over; calls that are not answered then are answered all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What made-up loads have in common."""

    rate: float = 20.0
    """Calls a second, on the average."""
    service_s: float = 0.1
    service_cv: float = 0.0
    """Standard deviation of a call's time, as a part of its mean."""
    length_s: float = 3600.0
    seed: int = 1


def made_up(shape: Shape, cvs: Sequence[float], kind: str = "") -> Iterator[Load]:
    """Yield the loads of one kind (constant, steps, ramp, bursts or day), of all unless said.

    The day has a quarter of the rate, and the length of a day.
    """
    kinds: dict[str, Callable[[], list[Load]]] = {
        "constant": lambda: [constant(shape)],
        "steps": lambda: [steps(shape)],
        "ramp": lambda: [ramp(shape)],
        "bursts": lambda: [bursts(shape, cv) for cv in cvs],
        "day": lambda: [diurnal(replace(shape, rate=shape.rate / 4, length_s=86_400))],
    }
    for name, make in kinds.items():
        if kind in ("", name):
            yield from make()


def constant(shape: Shape) -> Load:
    """Return calls at one rate, each independent of the others (Poisson)."""
    return _varied("constant", shape, lambda at: shape.rate)


def steps(shape: Shape) -> Load:
    """Return a load that is four times as high for five minutes, and again as low for ten, and so on."""
    low = shape.rate / 2
    return _varied("steps x4", shape, lambda at: 4 * low if at % 900 >= 600 else low)


def ramp(shape: Shape) -> Load:
    """Return a load that rises from a tenth of the rate to nearly twice the rate and falls again."""

    def rate(at: float) -> float:
        part = at / shape.length_s
        return shape.rate * (0.1 + 1.8 * (2 * part if part < 0.5 else 2 - 2 * part))

    return _varied("ramp", shape, rate)


def diurnal(shape: Shape) -> Load:
    """Return a day: nearly nothing at night, twice the rate at noon."""
    return _varied("a day", shape, lambda at: shape.rate * (1 - 0.98 * math.cos(2 * math.pi * at / 86_400)))


def bursts(shape: Shape, cv: float) -> Load:
    """Return calls whose gaps are Gamma distributed: ``cv`` is their standard deviation as a part of their mean."""
    source = random.Random(f"{shape.seed} gaps {cv}")
    lengths = _lengths(shape)
    form = 1 / cv**2
    found: list[Call] = []
    at = source.gammavariate(form, 1 / (form * shape.rate))
    while at < shape.length_s and len(found) < CALLS_MAX:
        found.append(Call(at, next(lengths)))
        at += source.gammavariate(form, 1 / (form * shape.rate))
    return Load(f"bursts, gap CV {cv:g}", found, shape.length_s)


def trace(path: Path, shape: Shape, *, column: str | None = None, per: float = 1.0) -> Load:
    """Return the calls of a CSV file: the moment of each is in its first column, in seconds or as a date and time.

    A call takes ``shape.service_s``, and ``per`` seconds for each 1 in ``column`` besides. Raises :class:`NotFound` and
    :class:`Invalid`.
    """
    lengths = _lengths(shape)
    found: list[tuple[float, float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            place = _place(next(rows, []), column, path, found, lengths)
            for number, row in enumerate(rows, 2):
                if row:
                    found.append(_row(row, number, path, place, per, next(lengths)))
    except OSError as error:
        hint = "--trace takes a CSV file; the moment of each call is in its first column"
        raise NotFound(f"{path} cannot be read: {error.strerror}", code="trace_not_found", hint=hint) from error
    except UnicodeDecodeError as error:
        raise _bad(path, "it is not text in UTF-8") from error
    if not found:
        raise _bad(path, "it has no calls")
    found.sort()
    first = found[0][0]
    return Load(path.stem, [Call(at - first, service_s) for at, service_s in found], found[-1][0] - first)


def _varied(name: str, shape: Shape, rate: Callable[[float], float]) -> Load:
    """Return a Poisson load whose rate changes: gaps of the highest rate, thinned."""
    source = random.Random(f"{shape.seed} {name}")
    lengths = _lengths(shape)
    highest = max(rate(shape.length_s * part / 1000) for part in range(1001))
    found: list[Call] = []
    at = source.expovariate(highest)
    while at < shape.length_s and len(found) < CALLS_MAX:
        if source.random() * highest <= rate(at):
            found.append(Call(at, next(lengths)))
        at += source.expovariate(highest)
    return Load(name, found, shape.length_s)


def _lengths(shape: Shape) -> Iterator[float]:
    """Yield how long calls take: Gamma distributed, or all the same."""
    source = random.Random(f"{shape.seed} lengths")
    form = 1 / shape.service_cv**2 if shape.service_cv else 0.0
    while True:
        yield source.gammavariate(form, shape.service_s / form) if form else shape.service_s


def _place(
    header: list[str], column: str | None, path: Path, found: list[tuple[float, float]], lengths: Iterator[float]
) -> int | None:
    """Return the place of ``column``; a first line that is no header is the first call."""
    if column is not None:
        if column not in header:
            raise _bad(path, f"it has no column {column!r}; its first line is {','.join(header)[:200]!r}")
        return header.index(column)
    if header and (at := _moment(header[0])) is not None:
        found.append((at, next(lengths)))
    return None


def _row(
    row: list[str], number: int, path: Path, place: int | None, per: float, service_s: float
) -> tuple[float, float]:
    at = _moment(row[0])
    if at is None:
        raise _bad(path, f"line {number}: {row[0][:60]!r} is neither seconds nor a date and time")
    if place is None:
        return at, service_s
    try:
        more = per * float(row[place])
    except (IndexError, ValueError):
        more = math.nan
    if not math.isfinite(more) or service_s + more < 0:
        raise _bad(path, f"line {number}: column {place + 1} is no number that a time can be made of")
    return at, service_s + more


def _moment(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text.strip()).timestamp()
        except ValueError:
            return None
    return value if math.isfinite(value) else None


def _bad(path: Path, why: str) -> Invalid:
    hint = "a CSV file; first column: seconds, or 2026-11-20 14:03:00.5"
    return Invalid(f"{path}: {why}", code="trace_invalid", hint=hint)
