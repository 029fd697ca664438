"""The warm parent by itself: what it says on its channel, and whom it listens to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fairlead.messages import (
    Exited,
    Fork,
    Forked,
    ForkStop,
    FromZygote,
    Message,
    ModelSpec,
    ZygoteSpec,
    ZygoteUp,
    frame,
)

LIMIT_S = 30
STAND_IN = """
import os, random, sys, time
from fairlead.modelserver import zygote

def serve(fork):
    print(random.random(), os.getpid() == os.getsid(0), os.environ["TMPDIR"] == fork.scratch, flush=True)
    if fork.spec.name == "raises":
        raise RuntimeError("as models do")
    if fork.spec.name == "exits":
        sys.exit(9)
    time.sleep(600)

sys.exit(zygote.main(serve))
"""
_decoder = msgspec.msgpack.Decoder(FromZygote)


class Keeper:
    """The other end, blocking."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                self.sock.connect(str(path))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def tell(self, message: Message) -> None:
        self.sock.sendall(frame(message))

    def hear(self) -> FromZygote:
        size = int.from_bytes(self._read(4), "big")
        return _decoder.decode(self._read(size))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fl-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def zygote(folder: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "breaks.py").write_text("1 / 0")
    (folder / "threads.py").write_text(
        "import threading\nevent = threading.Event()\nthreading.Thread(target=event.wait, daemon=True).start()\n"
    )
    spec = ZygoteSpec(
        name="z",
        socket=str(folder / "z.sock"),
        folder=str(folder),
        preload=getattr(request, "param", ()),
        uid=os.getuid(),
    )
    env = {**os.environ, "FAIRLEAD_ZYGOTE": msgspec.json.encode(spec).decode()}
    with subprocess.Popen([sys.executable, "-P", "-c", STAND_IN], env=env, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


@pytest.fixture
def keeper(folder: Path, zygote: subprocess.Popen[bytes]) -> Iterator[Keeper]:
    made = Keeper(folder / "z.sock")
    yield made
    made.close()


def fork(folder: Path, replica: str, name: str = "sleeps") -> Fork:
    return Fork(
        replica=replica,
        spec=ModelSpec(name=name, version="1", runtime="python"),
        gate="g",
        folder=str(folder),
        scratch=str(folder / replica),
        serve=str(folder / replica / "serve.sock"),
        keep=str(folder / replica / "keep.sock"),
        log=str(folder / f"{replica}.log"),
    )


def forked(keeper: Keeper) -> int:
    message = keeper.hear()
    assert isinstance(message, Forked)
    assert not message.error
    return message.pid


def test_a_zygote_greets_forks_signals_and_tells_ends(
    keeper: Keeper, folder: Path, zygote: subprocess.Popen[bytes]
) -> None:
    assert keeper.hear() == ZygoteUp(pid=zygote.pid)

    keeper.tell(fork(folder, "r-1"))
    pid = forked(keeper)
    keeper.tell(fork(folder, "r-1"))
    assert forked(keeper) == pid  # the same one again
    keeper.tell(ForkStop(replica="r-1", signal=signal.SIGKILL))

    assert keeper.hear() == Exited(replica="r-1", pid=pid, code=-signal.SIGKILL)


def test_a_replica_that_raises_or_exits_ends_without_harm_to_its_zygote(keeper: Keeper, folder: Path) -> None:
    keeper.hear()
    for name, code in (("raises", 70), ("exits", 9)):
        keeper.tell(fork(folder, f"r-{name}", name))
        pid = forked(keeper)
        assert keeper.hear() == Exited(replica=f"r-{name}", pid=pid, code=code)
    assert "as models do" in (folder / "r-raises.log").read_text()


def test_each_replica_has_its_own_chance_session_and_folder(keeper: Keeper, folder: Path) -> None:
    keeper.hear()
    for replica in ("r-1", "r-2"):
        keeper.tell(fork(folder, replica, "exits"))
        forked(keeper)
        assert isinstance(keeper.hear(), Exited)

    said = [(folder / f"{replica}.log").read_text().split() for replica in ("r-1", "r-2")]

    assert said[0][0] != said[1][0]
    assert [line[1:] for line in said] == [["True", "True"]] * 2


def test_a_later_keeper_hears_who_lives_and_who_ended(keeper: Keeper, folder: Path) -> None:
    keeper.hear()
    pids = {}
    for replica in ("r-1", "r-2"):
        keeper.tell(fork(folder, replica))
        pids[replica] = forked(keeper)
    keeper.close()
    os.kill(pids["r-1"], signal.SIGTERM)
    deadline = time.monotonic() + LIMIT_S
    while Path(f"/proc/{pids['r-1']}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)

    later = Keeper(folder / "z.sock")
    up = later.hear()

    assert isinstance(up, ZygoteUp)
    assert up.replicas == {"r-2": pids["r-2"]}
    assert later.hear() == Exited(replica="r-1", pid=pids["r-1"], code=-signal.SIGTERM)
    later.close()
    os.kill(pids["r-2"], signal.SIGKILL)


def test_the_newest_keeper_takes_over(keeper: Keeper, folder: Path) -> None:
    keeper.hear()

    later = Keeper(folder / "z.sock")

    assert isinstance(later.hear(), ZygoteUp)
    with pytest.raises(EOFError):
        keeper.hear()
    later.close()


def test_replicas_outlive_a_zygote_that_is_told_to_end(
    keeper: Keeper, folder: Path, zygote: subprocess.Popen[bytes]
) -> None:
    keeper.hear()
    keeper.tell(fork(folder, "r-1"))
    pid = forked(keeper)

    zygote.terminate()

    assert zygote.wait(LIMIT_S) == 0
    os.kill(pid, 0)
    assert not (folder / "z.sock").exists()
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\x03abc"])
def test_what_is_no_message_ends_the_channel_and_not_the_zygote(keeper: Keeper, folder: Path, data: bytes) -> None:
    keeper.hear()

    keeper.sock.sendall(data)

    with pytest.raises((EOFError, ConnectionResetError)):
        keeper.hear()
    again = Keeper(folder / "z.sock")
    assert isinstance(again.hear(), ZygoteUp)
    again.close()


@pytest.mark.parametrize("zygote", [("json", "no_such_module", "breaks", "threads")], indirect=True)
def test_preloads_that_fail_and_threads_are_told(keeper: Keeper, folder: Path) -> None:
    up = keeper.hear()

    assert isinstance(up, ZygoteUp)
    assert [warning.split(":")[0] for warning in up.warnings] == [
        "preload no_such_module",
        "preload breaks",
        "imports started 1 threads, which forked replicas lack",
    ]
    keeper.tell(fork(folder, "r-1", "exits"))
    assert forked(keeper)


def test_a_fork_has_the_zygote_import_what_it_lacks_once(keeper: Keeper, folder: Path) -> None:
    (folder / "late.py").write_text("import os\nprint(os.getpid(), file=open(f'{__file__}.by', 'a'))\n")
    up = keeper.hear()
    assert isinstance(up, ZygoteUp)
    for replica in ("r-1", "r-2"):
        keeper.tell(msgspec.structs.replace(fork(folder, replica), preload=("late", "no_such_module")))
        assert forked(keeper)
    assert (folder / "late.py.by").read_text() == f"{up.pid}\n"


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_another_user_is_hung_up_on(keeper: Keeper, folder: Path) -> None:
    keeper.hear()
    (folder / "z.sock").chmod(0o777)
    folder.chmod(0o755)
    program = """
import os, socket, sys
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
sys.exit(len(sock.recv(1)))
"""

    done = subprocess.run([sys.executable, "-c", program, str(folder / "z.sock")], timeout=LIMIT_S, check=False)

    assert done.returncode == 0
