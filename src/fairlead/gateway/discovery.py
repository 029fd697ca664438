"""Tells Envoy the endpoints of versions, on a Unix socket: Envoy's aggregated discovery service for one resource type.

gRPC over HTTP/2 as Envoy speaks it: one stream on which both sides say something whenever they have it. Files would do
for one cluster, but Envoy opens an inotify instance for each that is watched, and a user has 128 of those.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import msgspec

from fairlead.errors import Invalid
from fairlead.gateway.assignments import Assignment, Sockets, assignment
from fairlead.gateway.telling import Telling, read
from fairlead.supervisor.aside import aside

PATH = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_CHUNK_BYTES = 65_536
_PREFIX_BYTES = 5  # of a gRPC message: whether it is compressed, and its length
_UNIMPLEMENTED = "12"


class Discovery:
    """What Envoy is told of endpoints, from ``open`` to ``close``.

    ``file`` keeps it, so that the next keeper says the same until it knows more.
    """

    def __init__(self, socket: Path, file: Path, waker: str) -> None:
        self._socket, self._file, self._waker = socket, file, waker
        self._told: dict[str, Sockets] = _load(file)
        self._connection: _Connection | None = None
        self._server: asyncio.Server | None = None
        self._heard = asyncio.Event()
        """Set whenever Envoy said something."""

    async def open(self) -> None:
        """Begin to listen; only we may connect."""
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._socket)
        os.chmod(self._socket, 0o600)

    async def close(self) -> None:
        """Stop to listen; Envoy keeps what it was told."""
        if self._server is not None:
            self._server.close()
            if self._connection is not None:
                self._connection.end()
            await self._server.wait_closed()
            self._server = None

    def tell(self, told: Mapping[str, Sockets]) -> None:
        """Say what is new in ``told``; versions that are not in it stay as they are until :meth:`forget`."""
        new = [name for name, parts in told.items() if self._told.get(name) != parts]
        self._told |= told
        if self._connection is not None:
            self._connection.say(new)

    def forget(self, served: Collection[str]) -> None:
        """Drop all but ``served``: no cluster asks for the others any more."""
        self._told = {name: parts for name, parts in self._told.items() if name in served}

    async def keep(self) -> None:
        """Have the file hold what was told."""
        content = msgspec.json.encode({name: parts for name, parts in sorted(self._told.items()) if any(parts)})
        await aside(lambda: _replace(self._file, content))

    async def held(self, names: Collection[str], timeout_s: float) -> str:
        """Wait until Envoy holds what was told of ``names``; returns an empty text, or why it does not."""
        if not names:
            return ""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._heard.clear()
                    if self._connection is not None:
                        telling = self._connection.telling
                        left = telling.lacks(names)
                        if not left:
                            return ""
                        if refused := telling.refused(left):
                            return f"endpoints: {refused}"
                    await self._heard.wait()
        except TimeoutError:
            return f"endpoints: the front door did not take them within {timeout_s:g} s"

    def prepare(self, told: Mapping[str, Sockets]) -> None:
        """Note what is told at first of versions of which nothing is known."""
        self._told = {**told, **self._told}

    def _of(self, name: str) -> Assignment:
        return assignment(name, self._told.get(name, Sockets()), self._waker)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self._connection = _Connection(writer, Telling(self._of))
        try:
            with suppress(ConnectionError, h2.exceptions.ProtocolError, Invalid):
                while chunk := await reader.read(_CHUNK_BYTES):
                    connection.take(chunk)
                    self._heard.set()
                    await writer.drain()
        finally:
            if self._connection is connection:
                self._connection = None
            connection.end()


class _Connection:
    """One of Envoy's connections, of which one stream is used."""

    def __init__(self, writer: asyncio.StreamWriter, telling: Telling) -> None:
        self.telling = telling
        self._writer = writer
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._stream = 0
        self._incoming, self._outgoing = bytearray(), bytearray()
        self._http.initiate_connection()
        self._flush()

    def take(self, chunk: bytes) -> None:
        """Take what came, and answer it."""
        for event in self._http.receive_data(chunk):
            match event:
                case h2.events.RequestReceived():
                    self._begin(event)
                case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                    self._http.acknowledge_received_data(length or 0, stream or 0)
                    if stream == self._stream:
                        self._incoming += data or b""
                case h2.events.StreamEnded(stream_id=stream) | h2.events.StreamReset(stream_id=stream):
                    if stream == self._stream:
                        self.end()
                case h2.events.ConnectionTerminated():
                    self.end()
        while (message := self._message()) is not None:
            self._answer(self.telling.hear(read(message)))
        self._flush()

    def say(self, names: Iterable[str]) -> None:
        """Tell what is new of ``names``."""
        self._answer(self.telling.due(names))
        self._flush()

    def end(self) -> None:
        """Close it."""
        self._writer.close()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        headers, stream = dict(event.headers or ()), event.stream_id or 0
        if headers.get(b":path") != PATH:
            trailers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", _UNIMPLEMENTED)]
            self._http.send_headers(stream, trailers, end_stream=True)
            return
        self._stream = stream
        self._http.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])

    def _message(self) -> bytes | None:
        """Return the next whole message, None while it is on its way."""
        if len(self._incoming) < _PREFIX_BYTES:
            return None
        end = _PREFIX_BYTES + int.from_bytes(self._incoming[1:_PREFIX_BYTES], "big")
        if len(self._incoming) < end:
            return None
        message = bytes(self._incoming[_PREFIX_BYTES:end])
        del self._incoming[:end]
        return message

    def _answer(self, message: bytes) -> None:
        if message:
            self._outgoing += b"\0" + len(message).to_bytes(4, "big") + message

    def _flush(self) -> None:
        while self._outgoing and self._stream:
            room = min(self._http.local_flow_control_window(self._stream), self._http.max_outbound_frame_size)
            if room <= 0:
                break  # Envoy says when there is some
            self._http.send_data(self._stream, bytes(self._outgoing[:room]))
            del self._outgoing[:room]
        if not self._writer.is_closing():
            self._writer.write(self._http.data_to_send())


def _load(file: Path) -> dict[str, Sockets]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Sockets])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _replace(file: Path, content: bytes) -> None:
    """Not synced: after a power cut no replica is where it was."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
    partial.replace(file)
