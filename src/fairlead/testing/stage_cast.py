"""Who plays on a stage: what a manifest and a test ask for, checked, and the run that the app is told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from fairlead.apps import params
from fairlead.bundles.manifest import FILE, AppManifest, parse
from fairlead.bundles.rules import span
from fairlead.clock import to_text
from fairlead.devices import builtins, definitions
from fairlead.devices.types import DeviceType, Property, split_role
from fairlead.errors import Invalid, NotFound
from fairlead.messages import DeviceBinding, EnvironmentSpec, RunWanted
from fairlead.testing.stage_device import StageDevice

RUN = "run-stage"


@dataclass(frozen=True)
class Cast:
    """What a test asked for."""

    folder: Path
    place: str
    zone: str
    user: str
    starts: datetime
    ends: datetime | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)
    spares: Mapping[str, int] = field(default_factory=dict)
    types: tuple[str | Path, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> AppManifest:
        """The app's manifest; raises :class:`Invalid` where it is none that a stage can play."""
        try:
            found = parse((self.folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            hint = "a stage takes the folder of an app; a relative one counts from where the tests run"
            raise NotFound(f"there is no {FILE} in {self.folder}", code="no_app", hint=hint) from error
        if not isinstance(found, AppManifest) or found.run.entry is None:
            raise Invalid(f"{self.folder} is no app with an entry", code="no_app", hint="a stage plays fairlead.App")
        return found

    @cached_property
    def kinds(self) -> dict[str, DeviceType | None]:
        """The type of each role's devices: the platform's own or one that was given; None where it is not known."""
        known = [kind for _, kind in builtins.all_types()]
        known = [definitions.parse(Path(file).read_text(encoding="utf-8")) for file in self.types] + known
        found = {}
        for role, wanted in self.manifest.devices.items():
            name, major = split_role(wanted.type)
            fits = (kind for kind in known if kind.name == name and major in (None, kind.major))
            found[role] = next(fits, None)
        return found

    @property
    def env(self) -> dict[str, str]:
        """The variables that the app finds; raises :class:`Invalid` for a secret that it does not name."""
        named = self.manifest.run.secrets
        if unknown := sorted(self.secrets.keys() - set(named)):
            raise Invalid(f"no secret {unknown[0]} in [run] secrets", code="secret_unknown", hint=", ".join(named))
        return {**self.manifest.run.env, **self.secrets, "FAIRLEAD_RUN": RUN}

    def sizes(self) -> dict[str, int]:
        """Return how many devices each role has; raises :class:`Invalid` for what the manifest does not allow."""
        sizes = {}
        for role, wanted in self.manifest.devices.items():
            fewest, most = span(wanted.count) or (1, None)
            sizes[role] = self.devices.get(role, fewest)
            if sizes[role] < fewest or (most is not None and sizes[role] > most):
                said = f"{role}: {sizes[role]} devices, but count = {wanted.count!r}"
                raise Invalid(said, code="count", hint="give the stage as many as the manifest asks for")
        if unknown := (self.devices.keys() | self.spares.keys()) - sizes.keys():
            said, hint = f"no role {', '.join(sorted(unknown))} in [devices]", f"it has {', '.join(sizes) or 'none'}"
            raise Invalid(said, code="role_unknown", hint=hint)
        for role in self.spares:
            if self.kinds[role] is None:
                hint = "types=[…] names files of types"
                raise Invalid(f"{role}: the stage does not know its type", code="type_not_found", hint=hint)
        return sizes

    def made(self, make: Callable[[str, DeviceType | None], StageDevice]) -> dict[str, list[StageDevice]]:
        """Return the devices of each role, its spares last."""
        return {
            role: [
                make(f"{role.replace('_', '-')}-{number}", self.kinds[role])
                for number in range(1, count + self.spares.get(role, 0) + 1)
            ]
            for role, count in self.sizes().items()
        }

    def wanted(self, bound: Mapping[str, tuple[str, ...]]) -> RunWanted:
        """Return the run as control tells it; raises :class:`Invalid` for parameters that do not fit."""
        manifest = self.manifest
        if problems := params.check(manifest.params, self.params):
            first = problems[0]
            raise Invalid(f"{first.path}: {first.message}", code="params_invalid", hint=first.hint, problems=problems)
        return RunWanted(
            run=RUN,
            app=manifest.name,
            version=manifest.version or "1",
            digest="",
            bundle_key="",
            environment=EnvironmentSpec(),
            schedule="stage",
            place=self.place,
            zone=self.zone,
            starts=to_text(self.starts),
            ends=to_text(self.ends) if self.ends is not None else None,
            user=self.user,
            params=params.fill(manifest.params, self.params),
            bindings={role: self._binding(role, devices) for role, devices in bound.items()},
            models={role: role for role in manifest.models},
        )

    def _binding(self, role: str, devices: tuple[str, ...]) -> DeviceBinding:
        wanted, kind = self.manifest.devices[role], self.kinds[role]
        return DeviceBinding(
            devices,
            wanted.type,
            wanted.count in (1, "1"),
            wanted.tier,
            _flat(kind.properties) if kind is not None else {},
            _flat(kind.events) if kind is not None else {},
        )


def _flat(properties: Mapping[str, Property]) -> dict[str, dict[str, Any]]:
    return {name: known.flat() for name, known in properties.items()}
