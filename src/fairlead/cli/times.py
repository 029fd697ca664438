"""Times of schedules as people write and read them: days, lengths, windows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import typer

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """Return ``90s``, ``10m``, ``2h``, ``1d`` or ``1h30m`` in seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text}: write 90s, 10m, 2h or 1d")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def duration(length_s: float) -> str:
    """Return a length as :func:`seconds` takes it: ``90s``, ``2m``, ``1h30m``."""
    left, words = length_s, ""
    for unit in ("d", "h", "m"):
        count, left = divmod(left, _UNITS_S[unit])
        words += f"{count:g}{unit}" if count else ""
    return f"{words}{left:g}s" if left or not words else words


def days(text: str) -> list[str]:
    """Return ``mon-fri``, ``sat,sun`` or ``daily`` as a list of days; ``fri-mon`` goes round the week."""
    if text.lower() == "daily":
        return list(DAYS)
    chosen: list[str] = []
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise typer.BadParameter(f"{part}: write days as mon-fri, sat,sun or daily")
        start, end = DAYS.index(first), DAYS.index(last or first)
        chosen += [DAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]
    return list(dict.fromkeys(chosen))


def when(schedule: dict[str, Any]) -> str:
    """Return the schedule's times in words, in its zone."""
    lasts = f" for {duration(schedule['for_s'])}" if schedule.get("for_s") else ""
    if schedule.get("cron"):
        words = f"cron {schedule['cron']}{lasts}"
    elif schedule.get("every_s"):
        words = f"every {duration(schedule['every_s'])}{lasts}"
    elif once := schedule.get("once"):
        return f"once {span(once, schedule['zone'])}"
    else:
        words = "; ".join(f"{_days(w['days'])} {w['from']}-{w['to']}" for w in schedule.get("windows") or ())
    first, last = schedule.get("start"), schedule.get("end")
    if first and first == last:
        return f"on {first} {words.removeprefix('daily ')}"
    return " ".join(filter(None, (words, f"from {first}" if first else "", f"until {last}" if last else "")))


def _days(chosen: list[str]) -> str:
    """Return days as :func:`days` takes them: a row of three or more as ``mon-fri``."""
    if not chosen or set(chosen) == set(DAYS):
        return "daily"
    numbers = [DAYS.index(day) for day in chosen]
    in_row = all((first + 1) % 7 == second for first, second in pairwise(numbers))
    return f"{chosen[0]}-{chosen[-1]}" if in_row and len(chosen) > 2 else ",".join(chosen)


def span(window: dict[str, Any], zone: str) -> str:
    """Return ``2026-11-23 18:00 - 2026-11-24 07:00`` as clocks in ``zone`` show it."""
    return f"{_local(window['from'], zone)} - {_local(window['to'], zone) if window['to'] else 'stopped'}"


def _local(moment: str, zone: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def windows(on_days: str, froms: Sequence[str], tos: Sequence[str]) -> list[dict[str, Any]]:
    """Return the windows of a day that the first ``--from`` and ``--to``, the second and so on make."""
    if not froms and not tos:
        return []
    if max(len(froms), len(tos)) > 1 and len(froms) != len(tos):
        raise typer.BadParameter(f"{len(froms)} --from and {len(tos)} --to: each window has one of both")
    if not froms or not tos:
        lacks, ends = ("--to", "24:00 is the end of the day") if froms else ("--from", "00:00 is its beginning")
        raise typer.BadParameter(f"{lacks} is missing: {ends}")
    chosen = days(on_days) if on_days else list(DAYS)
    pairs = zip(froms, tos, strict=True)
    return [{"days": chosen, "from": clock(opens), "to": clock(closes)} for opens, closes in pairs]


def clock(text: str) -> str:
    """Return ``9`` and ``9:00`` as ``09:00``; anything else as it is, for the platform to judge."""
    match = re.fullmatch(r"([0-9]{1,2})(?::([0-9]{2}))?", text.strip())
    return f"{int(match[1]):02}:{match[2] or '00'}" if match else text


def dst(text: str) -> dict[str, str]:
    """Return ``gap=skip,overlap=both,length=elapsed`` as the API takes it; what is not named is left out."""
    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in ("gap", "overlap", "length"):
            raise typer.BadParameter(f"{part}: write gap=shift|skip, overlap=first|both, length=wall|elapsed")
        found[name] = value
    return found
