"""The few words of HTTP/2 (RFC 9113) and HPACK (RFC 7541) that tests need to say what no client library would."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_BYTES = 16_384
_STATUS = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
_DIGITS = {f"{n:05b}": str(n) for n in range(3)} | {f"{22 + n:06b}": str(n) for n in range(3, 10)}
"""Huffman codes of digits, RFC 7541 appendix B."""

Field = tuple[bytes, bytes]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def packed(fields: Sequence[Field]) -> bytes:
    """Return ``fields`` as literals without indexing, byte by byte as they are."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


def _text(data: bytes) -> bytes:
    size, length = len(data), bytearray()
    if size < 127:
        return bytes((size,)) + data
    length.append(127)
    size -= 127
    while size >= 128:
        length.append(size % 128 | 128)
        size //= 128
    length.append(size)
    return bytes(length) + data


def request(fields: Sequence[Field], body: bytes = b"", stream: int = 1) -> bytes:
    """Return the frames of one request."""
    block, end = packed(fields), 0 if body else END_STREAM
    parts = [block[at : at + FRAME_BYTES] for at in range(0, len(block), FRAME_BYTES)]
    frames = [frame(HEADERS, end | (END_HEADERS if len(parts) == 1 else 0), stream, parts[0])]
    frames += [frame(CONTINUATION, END_HEADERS if part is parts[-1] else 0, stream, part) for part in parts[1:]]
    if body:
        frames.append(frame(DATA, END_STREAM, stream, body))
    return b"".join(frames)


def exchange(port: int, *requests: bytes, timeout_s: float = 10) -> dict[int, tuple[int | str, bytes]]:
    """Send requests on one connection; return by stream the status (or ``reset``) and the body.

    Streams that were not answered when the connection was closed are missing.
    """
    found: dict[int, tuple[int | str, bytes]] = {}
    ended: set[int] = set()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as sock:
        try:
            sock.sendall(PREFACE + frame(SETTINGS, 0, 0) + b"".join(requests))
            reader, deadline = sock.makefile("rb"), time.monotonic() + timeout_s
            while len(ended) < len(requests) and time.monotonic() < deadline:
                head = reader.read(9)
                if len(head) < 9:
                    break
                kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
                payload = reader.read(struct.unpack(">I", b"\0" + head[:3])[0])
                status, body = found.get(stream, (0, b""))
                if kind == SETTINGS and not flags & ACK:
                    sock.sendall(frame(SETTINGS, ACK, 0))
                elif kind == HEADERS and not status:
                    found[stream] = _status(payload), body
                elif kind == DATA:
                    found[stream] = status, body + payload
                elif kind == RST_STREAM:
                    found[stream] = "reset", body
                    ended.add(stream)
                elif kind == GOAWAY:
                    break
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    ended.add(stream)
        except (ConnectionError, TimeoutError):
            pass
    return found


def _status(block: bytes) -> int:
    """Return ``:status``, which comes first; without having said anything the other side's table is the static one."""
    while block and block[0] & 0xE0 == 0x20:  # a change of the table's size
        block = block[1:]
    if block[0] & 0x80:
        return _STATUS[block[0] & 0x7F]
    size, value = block[1] & 0x7F, block[2:]
    if not block[1] & 0x80:
        return int(value[:size])
    bits, digits = "".join(f"{byte:08b}" for byte in value[:size]), ""
    while len(digits) < 3:
        code = next(code for code in _DIGITS if bits.startswith(code))
        digits, bits = digits + _DIGITS[code], bits[len(code) :]
    return int(digits)
