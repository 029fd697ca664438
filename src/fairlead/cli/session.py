"""Who the command line is signed in as: one file of sessions by URL, mode 0600, in the user's configuration folder."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fairlead.errors import Forbidden, Invalid, NotFound


class Session(msgspec.Struct, frozen=True):
    """One installation that the person signed in to."""

    url: str
    token: str
    user: str
    ca: str = ""
    """File of certificates (PEM) that are trusted there besides those of the machine."""


def file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file of sessions; ``FAIRLEAD_CONFIG`` names another folder."""
    if environ.get("FAIRLEAD_CONFIG"):
        return Path(environ["FAIRLEAD_CONFIG"]) / "sessions.json"
    from platformdirs import user_config_path

    return user_config_path("fairlead") / "sessions.json"


def in_use(environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL that the command line talks to; nothing when there is none."""
    return environ.get("FAIRLEAD_URL", "").rstrip("/") or str(_read(environ).get("current", ""))


def current(environ: Mapping[str, str] = os.environ) -> Session:
    """Return the session in use; ``FAIRLEAD_URL`` and ``FAIRLEAD_TOKEN`` stand in. Raises :class:`Forbidden`."""
    known = _read(environ)
    url = environ.get("FAIRLEAD_URL", "").rstrip("/") or known.get("current", "")
    if url and not re.match(r"https?://[^/]", url):
        raise Invalid(f"{url} is no URL", code="url_invalid", hint="FAIRLEAD_URL is such as http://127.0.0.1:8080")
    token = environ.get("FAIRLEAD_TOKEN", "")
    if token:
        kept = known.get("sessions", {}).get(url, {})
        return Session(url or "http://127.0.0.1:8080", token, "", kept.get("ca", ""))
    entry = known.get("sessions", {}).get(url)
    if not entry:
        raise Forbidden(
            f"not signed in to {url}" if url else "not signed in",
            code="not_signed_in",
            hint=f"fairlead login {url or 'http://127.0.0.1:8080'}",
        )
    return _session(url, entry)


def all_of(environ: Mapping[str, str] = os.environ) -> tuple[Session, ...]:
    """Return every session that is kept, by URL."""
    known = _read(environ).get("sessions", {})
    return tuple(_session(url, entry) for url, entry in sorted(known.items()))


def of(url: str, environ: Mapping[str, str] = os.environ) -> Session:
    """Return the session kept for ``url``; raises :class:`KeyError`."""
    entry = _read(environ).get("sessions", {})[url.rstrip("/")]
    return _session(url.rstrip("/"), entry)


def _session(url: str, entry: Mapping[str, str]) -> Session:
    return Session(url, entry["token"], entry["user"], entry.get("ca", ""))


def _entry(token: str, user: str, ca: str) -> dict[str, str]:
    return {"token": token, "user": user} | ({"ca": ca} if ca else {})


def keep(session: Session, environ: Mapping[str, str] = os.environ, *, use: bool = True) -> Session | None:
    """Store ``session`` and, unless told not to, make it the one in use.

    Returns the session of another installation that was kept for the same URL: it is put aside.
    """
    known = _read(environ)
    before = _put_aside(known, session.url, {installation(session.token)})
    known.setdefault("sessions", {})[session.url] = _entry(session.token, session.user, session.ca)
    if use:
        known["current"] = session.url
    _write(known, environ)
    return before


def settle(url: str, installations: Collection[str], environ: Mapping[str, str] = os.environ) -> Session | None:
    """Have ``url`` be the installation that signs with one of the keys ``installations``.

    The session kept for another one is put aside and returned; one of this one that had been put aside comes back.
    """
    url = url.rstrip("/")
    known = _read(environ)
    before = _put_aside(known, url, installations)
    aside = known.get("aside", {})
    ours = next((aside.pop(kid) for kid in installations if kid in aside), None)
    if ours is not None:
        known.setdefault("sessions", {}).setdefault(url, _entry(ours["token"], ours["user"], ours.get("ca", "")))
    if before is not None or ours is not None:
        _write(known, environ)
    return before


def installation(token: str) -> str:
    """Return the id of the key that signed ``token`` (its header ``kid``), nothing for what is none."""
    try:
        head = token.removeprefix("fl_").split(".")[0]
        return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])
    except (ValueError, KeyError, TypeError):
        return ""


def _put_aside(known: dict[str, Any], url: str, installations: Collection[str]) -> Session | None:
    """Move the session of ``url`` aside if another installation than these made it; what cannot be told stays."""
    entry = known.get("sessions", {}).get(url)
    maker = installation(entry["token"]) if entry else ""
    if not entry or not maker or maker in installations or not any(installations):
        return None
    known["sessions"].pop(url)
    known.setdefault("aside", {})[maker] = {"url": url, **entry}
    return Session(url, entry["token"], entry["user"])


def use(url: str, environ: Mapping[str, str] = os.environ) -> Session:
    """Make the session of ``url`` the one in use and return it; raises :class:`NotFound`."""
    url = url.rstrip("/")
    known = _read(environ)
    if url not in known.get("sessions", {}):
        raise NotFound(
            f"you are not signed in to {url}",
            code="no_session",
            hint=f"fairlead login {url}, or one of: {', '.join(sorted(known.get('sessions', {}))) or 'none yet'}",
        )
    _write(known | {"current": url}, environ)
    return of(url, environ)


def forget(url: str, environ: Mapping[str, str] = os.environ) -> None:
    """Drop the session of ``url``, if there is one; none is in use then when it was."""
    known = _read(environ)
    known.get("sessions", {}).pop(url.rstrip("/"), None)
    if known.get("current") == url.rstrip("/"):
        known.pop("current")
    _write(known, environ)


def _write(known: dict[str, Any], environ: Mapping[str, str]) -> None:
    path = file(environ)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(known, target, indent=1)
    temporary.replace(path)


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        return json.loads(file(environ).read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
