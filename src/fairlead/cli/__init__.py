"""Command line: talks to the API only. Heavy imports inside commands, so that ``--help`` is instant."""
