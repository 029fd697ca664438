"""``python -m fairlead.sandbox.run [-- argv…]``: become what the rules in ``FAIRLEAD_RULES`` say, then that program.

The order matters: limits and namespaces need rights that the user id gives up; Landlock and seccomp are last and
also bind whatever the program starts. What cannot be had is an error, never passed over: exit 71 and one line on
stderr.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import msgspec

from fairlead.sandbox import kernel, landlock, limits, seccomp, view
from fairlead.sandbox.level import Level
from fairlead.sandbox.rules import VARIABLE, Rules

EXIT_REFUSED = 71
"""EX_OSERR of sysexits.h: the sandbox could not be made."""
_FIRST_TO_DIE = 500
"""``oom_score_adj``: when memory runs out, bundles go before the platform."""


def main(arguments: Sequence[str]) -> int:
    """Never returns when all goes well."""
    try:
        rules = msgspec.json.decode(os.environ.pop(VARIABLE, ""), type=Rules)
    except msgspec.DecodeError as error:
        return _refuse(f"{VARIABLE} does not hold rules: {error}")
    argv = tuple(arguments[1:] if arguments[:1] == ["--"] else arguments) or rules.argv
    if not argv:
        return _refuse("nothing to run: give argv in the rules or after --")
    try:
        enter(rules)
        os.execve(argv[0], argv, rules.env)  # noqa: S606 - this is what the program is for
    except OSError as error:
        return _refuse(f"cannot run {argv[0]} at level {rules.level}: {error}")


def enter(rules: Rules) -> None:
    """Put this single-threaded process under ``rules``, for good. Raises :class:`OSError` when a part cannot be had."""
    _leave_terminal()
    if kernel.IS_LINUX:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(_FIRST_TO_DIE))
    limits.apply(rules.limits, own_uid=rules.uid is not None)
    granted = [*rules.read, *rules.execute]
    has_own_proc = False
    if rules.view:
        own_network = not (rules.outbound or rules.listen_port)
        has_own_proc = view.enter(
            granted,
            [*rules.write, *rules.plain, *rules.devices],
            own_network=own_network,
            own_proc=rules.uid is not None,
        )
    _take_user(rules.uid)
    fence = rules.level.rank >= Level.LANDLOCK.rank
    if kernel.IS_LINUX:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.drop_capabilities()
    if fence:
        _lock_files(rules, has_own_proc=has_own_proc, has_shared_memory=rules.view)
    os.chdir(rules.cwd)
    os.umask(0o077)
    if fence:
        seccomp.restrict(unix_connect=rules.unix_connect, outbound=rules.outbound, listen=bool(rules.listen_port))


def _leave_terminal() -> None:
    """New session, nothing to read from, no descriptor but stdout and stderr."""
    with contextlib.suppress(PermissionError):  # leads one already
        os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.closerange(3, 1 << 20)


def _take_user(uid: int | None) -> None:
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _lock_files(rules: Rules, *, has_own_proc: bool, has_shared_memory: bool) -> None:
    grants = [(path, landlock.READ) for path in rules.read]
    grants += [(path, landlock.RUN) for path in rules.execute]
    grants += [(path, landlock.WRITE) for path in rules.write]
    grants += [(path, landlock.WRITE_PLAIN) for path in rules.plain]
    grants += [(path, landlock.DEVICE) for path in rules.devices]
    if has_own_proc:  # shows processes of this user only; /proc/self would mean this process and not its forks
        grants.append(("/proc", landlock.READ))
    if has_shared_memory:
        grants.append(("/dev/shm", landlock.WRITE))  # noqa: S108 - of its own
    version = landlock.restrict(grants, connect=rules.outbound, listen_port=rules.listen_port)
    if rules.listen_port and not rules.outbound and version < 4:
        raise OSError(95, "listening on TCP without connecting needs Landlock ABI 4 (Linux 6.7)")


def _refuse(why: str) -> int:
    sys.stderr.write(f"sandbox: {why}\n")
    return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
