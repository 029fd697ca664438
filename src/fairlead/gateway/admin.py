"""Envoy's admin interface, on a Unix socket that nobody else reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from fairlead.errors import Unavailable


class Admin:
    """Questions to a running Envoy; every method raises :class:`Unavailable` when it does not answer."""

    def __init__(self, socket: str, timeout_s: float = 5) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket), base_url="http://envoy", timeout=timeout_s
        )

    async def counters(self, pattern: str, *, used: bool = False) -> Mapping[str, int]:
        """Return counters and gauges whose names match the expression ``pattern``; ``used``: that ever changed."""
        answer = await self._get("/stats", {"format": "json", "filter": pattern} | _used(used))
        found = msgspec.json.decode(answer, type=_Stats)
        return {stat["name"]: int(stat["value"]) for stat in found.stats if isinstance(stat.get("value"), int)}

    async def prometheus(self, pattern: str, *, used: bool = False) -> str:
        """Return the statistics whose names match ``pattern`` in the Prometheus text format, as :meth:`counters`."""
        return (await self._get("/stats/prometheus", {"filter": pattern} | _used(used))).decode()

    async def details(self, pattern: str) -> bytes:
        """Return the histograms whose names match ``pattern`` as JSON, with all of their bins."""
        return await self._get("/stats", {"format": "json", "histogram_buckets": "detailed", "filter": pattern})

    async def is_live(self) -> bool:
        """Whether Envoy serves: initialized and not draining."""
        try:
            return (await self._get("/ready", {})).strip() == b"LIVE"
        except Unavailable:
            return False

    async def reopen_logs(self) -> None:
        """Have Envoy open its log files anew."""
        await self._ask("POST", "/reopen_logs", {})

    async def drain(self) -> None:
        """Have Envoy close its listeners gracefully; open requests go on."""
        await self._ask("POST", "/drain_listeners", {"graceful": ""})

    async def close(self) -> None:
        await self._client.aclose()

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        return await self._ask("GET", path, query)

    async def _ask(self, method: str, path: str, query: Mapping[str, str]) -> bytes:
        try:
            answer = await self._client.request(method, path, params=dict(query))
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable(f"the front door's admin interface: {error}", code="front_door_unavailable") from error
        return answer.content


def _used(used: bool) -> dict[str, str]:
    return {"usedonly": ""} if used else {}


class _Stats(msgspec.Struct):
    stats: list[dict[str, Any]]
