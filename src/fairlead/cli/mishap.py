"""The last line of defense: what no command expected becomes one line, and its traceback a file."""

from __future__ import annotations

from fairlead.cli import session, terminal

FAILED = 1


def tell(error: Exception) -> int:
    """Print one line for ``error`` and where the details are; return the exit code."""
    if isinstance(error, OSError) and error.strerror:  # a file of the person's, or a full disk: no fault of ours
        place = f"{error.filename}: " if error.filename else ""
        terminal.error(f"{place}{error.strerror}", hint="name another file or folder", code="file_unusable")
        return FAILED
    said = str(error).strip().partition("\n")[0]
    terminal.error(
        f"the command failed: {type(error).__name__}{f': {said}' if said else ''}",
        hint=_kept(error),
        code="internal",
    )
    return FAILED


def _kept(error: Exception) -> str:
    """Write the traceback beside the sessions; return where it is."""
    import traceback

    file = session.file().with_name("last-error.txt")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as trouble:
        return f"its details could not be kept in {file}: {trouble.strerror}"
    return f"the details are in {file}; please report them"
