"""A look into a bundle, in its own environment and sandbox: what it takes and gives, what it imports, what is wrong.

Started as ``python -P -m fairlead.modelserver.inspect`` with an :class:`Order` as JSON in ``FAIRLEAD_INSPECT``; the
last line on stdout is a :class:`Finding` as JSON. The exit code is 0 also where the bundle is wrong: that is a finding.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import msgspec

from fairlead.errors import Error, Invalid
from fairlead.messages import ErrorInfo, ModelSpec
from fairlead.modelserver.loading import load
from fairlead.modelserver.protocols.answers import error_info
from fairlead.modelserver.protocols.docs import signature_view
from fairlead.modelserver.runtimes.python import import_entry
from fairlead.sdk.traces import last_lines, stack_text, trace

VARIABLE = "FAIRLEAD_INSPECT"
_WHERE_EVERY_S = 5.0
"""So often a bundle that is still loading says where it is."""
_IMPLIED = frozenset({"numpy", "pandas", "scipy", "torch", "fairlead"})
"""Packages whose own import brings in nearly all of their parts."""


class Order(msgspec.Struct, frozen=True):
    """What to look into: a model by its spec, or an app by its entry."""

    folder: str
    kind: str = "model"
    spec: ModelSpec | None = None
    entry: str | None = None
    limit_s: float = 0
    """It is ended after so long; 0: never."""
    memory_mb: int = 0


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found. ``signature`` of an app is ``{"devices": […roles], "models": […roles], "web": bool}``."""

    ok: bool
    signature: dict[str, Any] | None = None
    preload: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    last_lines: tuple[str, ...] = ()


def look(order: Order) -> Finding:
    """Load what ``order`` names and say what it is; never raises."""
    before = set(sys.modules)
    try:
        if order.kind == "app":
            return Finding(ok=True, signature=_app(order))
        signature, warnings = _model(order)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the bundle's code may raise anything; it is the finding
        lines: tuple[str, ...] = ()
        if not isinstance(error, Error):
            sys.stderr.write(trace(error, order.folder, whole=True) + "\n")
            lines = last_lines(error, order.folder)
        return Finding(ok=False, error=_said(error, order), last_lines=lines)
    return Finding(ok=True, signature=signature, preload=preload_of(sys.modules, before), warnings=warnings)


def _model(order: Order) -> tuple[dict[str, Any], tuple[str, ...]]:
    if order.spec is None:
        raise Invalid("a model without its spec cannot be looked into", code="inspect_order")
    loaded = load(order.spec, Path(order.folder))
    return signature_view(order.spec, loaded.endpoints), loaded.warnings


def _app(order: Order) -> dict[str, Any]:
    """Import an app and return the roles that it asks for; processes in other languages have none to tell."""
    if order.entry is None:
        return {"devices": [], "models": [], "web": False}
    from fairlead.sdk.app import App

    devices: list[str] = []
    models: list[str] = []
    for name, roles in (("device", devices), ("devices", devices), ("model", models)):
        setattr(App, name, _noting(getattr(App, name), roles))
    os.chdir(order.folder)
    app = import_entry(order.entry, Path(order.folder))
    if not isinstance(app, App):
        raise Invalid(
            f"{order.entry} is a {type(app).__name__}, not a fairlead.App",
            code="entry_invalid",
            hint="write app = fairlead.App(); programs of another kind go under [processes]",
        )
    return {"devices": sorted(set(devices)), "models": sorted(set(models)), "web": app.web is not None}


def _noting(method: Callable[..., Any], roles: list[str]) -> Callable[..., Any]:
    def noted(self: Any, role: str) -> Any:
        roles.append(role)
        return method(self, role)

    return noted


def preload_of(modules: Mapping[str, ModuleType], before: Iterable[str]) -> tuple[str, ...]:
    """Return the public modules of the environment that loading imported, in order, at most one level deep."""
    known = set(before)
    found = []
    for name, module in list(modules.items()):
        parts = name.split(".")
        file = getattr(module, "__file__", None) or ""
        public = not any(part.startswith("_") for part in parts)
        if name in known or len(parts) > 2 or not public or "site-packages" not in file:
            continue
        if len(parts) == 1 or parts[0] not in _IMPLIED:
            found.append(name)
    return tuple(found)


def _watch(limit_s: float) -> None:
    """Have a bundle that crashes, ends this process or hangs say where: the frames go to stderr.

    A signal has the thread that works say so itself. ``faulthandler.dump_traceback_later`` reads its frames from beside
    it, which ends the process with a segmentation fault where they change meanwhile: as a long import has them do.
    """
    faulthandler.enable(file=2, all_threads=False)
    if limit_s:
        faulthandler.register(signal.SIGALRM, file=2, all_threads=False)
        every_s = min(_WHERE_EVERY_S, limit_s / 2)
        signal.setitimer(signal.ITIMER_REAL, every_s, every_s)
    leave = os._exit

    def told_exit(status: int) -> NoReturn:
        os.write(2, f"os._exit({status}) was called, most recent call first:\n".encode())
        faulthandler.dump_traceback(file=2, all_threads=False)
        leave(status)

    os._exit = told_exit


def _said(error: BaseException, order: Order) -> ErrorInfo:
    if isinstance(error, Error):
        return error_info(error)
    text = stack_text(f"{type(error).__name__}: {error}", order.folder)
    hint = "the lines above tell where"
    if order.spec is not None:
        log = f"fairlead logs {order.spec.name}@{order.spec.version}"
        hint = f"{log} has the whole traceback; try it here with: fairlead serve FOLDER"
    if isinstance(error, MemoryError):
        text = f"MemoryError: it needs more memory than memory_mb = {order.memory_mb} allows"
        hint = "raise memory_mb below [resources], or load less at once"
    if isinstance(error, ModuleNotFoundError) and error.name:
        entry = order.entry or (order.spec.entry if order.spec else None) or ""
        own = error.name == entry.partition(":")[0]
        hint = f"the bundle has no {error.name}.py" if own else f"add what provides it to [run] requires: {error.name}"
    return ErrorInfo("load_failed", text, hint=hint, kind="invalid")


def main() -> int:
    """Look into what the environment names and print the finding as one line."""
    order = msgspec.json.decode(os.environ[VARIABLE], type=Order)
    _watch(order.limit_s)
    finding = look(order)
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, b"\n" + msgspec.json.encode(finding) + b"\n")
    return 0


if __name__ == "__main__":
    leave = os._exit
    leave(main())  # nothing of the bundle may print after the last line, or keep the process alive
