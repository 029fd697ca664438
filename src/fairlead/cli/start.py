"""What the program ``fairlead`` calls: the command line, or what to install where only the core is."""

from __future__ import annotations

import os
import sys
import threading


def start() -> None:
    """Run the command line; exit 6 with one line and a hint where it is not installed."""
    try:
        import typer  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        sys.stderr.write("error: the command line is not installed\n  hint: pip install 'fairlead[platform]'\n")
        sys.exit(6)
    from fairlead.cli.main import main

    try:
        main()
    except SystemExit as ended:
        _leave(ended.code)
        raise


def _leave(code: object) -> None:
    """End at once where nothing is left to do: taking all modules apart costs a quarter of a short command."""
    if not isinstance(code, int) or threading.active_count() > 1 or sys.gettrace() is not None:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody listens any more: the usual end says so in its own way
        return
    os._exit(code)
