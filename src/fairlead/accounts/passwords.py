"""Passwords: Argon2id hashes. Each call takes about 50 ms of a core: never in the database's writer."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fairlead.errors import Invalid

LENGTH_MIN = 10
LENGTH_MAX = 512
_hasher = PasswordHasher()
_nobody = ""


def check_length(password: str) -> None:
    """Raise :class:`Invalid` (``password_weak``) unless the length is within bounds."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise Invalid(
            f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters", code="password_weak", hint="a sentence will do"
        )


def hash_of(password: str) -> str:
    """Return the Argon2id hash of ``password``; raises :class:`Invalid` when it is too short or too long."""
    check_length(password)
    hashed: str = _hasher.hash(password)
    return hashed


def matches(password_hash: str | None, password: str) -> bool:
    """Whether ``password`` belongs to the hash. Takes the same time when there is none, so that it tells no names."""
    global _nobody
    if not _nobody:
        _nobody = _hasher.hash(secrets.token_urlsafe())
    try:
        _hasher.verify(password_hash or _nobody, password[:LENGTH_MAX])
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def random_password() -> str:
    """Return a new password of 24 characters."""
    return secrets.token_urlsafe(18)
