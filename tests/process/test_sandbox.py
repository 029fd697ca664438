"""What a hostile bundle tries from inside the sandbox, and what it is told. Ids in names: the list of attacks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from fairlead.sandbox import ground, landlock, seccomp
from fairlead.sandbox.level import Isolation, Level, isolation
from fairlead.sandbox.rules import VARIABLE, Ground, Limits, Rules, for_app, for_inspect, for_replica
from fairlead.sandbox.run import EXIT_REFUSED
from fairlead.sandbox.uids import uid_for

HERE = isolation()
pytestmark = pytest.mark.skipif(
    HERE.level.rank < Level.LANDLOCK.rank, reason=f"isolation here is only {HERE.level}: {'; '.join(HERE.missing)}"
)
LIMIT_S = 60
Run = Callable[..., "subprocess.CompletedProcess[str]"]

PRELUDE = """
import ctypes, errno, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(what, *numbers):
    try:
        what()
    except OSError as error:
        assert not numbers or error.errno in numbers, error
        return
    raise AssertionError("it was allowed")
def call(number, *arguments):
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    if libc.syscall(ctypes.c_long(number), *words) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""


class Place:
    """Folders of one bundle, and a neighbor's secret."""

    def __init__(self, root: Path, uid: int | None) -> None:
        self.uid = uid
        self.bundle, self.scratch, self.sockets = root / "bundle", root / "scratch", root / "sockets"
        self.secret = root / "secret.txt"
        for folder in (self.bundle, self.scratch, self.sockets):
            folder.mkdir()
        (self.bundle / "weights.bin").write_bytes(b"weights")
        self.secret.write_text("other people's", encoding="ascii")
        self.secret.chmod(0o666)
        self.bundle.chmod(0o755)
        if uid is not None:
            for folder in (self.scratch, self.sockets):
                os.chown(folder, uid, uid)
        self.ground = Ground(
            environment=sys.prefix,
            base=ground.base_of(Path(sys.prefix)),
            bundle=str(self.bundle),
            scratch=str(self.scratch),
        )

    def replica(self, isolation: Isolation = HERE) -> Rules:
        return for_replica(self.ground, (), isolation, uid=self.uid, sockets=str(self.sockets), logs=str(self.scratch))


def run(rules: Rules, code: str, *arguments: str, prelude: str = PRELUDE) -> subprocess.CompletedProcess[str]:
    """Run Python code under ``rules``."""
    return subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "fairlead.sandbox.run",
            "--",
            sys.executable,
            "-I",
            "-c",
            prelude + code,
            *arguments,
        ],
        env={VARIABLE: msgspec.json.encode(rules).decode(), "SECRET_OF_THE_PLATFORM": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def holds(rules: Rules, code: str, *arguments: str) -> None:
    done = run(rules, code, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=["best", "landlock"])
def isolated(request: pytest.FixtureRequest) -> Isolation:
    """As strong as this machine allows, and Landlock with seccomp alone, as on most people's machines."""
    if request.param == "best":
        return HERE
    return Isolation(Level.LANDLOCK, landlock_abi=HERE.landlock_abi)


@pytest.fixture
def place(tmp_path: Path, isolated: Isolation) -> Place:
    return Place(tmp_path, uid_for("trial", tmp_path / "uids.json") if isolated.own_uid else None)


@pytest.fixture
def rules(place: Place, isolated: Isolation) -> Rules:
    return place.replica(isolated)


# --- S-60: other people's files and processes -------------------------------------------------------------------------


def test_s60_files_outside_are_refused(place: Place, rules: Rules) -> None:
    holds(
        rules,
        """
for path in (sys.argv[1], "/etc/passwd", "/etc/shadow", "/root/.bashrc", "/proc/1/environ", "/proc/1/mem"):
    refused(lambda: open(path, "rb").read(), errno.EACCES, errno.ENOENT)
    refused(lambda: open(path, "wb"), errno.EACCES, errno.ENOENT, errno.EROFS)
refused(lambda: os.listdir("/"), errno.EACCES)
refused(lambda: os.truncate(sys.argv[1], 0))
""",
        str(place.secret),
    )
    assert place.secret.read_text() == "other people's"


def test_s60_the_parent_cannot_be_looked_into(rules: Rules) -> None:
    holds(
        rules,
        """
parent = int(sys.argv[1])
for name in ("environ", "mem", "maps", "root/etc/passwd", "cwd"):
    refused(lambda: open(f"/proc/{parent}/{name}", "rb").read())
refused(lambda: os.kill(parent, 0), errno.EPERM)
number = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
refused(lambda: call(number, 16, parent, 0, 0), errno.EACCES)  # PTRACE_ATTACH
""",
        str(os.getpid()),
    )


def test_s60_the_platforms_variables_and_descriptors_are_gone(rules: Rules) -> None:
    holds(
        rules,
        """
assert "SECRET_OF_THE_PLATFORM" not in os.environ and "FAIRLEAD_RULES" not in os.environ
assert set(os.listdir("/dev/fd") if os.path.exists("/dev/fd") else ["0", "1", "2"]) <= {"0", "1", "2", "3"}
for number in range(3, 64):
    refused(lambda: os.fstat(number), errno.EBADF)
assert os.getsid(0) == os.getpid()
""",
    )


@pytest.mark.skipif(not HERE.view, reason="no namespaces here")
def test_s60_names_sizes_and_modes_outside_do_not_exist(tmp_path: Path) -> None:
    place = Place(tmp_path, uid_for("trial", tmp_path / "uids.json") if HERE.own_uid else None)
    holds(
        place.replica(),
        """
for look in (os.stat, os.listdir, os.chdir, lambda path: os.chmod(path, 0o777)):
    refused(lambda: look(sys.argv[1]), errno.ENOENT)
""",
        str(place.secret),
    )


@pytest.mark.skipif(not HERE.own_uid, reason="bundles have no user of their own here")
def test_s60_a_bundle_is_its_own_user_and_sees_only_its_own_processes(tmp_path: Path) -> None:
    place = Place(tmp_path, uid_for("trial", tmp_path / "uids.json"))
    holds(
        place.replica(),
        """
assert os.getresuid() == (int(sys.argv[1]),) * 3 and os.getgroups() == []
pids = [name for name in os.listdir("/proc") if name.isdigit()]
assert pids == [str(os.getpid())], pids
refused(lambda: os.setuid(0))
""",
        str(place.uid),
    )


# --- S-61: the network, other sockets ---------------------------------------------------------------------------------


def test_s61_no_network_socket_can_be_made(rules: Rules) -> None:
    holds(
        rules,
        """
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK, 38, 43):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        refused(lambda: socket.socket(family, kind), errno.EACCES)
refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262), errno.EACCES)  # MPTCP
""",
    )


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Path]:
    """Somebody else's socket, open to all."""
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        path.chmod(0o777)
        sock.listen()
        yield path


def test_s61_no_socket_connects_or_sends_by_path(rules: Rules, listener: Path) -> None:
    holds(
        rules,
        """
refused(lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[1]), errno.EACCES)
refused(lambda: socket.socket(socket.AF_UNIX).connect("\\0abstract"), errno.EACCES)
refused(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), errno.EACCES)
refused(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM), errno.EACCES)
socket.socketpair()
""",
        str(listener),
    )


@pytest.mark.skipif(not HERE.view, reason="no namespaces here")
def test_s61_an_app_reaches_its_channel_and_no_other_socket(tmp_path: Path, listener: Path) -> None:
    place = Place(tmp_path, uid_for("trial", tmp_path / "uids.json") if HERE.own_uid else None)
    channel = place.sockets / "channel.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(channel))
        channel.chmod(0o777)
        sock.listen()
        rules = for_app(place.ground, (), HERE, uid=place.uid, channel=str(place.sockets))
        holds(
            rules,
            """
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
refused(lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[2]), errno.ENOENT)
refused(lambda: socket.socket(socket.AF_INET), errno.EACCES)
import subprocess
assert subprocess.run(["/bin/sh", "-c", "exit 3"]).returncode == 3
""",
            str(channel),
            str(listener),
        )


def test_s61_a_page_listens_on_its_port_and_connects_nowhere(place: Place, isolated: Isolation) -> None:
    if HERE.landlock_abi < 4:
        pytest.skip("needs Landlock ABI 4")
    with socket.socket() as free, socket.socket() as other:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        other.bind(("127.0.0.1", 0))
        other.listen()
        target = other.getsockname()[1]
        free.close()
        rules = for_app(place.ground, (), isolated, uid=place.uid, channel=str(place.sockets), port=port)
        holds(
            rules,
            """
port, target = map(int, sys.argv[1:])
page = socket.socket()
page.bind(("127.0.0.1", port))
page.listen()
refused(lambda: socket.socket().bind(("127.0.0.1", 0)), errno.EACCES)
refused(lambda: socket.socket().connect(("127.0.0.1", target)), errno.EACCES)
refused(lambda: socket.socket().sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", target)), errno.EACCES)
refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), errno.EACCES)
refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262), errno.EACCES)
""",
            str(port),
            str(target),
        )


def test_outbound_lifts_the_network_part_only(place: Place, isolated: Isolation) -> None:
    open_ground = msgspec.structs.replace(place.ground, outbound=True)
    rules = for_replica(open_ground, (), isolated, uid=place.uid, sockets=str(place.sockets), logs=str(place.scratch))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        holds(
            rules,
            """
socket.socket().connect(("127.0.0.1", int(sys.argv[1])))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW), errno.EACCES)
refused(lambda: open("/etc/passwd"), errno.EACCES, errno.ENOENT)
""",
            str(server.getsockname()[1]),
        )
    assert for_inspect(open_ground, (), isolated, uid=place.uid).outbound is False


# --- S-62: too much of everything -------------------------------------------------------------------------------------


def test_s62_limits_end_what_takes_too_much(rules: Rules) -> None:
    tight = msgspec.structs.replace(
        rules, limits=Limits(open_files=64, file_bytes=1024**2, data_bytes=512 * 1024**2, processes=16)
    )
    holds(
        tight,
        """
import resource, signal
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
refused(lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(100)], errno.EMFILE)
os.closerange(3, 100)
try:
    bytearray(1024**3)
    raise AssertionError("allocated")
except MemoryError:
    pass
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def fill():
    with open(os.path.join(os.environ["TMPDIR"], "big"), "wb", buffering=0) as file:
        while file.write(b"x" * 65536):
            pass
refused(fill, errno.EFBIG)
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    raise AssertionError("raised its own limit")
except ValueError:
    pass
""",
    )


@pytest.mark.skipif(not HERE.own_uid, reason="processes are counted per user")
def test_s62_a_fork_bomb_meets_its_bound(tmp_path: Path) -> None:
    place = Place(tmp_path, uid_for("bomb", tmp_path / "uids.json"))
    tight = msgspec.structs.replace(place.replica(), limits=Limits(processes=12))
    holds(
        tight,
        """
import signal, time
children = []
def bomb():
    for _ in range(100):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
refused(bomb, errno.EAGAIN)
assert len(children) < 12
for pid in children:
    os.kill(pid, signal.SIGKILL)
""",
    )


# --- S-63: its own code, the interpreter, other ways up ---------------------------------------------------------------


def test_s63_code_environment_and_interpreter_cannot_be_written(place: Place, rules: Rules) -> None:
    holds(
        rules,
        """
bundle, environment = sys.argv[1:]
readonly = (errno.EACCES, errno.EROFS, errno.EPERM)
assert open(bundle + "/weights.bin", "rb").read() == b"weights"
refused(lambda: open(bundle + "/weights.bin", "wb"), *readonly)
refused(lambda: open(bundle + "/new.py", "w"), *readonly)
refused(lambda: os.rename(bundle + "/weights.bin", bundle + "/other"), *readonly, errno.EXDEV)
refused(lambda: os.unlink(bundle + "/weights.bin"), *readonly)
refused(lambda: open(environment + "/bin/python", "ab"), *readonly, errno.ETXTBSY)
refused(lambda: open(os.path.realpath(sys.executable), "ab"), *readonly, errno.ETXTBSY)
refused(lambda: open(os.__file__, "a"), *readonly)
scratch = os.environ["TMPDIR"]
refused(lambda: os.link(bundle + "/weights.bin", scratch + "/weights"), *readonly, errno.EXDEV)
os.symlink("/etc/passwd", scratch + "/link")
refused(lambda: open(scratch + "/link"), errno.EACCES, errno.ENOENT)
with open(scratch + "/program", "w") as file:
    file.write("#!/bin/sh\\n")
os.chmod(scratch + "/program", 0o700)
refused(lambda: os.execv(scratch + "/program", ["program"]), errno.EACCES, errno.ENOENT)
""",
        str(place.bundle),
        sys.prefix,
    )


def test_calls_that_no_bundle_needs_are_refused(rules: Rules) -> None:
    numbers = {name: list(pair) for name, pair in seccomp._DENIED.items()}
    holds(
        rules,
        """
import json
column = ["x86_64", "aarch64"].index(os.uname().machine)
for name, pair in json.loads(sys.argv[1]).items():
    if pair[column] is not None:
        refused(lambda: call(pair[column], 0, 0, 0, 0, 0, 0), errno.EACCES)
refused(lambda: call(435, 0, 0), errno.ENOSYS)  # clone3
refused(lambda: call([56, 220][column], 0x10000000 | 17, 0, 0, 0, 0), errno.EACCES)  # clone(CLONE_NEWUSER)
refused(lambda: call([16, 29][column], 0, 0x5412, ctypes.create_string_buffer(b"x")), errno.EACCES)  # TIOCSTI
if column == 0:
    refused(lambda: call(0x40000000 | 41, 2, 1, 0), errno.ENOSYS)  # socket of the x32 ABI
import threading
threading.Thread(target=lambda: None).start()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
""",
        msgspec.json.encode(numbers).decode(),
    )


def test_privileges_do_not_come_back(rules: Rules) -> None:
    holds(
        rules,
        """
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    assert int(status[name], 16) == 0, (name, status[name])
""",
    )


# --- what must work ---------------------------------------------------------------------------------------------------


def test_http_on_its_own_socket_works(place: Place, rules: Rules) -> None:
    path = place.sockets / "serve.sock"
    code = """
import http.server, socketserver
class Server(socketserver.UnixStreamServer):
    def get_request(self):
        return super().get_request()[0], ("bundle", 0)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"served")
    def log_message(self, *_): pass
server = Server(sys.argv[1], Handler)
print("listening", flush=True)
server.handle_request()
"""
    argv = [
        sys.executable,
        "-P",
        "-m",
        "fairlead.sandbox.run",
        "--",
        sys.executable,
        "-I",
        "-c",
        PRELUDE + code,
        str(path),
    ]
    with subprocess.Popen(
        argv,
        env={VARIABLE: msgspec.json.encode(rules).decode()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        process.communicate()
        watchdog.cancel()
    assert answer.endswith(b"served")


def test_heavy_libraries_load_and_threads_run(rules: Rules) -> None:
    pytest.importorskip("numpy")
    holds(
        rules,
        """
import numpy
assert (numpy.ones((200, 200)) @ numpy.ones((200, 200))).sum() == 200 ** 3
import concurrent.futures, ssl, sqlite3, tempfile, zoneinfo
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(abs, range(10))) == 45
tempfile.NamedTemporaryFile().close()
zoneinfo.ZoneInfo("Europe/Berlin")
""",
    )


def test_less_isolation_than_asked_for_is_refused_not_passed_over(tmp_path: Path) -> None:
    rules = Rules(argv=("/bin/true",), level=Level.FULL, uid=1, view=True, cwd="/no/such/folder")

    done = run(rules, "")

    assert done.returncode == EXIT_REFUSED
    assert done.stderr.startswith("sandbox: cannot run")


def test_rules_that_cannot_be_read_start_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fairlead.sandbox.run", "--", "/bin/true"],
        env={VARIABLE: "{"},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.returncode == EXIT_REFUSED


def test_the_level_told_is_the_level_in_force() -> None:
    assert HERE.landlock_abi == landlock.abi()
    assert (HERE.level is Level.FULL) == HERE.own_uid
    assert HERE.holds
