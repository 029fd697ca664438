"""A way to the front door that holds what is sent after so many bytes: an upload stands still where a test wants it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE_BYTES = 65_536


class Relay:
    """Passes connections on; all that clients send together goes on up to ``most`` bytes, the rest when released."""

    def __init__(self, upstream: tuple[str, int], most: int) -> None:
        self._upstream = upstream
        self._left = most
        self._counting = threading.Lock()
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def release(self) -> None:
        """Let everything pass from now on."""
        self._released.set()

    def close(self) -> None:
        self.release()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._both_ways, args=(client,), daemon=True).start()

    def _both_ways(self, client: socket.socket) -> None:
        # closed, not only shut down: a client that still sends is told so
        with client, socket.create_connection(self._upstream) as server:
            sending = threading.Thread(target=self._pass, args=(client, server, True), daemon=True)
            sending.start()
            self._pass(server, client, False)
            sending.join()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while piece := source.recv(_PIECE_BYTES):
                if counted:
                    with self._counting:
                        self._left -= len(piece)
                        held = self._left < 0
                    if held:
                        self._released.wait()
                target.sendall(piece)
        except OSError:
            pass  # one side went: the other is told below
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@contextmanager
def relay(upstream: tuple[str, int], most: int) -> Iterator[Relay]:
    made = Relay(upstream, most)
    try:
        yield made
    finally:
        made.close()
