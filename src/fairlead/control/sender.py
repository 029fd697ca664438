"""Sends callbacks over HTTP, to public addresses and those that the installation allows.

A name is resolved once, every address that it has is looked at, and one of these is connected to: the name is not asked
again. TLS is verified against the name. No redirect is followed, no proxy of the environment taken, no answer read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping

import httpx

from fairlead.errors import Error, Unavailable
from fairlead.jobs.addresses import Address, Allowed, Target, literal, parse, private
from fairlead.jobs.callbacks import Tried

TIMEOUT_S = 15.0
"""For all of a try."""
RESOLVE_S = 5.0
ADDRESSES_MAX = 3
"""Of one name, tried one after the other."""
_AGENT = "Fairlead callbacks"

Resolve = Callable[[str, int], Awaitable[list[Address]]]


class Sender:
    """One try at a time of each delivery; any number at once."""

    def __init__(self, allowed: Allowed, resolve: Resolve | None = None) -> None:
        self._allowed, self._resolve = allowed, resolve or _resolve
        self._context: ssl.SSLContext | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Tried:
        """Return how it went; nothing that a receiver does is raised."""
        target = parse(url)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                addresses = await self._addresses(target)
                return await self._first(target, addresses, headers, body)
        except TimeoutError:
            return Tried(f"no answer within {TIMEOUT_S:g} s (callback_timed_out)")
        except Error as error:
            return Tried(f"{error.message} ({error.code})", final=error.code == "callback_private")

    async def _addresses(self, target: Target) -> list[Address]:
        known = literal(target.host)
        found = [known] if known is not None else await self._resolve(target.host, target.port)
        if not all(self._allowed.reaches(target.host, address) for address in found):
            raise private(target.host)
        return found[:ADDRESSES_MAX]

    async def _first(self, target: Target, addresses: list[Address], headers: Mapping[str, str], body: bytes) -> Tried:
        """Send to the first address that takes a connection; once anything was sent no other is tried."""
        for address in addresses[:-1]:
            try:
                return await self._post(target, address, headers, body)
            except httpx.ConnectError:
                continue
        try:
            return await self._post(target, addresses[-1], headers, body)
        except httpx.ConnectError as error:
            if (why := _untrusted(error)) is not None:
                return Tried(f"its certificate is not trusted: {why} (tls_verify)")
            return Tried("no connection (callback_unreachable)")

    async def _post(self, target: Target, address: Address, headers: Mapping[str, str], body: bytes) -> Tried:
        said = {"Host": target.authority, "Content-Type": "application/json", "User-Agent": _AGENT, **headers}
        async with httpx.AsyncClient(
            verify=self._trusted(), trust_env=False, follow_redirects=False, timeout=TIMEOUT_S
        ) as client:
            asked = client.build_request(
                "POST", target.at(address), headers=said, content=body, extensions={"sni_hostname": target.host}
            )
            try:
                answer = await client.send(asked, stream=True)
            except httpx.ConnectError:
                raise
            except httpx.HTTPError as error:
                return Tried(f"no answer: {type(error).__name__} (callback_unreachable)")
            await answer.aclose()
        return _judge(answer)

    def _trusted(self) -> ssl.SSLContext:
        """Return what certificates are held against: certifi's, or ``SSL_CERT_FILE`` of the environment."""
        if self._context is None:
            self._context = httpx.create_ssl_context()
        return self._context


def _judge(answer: httpx.Response) -> Tried:
    status = answer.status_code
    if 200 <= status < 300:
        return Tried(f"answered {status}", status)
    if status == 410:
        return Tried("answered 410: nobody wants it any more", status, final=True)
    if 300 <= status < 400:
        return Tried(f"answered {status}: redirects are not followed", status)
    after = answer.headers.get("retry-after", "")
    return Tried(f"answered {status}", status, after_s=float(after) if after.isdecimal() and len(after) < 7 else 0.0)


def _untrusted(error: BaseException | None) -> str | None:
    """Return why a certificate was refused, where that is what is behind ``error``."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise Unavailable(f"{host} is not resolved", code="callback_unresolved", hint="is the name right?") from error
    addresses = {str(entry[4][0]).partition("%")[0]: None for entry in found}
    return [ipaddress.ip_address(address) for address in addresses]
