"""A PostgreSQL of one's own for a test: no port, a folder of its own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_S = 60


def missing() -> str:
    """Return why no PostgreSQL can be started here; empty: one can."""
    for program in ("initdb", "pg_ctl"):
        if shutil.which(program) is None:
            return f"{program} of PostgreSQL is not installed"
    return ""


def _user() -> str | None:
    """Return the account to run it as: the server refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextmanager
def server() -> Iterator[Path]:
    """Yield the folder of the Unix socket of a new server; its superuser is ``fairlead`` and needs no password."""
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="fl-pg-"))
    data = folder / "data"
    try:
        if user is not None:
            folder.chmod(0o755)
            shutil.chown(folder, user)

        def run(*command: str) -> None:
            # Output goes to a file: the server inherits it, and a pipe would never close.
            with (folder.parent / f"{folder.name}.log").open("ab") as log:
                subprocess.run(command, check=True, stdout=log, stderr=log, cwd="/", user=user, timeout=_START_S)

        run("initdb", "-D", str(data), "-U", "fairlead", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_connections=50"
        run("pg_ctl", "-D", str(data), "-w", "-t", str(_START_S), "-o", options, "start")
        try:
            yield folder
        finally:
            run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)
