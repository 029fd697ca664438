"""The code of an app in the process of its test: imported for a stage, and forgotten with it."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from fairlead.sdk.app import App
from fairlead.sdk.run import load


@asynccontextmanager
async def imported(folder: Path, entry: str, socket: Path, env: Mapping[str, str]) -> AsyncIterator[App]:
    """Yield the app of ``folder``, whose channel is ``socket``; its modules are forgotten at the end.

    In a thread: what it asks of its channel while it is imported is answered by this loop.
    """
    try:
        with _environment({**env, "FAIRLEAD_SOCKET": str(socket)}):
            sys.path.insert(0, str(folder))
            try:
                importlib.invalidate_caches()
                app = await asyncio.to_thread(load, entry)
            finally:
                sys.path.remove(str(folder))
            app.channel.use(str(socket))
            yield app
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
                del sys.modules[name]


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these variables within the block; what was there is there again after it."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
