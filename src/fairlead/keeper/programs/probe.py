"""Does a process answer? An answered request counts, never an open port alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp


async def http_answers(socket: Path, path: str) -> bool:
    """Whether ``GET path`` on a Unix socket is answered 200."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: fairlead\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        line = await reader.readline()
        return line.split(b" ")[1:2] == [b"200"]
    except OSError:
        return False
    finally:
        writer.close()


async def tcp_answers(address: str) -> bool:
    """Whether a server that speaks first (NATS sends ``INFO``) does so at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    try:
        return (await reader.readline()).startswith(b"INFO ")
    except OSError:
        return False
    finally:
        writer.close()


async def page_answers(at: str, path: str, timeout_s: float) -> bool:
    """Whether ``GET path`` of a page is answered 200; ``at``: a socket's path, or ``host:port``."""
    return await page_fails(at, path, timeout_s) == ""


async def page_fails(at: str, path: str, timeout_s: float) -> str | None:
    """Return how ``GET path`` of a page ended other than with 200, nothing where it was that; None: nobody is there."""
    if "/" in at:
        if not Path(at).is_socket():
            return None
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(path=at)
        host = "page"
    else:
        connector, host = aiohttp.TCPConnector(), at
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"http://{host}{path}", allow_redirects=False) as answer,
        ):
            return "" if answer.status == 200 else f"answered {answer.status}"
    except TimeoutError:
        return f"was not answered within {timeout_s:g} s"
    except (aiohttp.ClientConnectorError, OSError):
        return None
    except aiohttp.ClientError as error:
        return f"was not answered in HTTP: {type(error).__name__}"
