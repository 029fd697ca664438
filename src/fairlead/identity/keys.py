"""The keys that sign access tokens: Ed25519, a current one and the previous one, in files of mode 0600.

The public halves go to the front door as a JSON Web Key Set (RFC 7517, RFC 8037). A key's id is the start of its
RFC 7638 thumbprint, so the same key has the same id everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from fairlead.errors import Internal

CURRENT = "current.pem"
PREVIOUS = "previous.pem"


@dataclass(frozen=True)
class SigningKey:
    """One private key and the id by which tokens name it."""

    private: Ed25519PrivateKey
    kid: str

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()


@dataclass(frozen=True)
class Keys:
    """The key that signs and, after a rotation, the one before: its tokens stay good until they expire."""

    current: SigningKey
    previous: SigningKey | None = None

    def find(self, kid: str) -> SigningKey | None:
        """Return the key called ``kid``, if it still counts."""
        return next((key for key in (self.current, self.previous) if key is not None and key.kid == kid), None)

    def ids(self) -> tuple[str, ...]:
        """Return the ids of the keys that still count."""
        return tuple(key.kid for key in (self.current, self.previous) if key is not None)

    def jwks(self) -> str:
        """Return the public keys as a JSON Web Key Set."""
        return json.dumps({"keys": [_jwk(key) for key in (self.current, self.previous) if key is not None]})


def new_key() -> SigningKey:
    """Return a fresh key."""
    return _signing(Ed25519PrivateKey.generate())


def load(folder: Path) -> Keys:
    """Return the keys in ``folder``, made there first if there are none; raises :class:`Internal` on a broken file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / CURRENT).exists():
        _write(folder / CURRENT, new_key())
    previous = _read(folder / PREVIOUS) if (folder / PREVIOUS).exists() else None
    return Keys(_read(folder / CURRENT), previous)


def rotate(folder: Path) -> Keys:
    """Make a new current key and keep the old one as previous; the one before that ends, and its tokens with it."""
    old = load(folder)
    _write(folder / PREVIOUS, old.current)  # first: a crash between the two writes loses no key
    _write(folder / CURRENT, new_key())
    return load(folder)


def _signing(private: Ed25519PrivateKey) -> SigningKey:
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _x(private)}, separators=(",", ":"), sort_keys=True)
    return SigningKey(private, _base64url(hashlib.sha256(canonical.encode()).digest())[:16])


def _x(private: Ed25519PrivateKey) -> str:
    return _base64url(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _jwk(key: SigningKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.kid, "x": _x(key.private)}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(file: Path) -> SigningKey:
    try:
        private = load_pem_private_key(file.read_bytes(), password=None)
    except ValueError as error:
        raise Internal(f"{file}: {error}", code="key_broken", hint="restore the file from a backup") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Internal(f"{file} holds another kind of key", code="key_broken", hint="restore the file from a backup")
    return _signing(private)


def _write(file: Path, key: SigningKey) -> None:
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mkstemp makes files of mode 0600
    with os.fdopen(descriptor, "wb") as out:
        out.write(pem)
        out.flush()
        os.fsync(out.fileno())
    Path(name).replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
