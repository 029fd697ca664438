"""Signatures of callbacks, as Standard Webhooks says (https://www.standardwebhooks.com): symmetric, ``v1``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
_KEY_BYTES = 32


def new_secret() -> str:
    """Return a new secret as its owner writes it down."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def sign(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """Return ``v1,`` and the signature of the message with that id, sent at ``timestamp`` (seconds since 1970)."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join((message.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(known: Sequence[str], message: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """Return the three headers, signed with every secret in ``known``: one that replaces another is known by either."""
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message, timestamp, body) for secret in known),
    }
