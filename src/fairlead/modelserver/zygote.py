"""The warm parent of a version's replicas: it imports what is heavy once and forks a replica in milliseconds.

Started inside the sandbox as ``python -P -m fairlead.modelserver.zygote`` with a :class:`fairlead.messages.ZygoteSpec`
in ``FAIRLEAD_ZYGOTE``. It has one thread, since ``fork`` keeps only the calling one and locks that others hold stay
locked for ever; so no asyncio here, a selector and blocking calls. It listens and its keeper dials: a keeper that was
killed comes back and hears first who lives (``ZygoteUp``), then who ended meanwhile (``Exited``). When the zygote goes,
its replicas live on.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec

from fairlead.messages import (
    FRAME_MAX_BYTES,
    Exited,
    Fork,
    Forked,
    ForkStop,
    Message,
    ToZygote,
    ZygoteSpec,
    ZygoteUp,
    frame,
)

VARIABLE = "FAIRLEAD_ZYGOTE"
EXIT_BROKEN = 70
"""EX_SOFTWARE of sysexits.h: the replica's own code raised."""
SERVER = "fairlead.modelserver.server"
_LENGTH_BYTES = 4
_READ_BYTES = 256 * 1024
_SEND_TIMEOUT_S = 5.0
_PEER_CREDENTIALS = struct.Struct("iII")  # struct ucred of unix(7): pid, uid, gid

_OURS = (signal.SIGTERM, signal.SIGCHLD)
"""Signals that the zygote handles."""

Serve = Callable[[Fork], int]
_decoder: msgspec.msgpack.Decoder[ToZygote] = msgspec.msgpack.Decoder(ToZygote)


class Zygote:
    """Forks and reaps replicas until it is told to end by SIGTERM."""

    def __init__(self, spec: ZygoteSpec, serve: Serve, warnings: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self._serve = serve
        self._warnings = warnings
        self._imported = set(spec.preload)
        self._replicas: dict[int, str] = {}
        self._unsent: list[Exited] = []
        self._channel: _Channel | None = None
        self._ending = False

    def run(self) -> int:
        """Serve keepers, one at a time; returns 0 after SIGTERM."""
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(Path(self.spec.socket))
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)
        self._reap()
        while not self._ending:
            for key, _ in self._selector.select():
                key.data()
        Path(self.spec.socket).unlink(missing_ok=True)
        return 0

    def _end(self, *_: object) -> None:
        self._ending = True

    def _accept(self) -> None:
        """Take a keeper in place of the one before; anybody but the platform and root is hung up on."""
        sock, _ = self._listener.accept()
        _, uid, _ = _PEER_CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        )
        if uid not in (self.spec.uid, 0):
            sock.close()
            return
        self._hang_up()
        self._channel = _Channel(sock)
        self._selector.register(sock, selectors.EVENT_READ, partial(self._read, self._channel))
        alive = {replica: pid for pid, replica in self._replicas.items()}
        self._send(ZygoteUp(pid=os.getpid(), replicas=alive, warnings=self._warnings))
        unsent, self._unsent = self._unsent, []
        for exited in unsent:
            self._tell_exit(exited)

    def _read(self, channel: _Channel) -> None:
        if channel is not self._channel:  # hung up in the same turn
            return
        try:
            received = channel.receive()
        except (OSError, EOFError, ValueError):  # msgspec's errors are ValueErrors
            self._hang_up()
            return
        for message in received:
            if isinstance(message, Fork):
                self._fork(message)
            else:
                self._signal(message)

    def _fork(self, wanted: Fork) -> None:
        for pid, replica in self._replicas.items():
            if replica == wanted.replica:
                self._send(Forked(replica=replica, pid=pid))
                return
        self._import(wanted.preload)
        gc.freeze()  # pages that the collector does not touch stay shared with the parent
        # A SIGTERM for a child that still has our handlers would be lost: it waits until they are reset.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become(wanted)
        except OSError as error:
            self._send(Forked(replica=wanted.replica, pid=0, error=f"cannot fork: {error.strerror}"))
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        self._replicas[pid] = wanted.replica
        self._send(Forked(replica=wanted.replica, pid=pid))

    def _import(self, modules: tuple[str, ...]) -> None:
        """Import what nobody knew to be needed when this zygote was started."""
        missing = tuple(name for name in modules if name not in self._imported)
        if missing:
            self._imported.update(missing)
            _tell(preload(missing))
            gc.collect()

    def _become(self, wanted: Fork) -> NoReturn:
        """In the forked child: let go of all that is the zygote's, serve, and end without its clean-up."""
        code = EXIT_BROKEN
        try:
            signal.set_wakeup_fd(-1)
            for number in _OURS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
            self._selector.close()
            if self._channel is not None:
                self._channel.close()
            for end in (self._listener, self._woken, self._wake):
                end.close()
            settle(wanted)
            code = self._serve(wanted)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001 - the child's outermost frame: it must never return into the zygote's loop
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _signal(self, wanted: ForkStop) -> None:
        for pid, replica in self._replicas.items():
            if replica == wanted.replica:  # not reaped yet, so the pid is still its own
                os.kill(pid, wanted.signal)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._replicas:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            replica = self._replicas.pop(pid, None)
            if replica is not None:
                self._tell_exit(Exited(replica=replica, pid=pid, code=os.waitstatus_to_exitcode(status)))

    def _tell_exit(self, exited: Exited) -> None:
        if not self._send(exited):
            self._unsent.append(exited)

    def _send(self, message: Message) -> bool:
        if self._channel is None:
            return False
        try:
            self._channel.send(message)
        except OSError:
            self._hang_up()
            return False
        return True

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel.sock)
            self._channel.close()
            self._channel = None


class _Channel:
    """Frames over one blocking connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(_SEND_TIMEOUT_S)
        self.sock = sock
        self._buffer = bytearray()

    def send(self, message: Message) -> None:
        self.sock.sendall(frame(message))

    def receive(self) -> list[ToZygote]:
        """Return the messages that are complete by now; raises :class:`EOFError` at the end, :class:`ValueError`."""
        data = self.sock.recv(_READ_BYTES)
        if not data:
            raise EOFError
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > FRAME_MAX_BYTES:
                raise ValueError(f"a frame of {length} bytes is too long")
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                break
            messages.append(_decoder.decode(self._buffer[_LENGTH_BYTES:end]))
            del self._buffer[:end]
        return messages

    def close(self) -> None:
        self.sock.close()


def settle(wanted: Fork) -> None:
    """Make this forked process a replica's: session, folders, log, temporary files, chance of its own."""
    os.setsid()
    for folder in (Path(wanted.scratch), Path(wanted.serve).parent, Path(wanted.keep).parent):
        folder.mkdir(parents=True, exist_ok=True)
    if wanted.log:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(wanted.log, flags, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = wanted.scratch
    numpy = sys.modules.get("numpy")
    if numpy is not None:  # Python reseeds its own generator after a fork, numpy does not
        numpy.random.seed()
    gc.enable()


def preload(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Import ``modules``; returns what went wrong, which ends nothing: the replica will say it where it matters."""
    warnings = []
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - importing runs other people's code
            warnings.append(f"preload {name}: {type(error).__name__}: {error}")
    threads = thread_count()
    if threads > 1:
        warnings.append(f"imports started {threads - 1} threads, which forked replicas lack")
    return tuple(warnings)


def _tell(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        sys.stderr.write(f"zygote: {warning}\n")


def thread_count() -> int:
    """Return the number of threads of this process."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)
    return listener


def main(serve: Serve | None = None) -> int:
    """Run the zygote that the environment describes; ``serve`` stands in for the model server in tests."""
    spec = msgspec.json.decode(os.environ.pop(VARIABLE), type=ZygoteSpec)
    gc.disable()  # until a replica enables it: a collection would touch, and so unshare, every page
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # pools of threads must not start before the fork
    sys.path.insert(0, spec.folder)
    sys.path += spec.paths
    warnings = preload(spec.preload)
    if serve is None:
        serve = importlib.import_module(SERVER).serve
        assert serve is not None
    _tell(warnings)
    gc.collect()
    return Zygote(spec, serve, warnings).run()


if __name__ == "__main__":
    sys.exit(main())
