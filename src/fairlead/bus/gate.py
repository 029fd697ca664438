"""Which devices may sign in: one file of hashes that outlives control, the keeper and the bus.

The keeper that hears of a change replaces the file; everybody who answers nats-server reads it again when it changed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from fairlead.bus import disk
from fairlead.messages import DeviceAccess

_log = logging.getLogger(__name__)
_Table = Mapping[str, str]
_Stamp = tuple[int, int, int]


def password_hash(device: str, password: str) -> str:
    """Return what is kept of a device's password: hex SHA-256 of ``device:password``."""
    return hashlib.sha256(f"{device}:{password}".encode()).hexdigest()


def refusal(table: _Table, user: str, password: str, client_id: str) -> str:
    """Return why this sign-in is refused, or ``""``. A client id must not be, or begin with, another device's."""
    known = table.get(user, "")
    # compared even for an unknown device, so that time does not tell which there are
    right = hmac.compare_digest(password_hash(user, password), known or "0" * 64)
    if not known or not right:
        return "unknown device or wrong password"
    owner = client_id.partition(":")[0]
    if owner != user and owner in table:
        return f"client id {client_id} belongs to device {owner}"
    return ""


class DeviceGate:
    """The table of devices in ``file``; a file that is not there lets nobody in."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: _Stamp | None = None
        self._table: dict[str, str] = {}

    @property
    def table(self) -> _Table:
        """Device to hash of its password, as the file has it now. A broken file leaves the last good table."""
        stamp = _stamp(self._file)
        if stamp != self._stamp:
            self._stamp = stamp
            self._read()
        return self._table

    def replace(self, devices: Iterable[DeviceAccess]) -> frozenset[str]:
        """Have just these devices let in, on disk on return; returns those that were and must go.

        A device whose password changed must go too: it signs in again with the new one.
        """
        before = dict(self.table)
        after = {each.device: each.password_hash for each in devices}
        if after != before or self._stamp is None:
            disk.keep(self._file, msgspec.msgpack.encode([DeviceAccess(*each) for each in sorted(after.items())]))
            self._table, self._stamp = after, _stamp(self._file)
        return frozenset(device for device, known in before.items() if after.get(device) != known)

    def _read(self) -> None:
        try:
            devices = msgspec.msgpack.decode(self._file.read_bytes(), type=list[DeviceAccess])
        except FileNotFoundError:
            self._table = {}
        except (OSError, msgspec.DecodeError) as error:
            _log.error("%s cannot be read; the devices known before stay: %s", self._file, error)
        else:
            self._table = {each.device: each.password_hash for each in devices}


def _stamp(file: Path) -> _Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
