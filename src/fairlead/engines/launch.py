"""From a wanted version to all that starting a replica of it takes. Pure, but for the random part of an id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

import msgspec

from fairlead.identity import seal
from fairlead.messages import Fork, VersionWanted, ZygoteSpec
from fairlead.sandbox import rules
from fairlead.sandbox.level import Isolation
from fairlead.settings import Home

_PROGRAM_NEEDS = ("numpy", "onnxruntime")
"""Imported before the fork where a compiled program stands for the artifact."""
_SPEC = "FAIRLEAD_ZYGOTE"
_NAME_LENGTH = 12
"""Of a model's name in a zygote's: sockets lie below, and their paths must stay within 107 bytes."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """All that an engine needs to start one replica."""

    replica: str
    zygote: str
    digest: str
    attempt: int
    rules: rules.Rules
    """Of the zygote; replicas inherit them."""
    spec: ZygoteSpec
    fork: Fork
    fingerprint: str
    """Tells a zygote that was started from the same from an outdated one."""
    secrets: str = ""
    """Tells by which secrets it was started (``seal.fingerprint``)."""
    compiled: bool = False
    """It serves the compiled program."""


class Compiled(msgspec.Struct, frozen=True):
    """A compiled program that takes the place of the artifact."""

    folder: Path
    paths: tuple[str, ...]
    """Folders of the packages that it needs, beside the environment's own."""


def zygote_name(model: str, digest: str) -> str:
    """Return the name of the zygote of a version: the same each time."""
    return f"{model[:_NAME_LENGTH].rstrip('-')}-{digest.rpartition(':')[2][:8]}"


def replica_name(model: str, digest: str) -> str:
    """Return a new replica's id, never used before."""
    return f"{zygote_name(model, digest)}-{token_hex(3)}"


def launch(
    wanted: VersionWanted,
    home: Home,
    *,
    replica: str,
    bundle: Path,
    environment: Path,
    base: tuple[str, ...],
    isolation: Isolation,
    uid: int | None,
    platform_uid: int,
    marker: Mapping[str, str],
    device: str = "cpu",
    secrets: Mapping[str, str] | None = None,
    body_max_bytes: int = 100 * 1024**2,
    disk_mb: int = 0,
    compiled: Compiled | None = None,
) -> Launch:
    """Return how to start ``replica`` (see :func:`replica_name`) of ``wanted``.

    ``base``: what the environment stands on (``local.base_of``). ``marker``: variables of the platform's own
    (``supervisor.strays.MARKER``). ``uid``: the bundle's own user, or ``None``. ``secrets``: opened, by name.
    """
    zygote_spec = _zygote_spec(wanted, home, bundle, platform_uid, compiled)
    ground = rules.Ground(
        environment=str(environment),
        base=(*base, *compiled.paths, str(compiled.folder)) if compiled else base,
        bundle=str(bundle),
        scratch=str(home.scratch / zygote_spec.name),
        env={**wanted.spec.env, **(secrets or {})},
        marker={**marker, _SPEC: msgspec.json.encode(zygote_spec).decode()},
        memory_mb=wanted.memory_mb,
        disk_mb=disk_mb,
        outbound=wanted.outbound,
        gpu=wanted.spec.gpu,
    )
    made = rules.for_replica(
        ground,
        (str(environment / "bin" / "python"), "-P", "-m", "fairlead.modelserver.zygote"),
        isolation,
        uid=uid,
        sockets=str(home.run / zygote_spec.name),
        logs=str(home.logs / zygote_spec.name),
    )
    fork = _fork(wanted, home, replica, zygote_spec, compiled)
    return Launch(
        replica=replica,
        zygote=zygote_spec.name,
        digest=wanted.digest,
        attempt=wanted.attempt,
        rules=made,
        spec=zygote_spec,
        fork=msgspec.structs.replace(fork, device=device, body_max_bytes=body_max_bytes),
        fingerprint=fingerprint(_bare(made, zygote_spec), wanted.attempt),
        secrets=seal.fingerprint(wanted.secrets),
        compiled=compiled is not None,
    )


def _fork(wanted: VersionWanted, home: Home, replica: str, zygote: ZygoteSpec, compiled: Compiled | None) -> Fork:
    """Return what the zygote is told of one replica."""
    return Fork(
        replica=replica,
        spec=wanted.spec,
        gate=wanted.gate,
        folder=zygote.folder,
        scratch=str(home.replica_scratch(replica)),
        serve=str(home.serve_socket(replica)),
        keep=str(home.keep_socket(replica)),
        log=str(home.replica_log(replica)),
        memory_mb=0 if wanted.proven or wanted.spec.gpu else wanted.memory_mb,
        compiled=str(compiled.folder) if compiled else "",
        preload=zygote.preload,
    )


def _bare(made: rules.Rules, spec: ZygoteSpec) -> rules.Rules:
    """Return the rules without what it imports: it may start before that is known; a fork tells it the rest."""
    bare = msgspec.json.encode(msgspec.structs.replace(spec, preload=())).decode()
    return msgspec.structs.replace(made, env={**made.env, _SPEC: bare})


def _zygote_spec(
    wanted: VersionWanted, home: Home, bundle: Path, platform_uid: int, compiled: Compiled | None
) -> ZygoteSpec:
    name = zygote_name(wanted.spec.name, wanted.digest)
    return ZygoteSpec(
        name=name,
        socket=str(zygote_socket(home, name)),
        folder=str(bundle),
        preload=_preload(wanted, compiled),
        uid=platform_uid,
        paths=compiled.paths if compiled else (),
    )


def _preload(wanted: VersionWanted, compiled: Compiled | None) -> tuple[str, ...]:
    """Return what the zygote imports: without code of the bundle's own, a compiled program needs no scikit-learn."""
    if compiled is None:
        return wanted.preload
    return _PROGRAM_NEEDS if wanted.spec.entry is None else (*wanted.preload, *_PROGRAM_NEEDS)


def zygote_socket(home: Home, zygote: str) -> Path:
    """Where a zygote listens for its keeper."""
    return home.run / zygote / "z.sock"


def fingerprint(made: rules.Rules, attempt: int) -> str:
    """Return a digest of what a zygote is started from."""
    return hashlib.sha256(msgspec.json.encode((made, attempt), order="deterministic")).hexdigest()[:16]
