"""What one run may use: the roles and models of its :class:`RunWanted`, until the end of its window."""

from __future__ import annotations

from fairlead.clock import Clock, from_text
from fairlead.errors import Forbidden, NotFound
from fairlead.messages import DeviceBinding, RunWanted
from fairlead.sdk.wire import Binding


class Grant:
    """The grant of one run; ``run`` is replaced when control changes it."""

    def __init__(self, run: RunWanted, clock: Clock) -> None:
        self.run = run
        self._clock = clock

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device that the run is bound to."""
        return tuple(dict.fromkeys(device for b in self.run.bindings.values() for device in b.devices))

    @property
    def bindings(self) -> dict[str, Binding]:
        """What stands for each role, as the app is told."""
        return {role: told(binding) for role, binding in self.run.bindings.items()}

    def check_window(self) -> None:
        """Raise :class:`Forbidden` once the window is over."""
        if self.run.ends is not None and self._clock.now() >= from_text(self.run.ends):
            raise Forbidden(f"the window ended at {self.run.ends}", code="window_ended", hint="it stops by itself")

    def model(self, role: str) -> str:
        """Return the model, ``name@ref``, that stands for a role; raises :class:`NotFound`."""
        if role not in self.run.models:
            raise NotFound(
                f"no role {role} in [models]",
                code="role_unknown",
                hint=f"roles: {', '.join(sorted(self.run.models)) or 'none'}",
            )
        return self.run.models[role]

    def binding(self, role: str) -> DeviceBinding:
        """Return what a role is bound to; raises :class:`NotFound`."""
        if role not in self.run.bindings:
            raise NotFound(
                f"no role {role} in [devices]",
                code="role_unknown",
                hint=f"roles: {', '.join(sorted(self.run.bindings)) or 'none'}",
            )
        return self.run.bindings[role]


def told(binding: DeviceBinding) -> Binding:
    """Return what stands for a role as the app is told."""
    return Binding(binding.devices, binding.type, binding.single, binding.properties, binding.events)


def chosen(binding: DeviceBinding, device: str | None) -> tuple[str, ...]:
    """Return the one device of a binding that is named, all when none is; raises :class:`NotFound`."""
    if device is None:
        return binding.devices
    if device not in binding.devices:
        raise NotFound(
            f"{device} does not stand for this role",
            code="device_not_bound",
            hint=f"devices: {', '.join(binding.devices) or 'none'}",
        )
    return (device,)
