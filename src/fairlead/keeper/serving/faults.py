"""Why a replica cannot serve, in the words that callers and authors read."""

from __future__ import annotations

from fairlead.errors import Error, NotFound, Unavailable
from fairlead.messages import ErrorInfo


def not_served(model: str, version: str) -> NotFound:
    """Return what is told to who asks for a version that is not wanted here."""
    return NotFound(f"{model}@{version} is not served here", code="version_not_found", hint="fairlead models")


def not_started(error: Error | OSError) -> Error:
    """Return why a replica was not started; of an :class:`OSError` (a full disk) an error of ours."""
    if isinstance(error, Error):
        return error
    return Unavailable(f"a replica cannot be started: {error}", code="cannot_start", hint="fairlead doctor")


def ended_at_load(reason: str) -> ErrorInfo:
    """Return the error of a version whose first replica ended before it was ready, and did not say why."""
    return ErrorInfo(
        code="ended_at_load", message=f"it ended while it loaded: {reason}", hint="see the last lines of its log"
    )
