"""Command line: talks to the API only. Heavy imports inside commands, so that ``--help`` is instant."""

from __future__ import annotations

import sys


def start() -> None:
    """Run the command line, or say what to install where only the core is; what the program ``fairlead`` calls."""
    try:
        import typer  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        sys.stderr.write("error: the command line is not installed\n  hint: pip install 'fairlead[platform]'\n")
        sys.exit(6)
    from fairlead.cli.main import main

    main()
