"""What the nouns share: a group that lists when no verb is given."""

from __future__ import annotations

from collections.abc import Callable

import typer


def group(help: str, list_items: Callable[[], None]) -> typer.Typer:
    """Return a group of verbs which, called bare, lists its items."""
    noun = typer.Typer(help=help, invoke_without_command=True, rich_markup_mode=None)

    @noun.callback()
    def _bare(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            list_items()

    return noun
