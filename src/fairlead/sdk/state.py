"""What an app keeps between runs: small values by key, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from fairlead.errors import Invalid, NotFound
from fairlead.sdk.calls import encode_json
from fairlead.sdk.channel import Channel
from fairlead.sdk.files import File
from fairlead.sdk.wire import STATE_MAX_BYTES, Names


class State:
    """Values of this schedule: JSON, at most 256 kB a key. They stay when a run ends."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._versions: dict[str, int] = {}

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` when there is none. Raises :class:`Error`."""
        try:
            response = await self._channel.call("GET", _path("state", key))
        except NotFound as error:
            if error.code != "no_value":
                raise
            self._versions[key] = 0
            return default
        self._versions[key] = _version(response.headers.get("etag", ""))
        return msgspec.json.decode(response.content)

    async def set(self, key: str, value: Any, *, if_version: int | None = None) -> int:
        """Keep ``value`` under ``key`` and return its version, which grows with each change.

        With ``if_version`` only over that version (0: only where there is none), else :class:`Conflict`.
        """
        body = encode_json(value)
        if len(body) > STATE_MAX_BYTES:
            raise Invalid(
                f"state {key}: {len(body)} bytes are more than {STATE_MAX_BYTES}",
                code="state_too_large",
                hint="keep large things in app.files",
            )
        headers = {} if if_version is None else {"if-match": f'"{if_version}"'}
        response = await self._channel.call("PUT", _path("state", key), content=body, headers=headers)
        self._versions[key] = _version(response.headers.get("etag", ""))
        return self._versions[key]

    def version(self, key: str) -> int:
        """Return the version that ``key`` had when it was last read or written here; 0: none."""
        return self._versions.get(key, 0)


class Files:
    """A folder of files of this schedule. They stay when a run ends."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def put(self, name: str, data: bytes | File | Path) -> None:
        """Keep ``data`` as ``name``, over what was there. Raises :class:`Error` (``file_too_large``, ``quota``)."""
        content = data.read_bytes() if isinstance(data, Path) else data.read() if isinstance(data, File) else data
        await self._channel.call("PUT", _path("files", name), content=content, timeout_s=120)

    async def get(self, name: str) -> bytes:
        """Return the content of ``name``; raises :class:`NotFound`."""
        return (await self._channel.call("GET", _path("files", name), timeout_s=120)).content

    async def list(self) -> list[str]:
        """Return the names, sorted."""
        return list(msgspec.json.decode((await self._channel.call("GET", "/files")).content, type=Names).items)


def _path(kind: str, key: str) -> str:
    if not key or key in (".", ".."):
        raise Invalid(f"{key!r} is no name", code="invalid_input", hint="give it a name of letters and digits")
    return f"/{kind}/{quote(key, safe='')}"


def _version(etag: str) -> int:
    text = etag.strip('"')
    return int(text) if text.isdigit() else 0
