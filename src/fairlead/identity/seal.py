"""The home's key for what must not lie readable in the records: secrets of bundles sealed, gate secrets derived.

One key of 32 random bytes in a file of mode 0600. Two keys are made from it (HKDF, RFC 5869): one seals with
AES-256-GCM, each time with a fresh 96-bit nonce in front of the ciphertext; one derives by HMAC-SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fairlead.errors import Internal

FILE = "seal.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealer:
    """Seals, opens and derives with the key of a home."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_made_from(key, b"fairlead seal"))
        self._mac_key = _made_from(key, b"fairlead derive")

    def seal(self, text: str, what: str) -> bytes:
        """Return ``text`` encrypted; it opens only as the same ``what``, so that no row stands in for another."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), what.encode())

    def open(self, sealed: bytes, what: str) -> str:
        """Return what was sealed; raises :class:`Internal` (``seal_broken``) for another key, name or content."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, what.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise Internal(
                f"{what} cannot be opened with the key of this home",
                code="seal_broken",
                hint=f"restore keys/{FILE} from the backup that the records came from, or set it again",
            ) from error

    def derive(self, what: str) -> str:
        """Return 43 characters that only this key makes of ``what``; the same each time."""
        made = hmac.digest(self._mac_key, what.encode(), "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def load_sealer(folder: Path) -> Sealer:
    """Return the sealer of the key in ``folder``, made there first if there is none; raises :class:`Internal`."""
    file = folder / FILE
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(file)
    key = file.read_bytes()
    if len(key) != _KEY_BYTES:
        raise Internal(f"{file} holds no key", code="key_broken", hint="restore the file from a backup")
    return Sealer(key)


def secret_name(bundle: str, name: str) -> str:
    """Return what a bundle's secret is sealed as."""
    return f"secret {bundle}/{name}"


def fingerprint(sealed: dict[str, bytes]) -> str:
    """Return what tells these sealed secrets from others; empty for none. Nothing can be learned from it."""
    if not sealed:
        return ""
    found = hashlib.sha256()
    for name in sorted(sealed):
        found.update(len(sealed[name]).to_bytes(4, "big") + name.encode() + b"\0" + sealed[name])
    return found.hexdigest()[:16]


def _made_from(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(key)


def _make(file: Path) -> None:
    """Write a new key, synced; of two programs that do so at once the first one's stays."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(secrets.token_bytes(_KEY_BYTES))
            out.flush()
            os.fsync(out.fileno())
        try:
            file.hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        temporary.unlink()
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
