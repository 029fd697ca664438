"""Secrets of bundles on this machine: opened for the processes that need them, and taken out of what is told of them.

Sealed they come and lie on disk; opened they are in the environment of the bundle's own processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from fairlead.errors import Error, Invalid
from fairlead.identity.mask import Mask
from fairlead.identity.seal import Sealer, secret_name
from fairlead.messages import NodeReport, NodeWanted

Part = TypeVar("Part", bound=msgspec.Struct)


class Secrets:
    """Opens what is sealed for bundles of this machine, and remembers what must not be told."""

    def __init__(self, sealer: Callable[[], Sealer]) -> None:
        self._sealer = sealer
        self._sealed: dict[str, frozenset[tuple[str, bytes]]] = {}
        self._masks: dict[str, Mask] = {}
        self._apps: dict[str, str] = {}
        self._lines: dict[str, Mask] = {}
        """Also of bundles that are gone: their logs are told a little later."""

    def opened(self, bundle: str, sealed: Mapping[str, bytes]) -> dict[str, str]:
        """Return the values by name; raises :class:`Invalid` (``secret_missing``) and :class:`Internal`."""
        if not sealed:
            return {}
        if missing := sorted(name for name, content in sealed.items() if not content):
            raise Invalid(
                f"{bundle} needs the secret {missing[0]}, which nobody has set",
                code="secret_missing",
                hint=f"fairlead secrets set {bundle} {missing[0]} < FILE",
            )
        sealer = self._sealer()
        return {name: sealer.open(content, secret_name(bundle, name)) for name, content in sealed.items()}

    def want(self, wanted: NodeWanted) -> None:
        """Take what is wanted: values that were replaced stay hidden as long as their bundle is here."""
        self._apps = {item.run: item.app for item in wanted.runs}
        known: dict[str, dict[str, bytes]] = {}
        for version in wanted.versions:
            known.setdefault(version.spec.name, {}).update(version.secrets)
        for app in wanted.apps:
            known.setdefault(app.app, {}).update(app.secrets)
        for run in wanted.runs:
            known.setdefault(run.app, {}).update(run.secrets)
        for bundle in self._sealed.keys() - known.keys():
            del self._sealed[bundle], self._masks[bundle]
        for bundle, sealed in known.items():
            items = frozenset((name, content) for name, content in sealed.items() if content)
            before = self._sealed.get(bundle, frozenset())
            if items - before:
                self._sealed[bundle] = items | before
                values = list(self._values(bundle, self._sealed[bundle]))
                self._masks[bundle] = Mask(values)
                self._lines[bundle] = Mask((*values, *(msgspec.json.encode(one).decode()[1:-1] for one in values)))

    def hidden(self, report: NodeReport) -> NodeReport:
        """Return ``report`` without any secret that a bundle said."""
        if not any(self._masks.values()):
            return report
        return msgspec.structs.replace(
            report,
            replicas=tuple(self._hide(one, one.model) for one in report.replicas),
            versions=tuple(self._hide(one, one.model) for one in report.versions),
            prepared=tuple(self._hide(one, one.name) for one in report.prepared),
            runs=tuple(self._hide(one, self._apps.get(one.run, "")) for one in report.runs),
        )

    def in_lines(self, text: str) -> str:
        """Return lines of logs, plain or JSON, without the secrets of any bundle that is or was here."""
        for mask in tuple(self._lines.values()):
            text = mask(text)
        return text

    def _values(self, bundle: str, items: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        sealer = self._sealer()
        for name, content in items:
            try:
                yield sealer.open(content, secret_name(bundle, name))
            except Error:  # sealed with another home's key: no process gets it, so none can tell it
                continue

    def _hide(self, part: Part, bundle: str) -> Part:
        mask = self._masks.get(bundle)
        return msgspec.convert(_masked(msgspec.to_builtins(part), mask), type(part)) if mask else part


def _masked(value: Any, mask: Mask) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {key: _masked(item, mask) for key, item in value.items()}
        case list() | tuple():
            return [_masked(item, mask) for item in value]
        case _:
            return value
