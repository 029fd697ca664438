"""Serves one bundle for its developer: the platform's model server behind a port of loopback, loaded anew on change.

The port belongs to this process, which passes bytes to the replica that is current. A new one takes over only when it
is ready, so a save that breaks the model changes nothing but what is printed. Nothing isolates the model: it is the
developer's own code.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from fairlead import environments
from fairlead.bundles.check import Checked, check
from fairlead.bundles.manifest import ModelManifest
from fairlead.bundles.specs import environment_spec, model_spec
from fairlead.cli import example, loopback, replica, terminal, watching
from fairlead.cli.replica import Replica
from fairlead.errors import Error, Invalid
from fairlead.supervisor import restarts


class Serving:
    """One bundle that is served from ``folder`` until SIGINT or SIGTERM."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        here: bool = False,
        reload: bool = True,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self._folder, self._port, self._here, self._reload = folder, port, here, reload
        self._secrets = dict(secrets or {})
        self._warned: set[str] = set()
        self._starts: list[float] = []
        self._current: Replica | None = None
        self._old: set[asyncio.Task[None]] = set()
        self._count = 0
        self._greeted = False

    async def run(self) -> None:
        """Serve; raises :class:`Error` where the bundle cannot be served at all and is not watched."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        _model_of(check(self._folder))
        door = await loopback.opened(self._port, self._where)
        self._port = door.sockets[0].getsockname()[1]
        with tempfile.TemporaryDirectory(prefix="fl-") as sockets:
            working = asyncio.create_task(self._work(Path(sockets)), name="serve")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
            finally:
                door.close()
                for task in (working, stopping):
                    task.cancel()
                await asyncio.gather(working, stopping, return_exceptions=True)
                if self._current is not None:
                    await self._current.stop()
                await asyncio.gather(*self._old)

    def _where(self) -> str:
        """Return where connections are passed to; nothing while no replica answers."""
        return str(self._current.socket) if self._current is not None else ""

    async def _work(self, sockets: Path) -> None:
        seen = watching.stamp(self._folder)
        await self._load(sockets, ())
        if self._current is None and not self._reload:
            raise Invalid("the model did not load", code="load_failed", hint="its last lines are above")
        while True:
            await asyncio.sleep(watching.LOOK_S)
            await self._start_again(sockets)
            now = watching.stamp(self._folder)
            if not self._reload or now == seen:
                continue
            now = await watching.settled(self._folder, now)
            changed = watching.changed(seen, now)
            seen = now
            await self._load(sockets, changed)

    async def _start_again(self, sockets: Path) -> None:
        """Where the current replica's process has ended by itself: say so, and start it again, ever more slowly."""
        if self._current is None or not self._current.ended:
            return
        gone, self._current = self._current, None
        await gone.listening
        now = time.monotonic()
        self._starts = list(restarts.forgotten(self._starts, now))
        pause_s = restarts.decide(self._starts, now).at - now
        terminal.error(
            f"the model's process ended: {gone.ended}",
            code="process_ended",
            hint=f"its last lines are above; it is started again in {pause_s:.1f} s",
        )
        await asyncio.sleep(pause_s)
        await self._load(sockets, ())

    async def _load(self, sockets: Path, changed: tuple[str, ...]) -> None:
        """Start the bundle as it is now; once it is ready it is the current one, else the last good one stays."""
        if changed:
            terminal.note(watching.told(changed))
        try:
            new = await self._started(sockets)
        except Error as error:
            terminal.error(error.message, hint=error.hint, code=error.code, problems=error.problems)
            goes_on = "the last good one goes on answering" if self._current is not None else "nothing answers yet"
            terminal.note(f"{goes_on}; save a change to try again" if self._reload else goes_on)
            return
        before, self._current = self._current, new
        if before is not None:
            task = asyncio.create_task(before.stop(), name="drain")
            self._old.add(task)
            task.add_done_callback(self._old.discard)
        await self._greet(new)

    async def _started(self, sockets: Path) -> Replica:
        manifest = _model_of(check(self._folder))
        python = sys.executable
        if not self._here:
            spec = environment_spec(manifest, self._folder)
            python = str(await environments.build(spec, watching.environments(), on_step=terminal.step))
        self._count += 1
        made = model_spec(manifest, manifest.version or f"0.dev{self._count}")
        self._warn(manifest.run.secrets)
        self._starts.append(time.monotonic())
        return await replica.start(made, self._folder, python, sockets / str(self._count), self._secrets)

    def _warn(self, names: Iterable[str]) -> None:
        """Tell once of each secret that the bundle names and nobody gave."""
        for name in names:
            if name not in self._secrets and name not in os.environ and name not in self._warned:
                self._warned.add(name)
                terminal.note(f"warning: the secret {name} is missing: set the variable, or say --secret {name}=FILE")

    async def _greet(self, new: Replica) -> None:
        url = f"http://127.0.0.1:{self._port}/v1/models/{new.spec.name}"
        first, self._greeted = not self._greeted, True
        if not first:
            terminal.note(f"serving {new.spec.name}@{new.spec.version}")
            return
        terminal.result(f"ready {url}/predict")
        shown = new.spec.examples[0].input if new.spec.examples else await _example(new)
        body = shlex.quote(msgspec.json.encode(shown).decode())
        terminal.note(f"  curl -s {url}/predict -H 'content-type: application/json' -d {body}")
        terminal.note(f"  {url}/docs")


async def _example(new: Replica) -> Any:
    """Return a body that fits what the model takes, as it says itself; an empty one where it does not."""
    path = f"/v1/models/{new.spec.name}"
    try:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(new.socket))) as client:
            said = (await client.get(f"http://model{path}/openapi.json")).json()
        post = said["paths"][f"{path}/predict"]["post"]
        return example.body(post["requestBody"]["content"]["application/json"]["schema"]["anyOf"][0])
    except (httpx.HTTPError, ValueError, KeyError, IndexError):
        return {}


def _model_of(checked: Checked) -> ModelManifest:
    """Return the manifest of a model; raises :class:`Invalid` for a bundle with problems, and for an app."""
    manifest = checked.require()
    if not isinstance(manifest, ModelManifest):
        hint = f"fairlead push, then fairlead apps run {manifest.name}"
        raise Invalid(f"{manifest.name} is an app, which needs the platform", code="not_a_model", hint=hint)
    return manifest
