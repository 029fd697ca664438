"""The cookie that is a browser's token."""

from __future__ import annotations

PLAIN = "fl_session"
"""Its name without TLS."""
LOCKED = f"__Host-{PLAIN}"
"""Its name under TLS: browsers take it from the host itself alone, so the page of an app on a subdomain plants none."""


def session_cookie(is_https: bool) -> str:
    """Return the name of the cookie where browsers come by TLS, or do not; no other name is read there."""
    return LOCKED if is_https else PLAIN
