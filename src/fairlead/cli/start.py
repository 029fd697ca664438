"""What the program ``fairlead`` calls: the command line, or what to install where only the core is."""

from __future__ import annotations

import sys


def start() -> None:
    """Run the command line; exit 6 with one line and a hint where it is not installed."""
    try:
        import typer  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        sys.stderr.write("error: the command line is not installed\n  hint: pip install 'fairlead[platform]'\n")
        sys.exit(6)
    from fairlead.cli.main import main

    main()
