"""Pushes: limits that are published, and nothing left of what was not whole."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from fairlead.bundles.limits import Limits


async def test_s31_limits_of_archives_are_published(world: Any) -> None:
    limits = (await world.ok(world.by("zoe").get("/api/v1/system")))["limits"]

    assert limits["bundle_max_bytes"] == 2_000_000
    assert limits["bundle_entries"] == Limits().entries
    assert limits["bundle_ratio"] == Limits().ratio
    assert limits["bundle_depth"] == Limits().depth
    assert limits["bundle_path_bytes"] == Limits().path_bytes
    assert limits["bundle_name_bytes"] == 255


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
async def test_s32_an_upload_that_ends_early_is_no_version_and_leaves_nothing(world: Any, share: float) -> None:
    whole = world.bundle()

    await cut(
        world, "ada", "POST", "/api/v1/bundles", {"content-type": "application/zip"}, whole[: int(share * len(whole))]
    )

    assert (await world.ok(world.by("ada").get("/api/v1/models")))["items"] == []
    assert list((world.house.home.keeper / "incoming").iterdir()) == []


async def cut(world: Any, name: str, verb: str, path: str, headers: dict[str, str], sent: bytes) -> None:
    """Send the beginning of a body, then nothing more: the connection is gone."""
    headers = {"authorization": f"Bearer {world.token(name)}", **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": verb,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    pieces = [{"type": "http.request", "body": sent, "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        """Nobody hears it."""

    with contextlib.suppress(Exception):
        await world.app(scope, receive, send)
    assert pieces == []
