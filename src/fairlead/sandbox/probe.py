"""``python -m fairlead.sandbox.probe``: try the sandbox, strongest first, and print what holds as JSON.

Each trial runs :mod:`fairlead.sandbox.run` with rules like a bundle's and looks from inside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from fairlead.sandbox import ground, landlock, seccomp
from fairlead.sandbox.level import Isolation, Level
from fairlead.sandbox.rules import VARIABLE, Ground, for_replica
from fairlead.sandbox.uids import COUNT, FIRST

_TRIAL_UID = FIRST + COUNT
"""One above those that are given out."""
_LOOK = """
import os, socket, sys
secret, scratch, uid = sys.argv[1:]
def refused(what):
    try: what()
    except OSError: return True
assert refused(lambda: open(secret)), "files outside are readable"
assert refused(lambda: socket.socket(socket.AF_INET)), "network sockets can be made"
assert refused(lambda: socket.socket().connect("/")), "sockets connect"
assert not uid or os.getuid() == int(uid), "the user id was not taken"
open(os.path.join(scratch, "file"), "w").close()
"""
_HOLDS = {
    "own_uid": "each bundle runs as a user of its own",
    "view": "each bundle sees a file tree of its own, without other files, sockets or processes",
    "files": "Landlock: only its own files can be opened",
    "calls": "seccomp: no network, no connections, no tracing, no mounts",
    "process": "resource limits, a clean environment and a session of its own",
}


def probe() -> Isolation:
    """Return the strongest that holds."""
    abi = landlock.abi()
    candidates = []
    if abi and seccomp.is_known():
        uids = (True, False) if os.geteuid() == 0 else (False,)
        candidates = [
            Isolation(Level.FULL if own_uid else Level.LANDLOCK, own_uid=own_uid, view=view, landlock_abi=abi)
            for own_uid in uids
            for view in (True, False)
        ]
    candidates.append(Isolation(Level.PROCESS, landlock_abi=abi))
    failures: list[str] = []
    for candidate in candidates:
        why = _try(candidate)
        if not why:
            return _told(candidate, failures)
        failures.append(f"{_named(candidate)}: {why}")
    return Isolation(Level.NONE, landlock_abi=abi, missing=tuple(failures))


def _try(candidate: Isolation) -> str:
    """Return why ``candidate`` does not hold; empty when it does."""
    with tempfile.TemporaryDirectory(prefix="fairlead-trial-") as name:
        folder = Path(name)
        scratch, secret = folder / "scratch", folder / "secret"
        scratch.mkdir()
        secret.write_text("secret", encoding="ascii")
        secret.chmod(0o644)
        uid = _TRIAL_UID if candidate.own_uid else None
        if uid is not None:
            os.chown(scratch, uid, uid)
        trial = Ground(
            environment=sys.prefix,
            base=ground.base_of(Path(sys.prefix)),
            bundle=str(scratch),
            scratch=str(scratch),
        )
        look = _LOOK if candidate.level.rank >= Level.LANDLOCK.rank else ""
        argv = (sys.executable, "-I", "-S", "-c", look, str(secret), str(scratch), str(uid or ""))
        rules = for_replica(trial, argv, candidate, uid=uid, sockets=str(scratch), logs=str(scratch))
        done = subprocess.run(
            [sys.executable, "-P", "-m", "fairlead.sandbox.run"],
            env={VARIABLE: msgspec.json.encode(rules).decode()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit {done.returncode}"


def _told(found: Isolation, failures: list[str]) -> Isolation:
    fenced = found.level.rank >= Level.LANDLOCK.rank
    truth = {"own_uid": found.own_uid, "view": found.view, "files": fenced, "calls": fenced, "process": True}
    missing = [f"not: {_HOLDS[name]}" for name, holds in truth.items() if not holds]
    for since, what in (
        (3, "truncating files"),
        (4, "TCP by seccomp only"),
        (6, "signals to the platform's processes"),
    ):
        if fenced and found.landlock_abi < since:
            missing.append(f"Landlock ABI {found.landlock_abi} does not cover: {what}")
    holds = tuple(_HOLDS[name] for name, holds in truth.items() if holds)
    return msgspec.structs.replace(found, holds=holds, missing=(*missing, *failures))


def _named(candidate: Isolation) -> str:
    parts = [
        str(candidate.level),
        *(["own user"] if candidate.own_uid else []),
        *(["own tree"] if candidate.view else []),
    ]
    return ", ".join(parts)


def main() -> None:
    sys.stdout.write(msgspec.json.encode(probe()).decode() + "\n")


if __name__ == "__main__":
    main()
