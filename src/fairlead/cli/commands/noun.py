"""What the nouns share: a group that lists when no verb is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

_SAYS_NOTHING = frozenset(
    {"it is ready", "it came online", "it speaks", "a replica is ready", "idle", "woken", "registered"}
)
"""Reasons that only repeat the status beside them."""


def telling(item: Mapping[str, Any]) -> str:
    """Return the reason of an item where it says more than its status, else nothing."""
    reason = item.get("reason") or ""
    return "" if reason in _SAYS_NOTHING else str(reason)


def group(help: str, list_items: Callable[[], None]) -> typer.Typer:
    """Return a group of verbs which, called bare, lists its items."""
    noun = typer.Typer(help=help, invoke_without_command=True, rich_markup_mode=None)

    @noun.callback()
    def _bare(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            list_items()

    return noun


def quota(given: str) -> int | str | None:
    """Return a quota as the API takes it, which judges it; None: nothing was said."""
    try:
        return int(given) if given else None
    except ValueError:
        return given
