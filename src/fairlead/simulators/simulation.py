"""What is simulated: a file that is read again whenever it changes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fairlead.errors import Forbidden, Invalid, NotFound
from fairlead.messages.devices import FAULTS
from fairlead.simulators.world import SimulatedDevice

Stamp = tuple[int, int, int]


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to simulate and where it signs in."""

    host: str
    port: int
    devices: tuple[SimulatedDevice, ...] = ()
    ca: str | None = None
    """The certificate (PEM) that the devices' door shows, or those that signed it. None: no TLS."""


def load(file: Path) -> Simulation:
    """Return the simulation in ``file``; raises :class:`NotFound`, :class:`Forbidden` and :class:`Invalid`."""
    try:
        data = file.read_bytes()
        mode = file.stat().st_mode
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}", code="simulation_missing") from error
    if mode & 0o077:
        raise Forbidden(f"{file} holds passwords and others may read it", code="file_open", hint=f"chmod 600 {file}")
    try:
        simulation = msgspec.json.decode(data, type=Simulation)
    except msgspec.DecodeError as error:
        raise Invalid(f"{file}: {error}", code="simulation_invalid") from error
    for each in simulation.devices:
        if each.fault and each.fault not in FAULTS:
            hint = f"faults: {', '.join(FAULTS)}"
            raise Invalid(f"{file}: {each.device}: unknown fault {each.fault}", code="simulation_invalid", hint=hint)
        if each.speed <= 0 or each.every_s <= 0:
            raise Invalid(
                f"{file}: {each.device}: speed or every_s is not above 0",
                code="simulation_invalid",
                hint="1 is real time",
            )
    return simulation


def stamp(file: Path) -> Stamp | None:
    """Return what tells one content of ``file`` from another; None: it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def media_of(simulation: Simulation) -> dict[str, tuple[bytes, ...]]:
    """Return the recordings of the devices that have some; raises :class:`NotFound`."""
    found = {}
    for each in simulation.devices:
        try:
            if each.media:
                found[each.device] = tuple(Path(one).read_bytes() for one in each.media)
        except OSError as error:
            raise NotFound(f"{error.filename}: {error.strerror}", code="simulation_missing") from error
    return found
