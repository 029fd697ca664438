"""What a hostile bundle tries. The tests put this file into bundles, so it stands on the standard library alone.

:func:`attempt` answers the name of the error it met (``EACCES``), or ``done: …`` when it got through.
"""

import array
import ctypes
import errno
import gc
import json
import os
import platform
import select
import signal
import socket
import stat
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]
NUMBERS = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "unshare": (272, 97),
    "mount": (165, 40),
    "bpf": (321, 280),
}


def attempt(what, arguments=()):
    """Return how the attempt called ``what`` ended."""
    try:
        return f"done: {globals()['try_' + what](*arguments)}"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:  # whatever stopped it is the answer
        return type(error).__name__


def attempts(asked):
    """Return the answers to a JSON list of ``[what, arguments…]``, as JSON."""
    return json.dumps([attempt(what, arguments) for what, *arguments in json.loads(asked)])


def _call(name, *arguments):
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    done = LIBC.syscall(ctypes.c_long(NUMBERS[name][COLUMN]), *words)
    if done < 0:
        raise OSError(ctypes.get_errno(), name)
    return done


# --- files ------------------------------------------------------------------------------------------------------------


def try_read(path):
    with open(path, "rb") as file:
        return file.read(64)


def try_write(path):
    with open(path, "ab") as file:
        file.write(b"was here\n")


def try_stat(path):
    return os.stat(path).st_size


def try_list(path):
    return sorted(os.listdir(path))


def try_chmod(path):
    os.chmod(path, 0o777)


def try_symlink(target, link):
    with_suppressed(os.unlink, link)
    os.symlink(target, link)


def try_fifo(path):
    with_suppressed(os.unlink, path)
    os.mkfifo(path)


def try_hard_link(target, link):
    os.link(target, link)


def try_move_in(target, link):
    """Make a link where that is allowed, then move it to where it is not."""
    made = os.path.join(os.environ["TMPDIR"], "moved")
    with_suppressed(os.unlink, made)
    os.symlink(target, made)
    os.rename(made, link)


def try_execute_dropped():
    path = os.path.join(os.environ["TMPDIR"], "dropped")
    with open(path, "w") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod(path, 0o700)
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(path, [path])
        except OSError as error:
            os._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, path)


def try_load_dropped():
    """Map a file of our own as code."""
    import mmap

    path = os.path.join(os.environ["TMPDIR"], "code")
    with open(path, "w+b") as file:
        file.write(b"\xc3" * 4096)
        file.flush()
        mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)


# --- other processes --------------------------------------------------------------------------------------------------


def try_environ(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read(64)


def try_memory(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        return file.fileno()


def try_ptrace(pid):
    return _call("ptrace", 16, pid, 0, 0)


def try_read_memory(pid):
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_void_p * 2)(ctypes.cast(buffer, ctypes.c_void_p).value, 8)
    return _call("process_vm_readv", pid, local, 1, local, 1, 0)


def try_kill(pid):
    os.kill(pid, 0)


def try_kill_everyone():
    """Signal every other process that can be: one pid of -1, as init scripts do; 0 asks only whether one may."""
    others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    owners = {os.stat(f"/proc/{pid}").st_uid for pid in others}
    return sorted(owners - {os.getuid()})


def try_take_descriptor(pid):
    return _call("pidfd_getfd", pid, 0, 0)


def try_fork_bomb(most):
    children, refused = [], None
    try:
        for _ in range(most):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
    except OSError as error:
        refused = error
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)
    if refused is not None:
        raise refused
    return len(children)


# --- the network ------------------------------------------------------------------------------------------------------


def try_unix(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(path)


def try_unix_datagram(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", path)


def try_abstract(name):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + name)


def try_tcp(host, port):
    with socket.socket() as sock:
        sock.settimeout(5)
        sock.connect((host, port))


def try_udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (host, port))


def try_fast_open(host, port):
    with socket.socket() as sock:
        sock.sendto(b"x", socket.MSG_FASTOPEN, (host, port))


def try_listen(port):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen()


def try_raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def try_packet():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def try_netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()


def try_vsock():
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()


def try_send_descriptor():
    """Hand a descriptor around: allowed between one's own, which shows that socket pairs work at all."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fds = array.array("i", [0])
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])


def try_http(path, request):
    """Send bytes to a Unix socket; return the status line of the answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(path)
        sock.sendall(request.encode())
        return sock.recv(4096).split(b"\r\n")[0].decode()


# --- the kernel -------------------------------------------------------------------------------------------------------


def try_io_uring():
    return _call("io_uring_setup", 4, ctypes.create_string_buffer(120))


def try_unshare():
    return _call("unshare", 0x10000000)


def try_mount():
    return _call("mount", b"none", b"/tmp", b"tmpfs", 0, 0)


def try_bpf():
    return _call("bpf", 0, ctypes.create_string_buffer(64), 64)


def try_setuid():
    os.setuid(0)


# --- too much of everything -------------------------------------------------------------------------------------------


def try_descriptors(most):
    opened = []
    try:
        for _ in range(most):
            opened.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for number in opened:
            os.close(number)
    return most


def try_allocate(size):
    return len(bytearray(size))


def try_fill(most):
    """Write to the private folder until that is refused; what came of it is removed."""
    path = os.path.join(os.environ["TMPDIR"], "filled")
    block, written = b"x" * 1024**2, 0
    with open(path, "wb", buffering=0) as file:
        while written < most:
            written += file.write(block)
    return written


def try_spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def try_pause(seconds):
    time.sleep(seconds)


def try_print(size):
    line = "x" * 1023
    for _ in range(size // 1024):
        print(line)
    sys.stdout.flush()
    return size


def try_daemon():
    """Leave a process that has left its session and hears no SIGTERM; returns its pid."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            os.write(writing, str(os.getpid()).encode())
            while True:
                time.sleep(1)
        os._exit(0)
    os.wait()
    return os.read(reading, 20).decode()


# --- what a server says -----------------------------------------------------------------------------------------------


def _connections(name):
    """Yield this process's connections that were taken on the socket called ``name``."""
    for number in range(3, 1024):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            sock = socket.socket(fileno=os.dup(number))
        except OSError:
            continue
        with sock:
            try:
                sock.getpeername()
                taken = not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if taken and str(sock.getsockname()).endswith(name):
                    yield sock
            except OSError:
                continue


def try_answer(text):
    """Write to whoever asked, past the server: whatever one likes."""
    count = 0
    for sock in _connections("serve.sock"):
        left = memoryview(text.encode("latin-1"))
        end = time.monotonic() + 5
        try:
            while left and time.monotonic() < end:
                poll = select.poll()
                poll.register(sock, select.POLLOUT)
                poll.poll(100)
                sent = sock.send(left)
                left = left[sent:]
            count += 1
        except BlockingIOError:
            continue
        except OSError:
            count += 1
    return count


def try_claim_job(job):
    """Tell the keeper that a job of somebody else is done."""
    from fairlead.messages import JobDone, JobHeld, frame

    count = 0
    for sock in _connections("keep.sock"):
        for epoch in range(1, 4):
            sock.send(frame(JobHeld(job, epoch, 60.0)))
            sock.send(frame(JobDone(job, epoch, body=b'"forged"', content_type="application/json")))
            count += 1
    return count


# --- what it is told --------------------------------------------------------------------------------------------------


def try_variables():
    return sorted(os.environ)


def try_self():
    return json.dumps({"uid": os.getuid(), "pid": os.getpid(), "scratch": os.environ["TMPDIR"]})


def try_headers():
    """Find the request in hand among the server's objects and return its headers."""
    for found in gc.get_objects():
        if type(found).__name__ == "HttpCall":
            return json.dumps({name: found.scope.headers.get(name) for name in found.scope.headers.keys()})  # noqa: SIM118
    return json.dumps({})


def with_suppressed(act, *arguments):
    try:
        act(*arguments)
    except OSError:
        sys.exc_info()


assert struct.calcsize("l") == 8, "64 bits"
