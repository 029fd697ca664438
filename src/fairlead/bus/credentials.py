"""Keys and JWTs of nats-server's operator mode, minted here so that no other program is needed.

Format: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt and
https://github.com/nats-io/jwt (version 2 claims); keys are NKeys: Ed25519, or Curve25519 for sealing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import nacl.exceptions
import nacl.public
import nkeys

from fairlead.bus.subjects import Permissions
from fairlead.errors import Invalid

Claims = Mapping[str, Any]
_CURVE_PREFIX = 23 << 3  # public Curve25519 keys begin with X
_SEALED = b"xkv1"
_BOXES_MAX = 64
"""Others whose shared key is remembered: making one costs more than all else of an answer."""
_HEAD = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"ed25519-nkey"}').rstrip(b"=")
_NO_LIMITS: Claims = {
    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
}  # fmt: skip
_JETSTREAM: Claims = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


class Access(msgspec.Struct, frozen=True):
    """What one program of the platform needs to sign in to the bus; kept in a file of mode 0600."""

    url: str
    user: str
    jwt: str
    seed: str
    inbox: str


class Key:
    """An Ed25519 NKey that signs."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self._pair = nkeys.from_seed(seed.encode())
        self.public: str = self._pair.public_key.decode()

    @classmethod
    def new(cls, kind: int) -> Key:
        """Return a new key; ``kind`` is one of nkeys' ``PREFIX_BYTE_`` constants."""
        return cls(nkeys.encode_seed(os.urandom(32), kind).decode())

    def sign(self, data: bytes) -> bytes:
        signature: bytes = self._pair.sign(data)
        return signature


class SealKey:
    """A Curve25519 key that opens and seals what nats-server and a callout say to each other."""

    def __init__(self, seed_hex: str) -> None:
        self.seed = seed_hex
        self._private = nacl.public.PrivateKey(bytes.fromhex(seed_hex))
        self.public = _encode(_CURVE_PREFIX, bytes(self._private.public_key))
        self._boxes: dict[str, nacl.public.Box] = {}

    @classmethod
    def new(cls) -> SealKey:
        return cls(os.urandom(32).hex())

    def open(self, data: bytes, sender: str) -> bytes:
        """Return what ``sender`` sealed for us; raises :class:`Invalid`."""
        if not data.startswith(_SEALED):
            raise Invalid("a question of the bus is not sealed", code="callout_invalid")
        try:
            return self._box(sender).decrypt(data[len(_SEALED) :])
        except (nacl.exceptions.CryptoError, ValueError) as error:
            raise Invalid("a question of the bus cannot be opened", code="callout_invalid") from error

    def seal(self, data: bytes, receiver: str) -> bytes:
        return _SEALED + bytes(self._box(receiver).encrypt(data))

    def _box(self, other: str) -> nacl.public.Box:
        box = self._boxes.get(other)
        if box is None:
            if len(self._boxes) >= _BOXES_MAX:
                self._boxes.clear()
            box = self._boxes[other] = nacl.public.Box(self._private, nacl.public.PublicKey(_decode(other)))
        return box


def operator_jwt(operator: Key, system_account: str) -> str:
    return mint(operator, operator.public, "fairlead", {"type": "operator", "system_account": system_account})


def account_jwt(operator: Key, account: str, name: str, *, jetstream: bool = False, **claims: object) -> str:
    """Return the JWT of an account; further ``claims`` as nats-server knows them, e.g. ``authorization``."""
    limits = {**_NO_LIMITS, **(_JETSTREAM if jetstream else {})}
    return mint(operator, account, name, {"type": "account", "limits": limits, **claims})


def user_jwt(account: Key, user: str, name: str, permissions: Permissions, **claims: object) -> str:
    """Return the JWT of a user of ``account`` who may do just what ``permissions`` say."""
    denied = permissions.publish_not
    body = {
        "type": "user",
        "subs": -1,
        "data": -1,
        "payload": -1,
        "pub": {**_allowed(permissions.publish), **({"deny": list(denied)} if denied else {})},
        "sub": _allowed(permissions.subscribe),
        **claims,
    }
    return mint(account, user, name, body)


def mint(issuer: Key, subject: str, name: str, nats: Claims, *, audience: str | None = None) -> str:
    """Return a JWT signed by ``issuer``; its id is the digest of its claims."""
    claims: dict[str, object] = {
        "iat": int(time.time()), "iss": issuer.public, "sub": subject, "name": name, "nats": {"version": 2, **nats},
    }  # fmt: skip
    if audience:
        claims["aud"] = audience
    claims["jti"] = base64.b32encode(hashlib.sha256(msgspec.json.encode(claims)).digest()).decode().rstrip("=")
    body = _HEAD + b"." + base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=")
    return f"{body.decode()}.{_base64(issuer.sign(body))}"


def claims_of(jwt: bytes) -> Any:
    """Return the claims of a JWT without a look at its signature; raises :class:`Invalid`."""
    try:
        body = jwt.split(b".")[1]
        return json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    except (IndexError, ValueError) as error:
        raise Invalid("this is no JWT", code="callout_invalid") from error


def _allowed(subjects: tuple[str, ...]) -> Mapping[str, list[str]]:
    # an empty list means everything to nats-server
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _encode(prefix: int, raw: bytes) -> str:
    data = bytes([prefix]) + raw
    return base64.b32encode(data + nkeys.crc16(data).to_bytes(2, "little")).decode().rstrip("=")


def _decode(public: str) -> bytes:
    data = base64.b32decode(public + "=" * (-len(public) % 8))
    return data[1:-2]
