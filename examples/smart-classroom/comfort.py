"""What the room needs: decides, knows no device."""

from datetime import datetime, timedelta

FRESH = timedelta(minutes=10)
"""An older reading says nothing of now."""
HALF_C = 0.5
"""So far above and below the wish the air conditioner goes on and off, lest it does so each minute."""
Value = tuple[float, datetime] | None


def fresh(value: Value, now: datetime) -> float | None:
    """Return a reading that is not too old."""
    return value[0] if value is not None and now - value[1] <= FRESH else None


def is_occupied(moved: datetime | None, now: datetime, empty_min: float) -> bool:
    return moved is not None and now - moved < timedelta(minutes=empty_min)


def lamps(occupied: bool, lux: float | None, was: bool | None, dark_lx: float, bright_lx: float) -> tuple[bool, str]:
    """Return whether lamps are wanted, and why. Without a reading it is taken as dark."""
    if not occupied:
        return False, "nobody is there"
    if lux is None or lux < dark_lx:
        return True, "somebody is there and it is dark" + ("" if lux is None else f": {lux:.0f} lx")
    if lux > max(bright_lx, dark_lx):
        return False, f"it is bright: {lux:.0f} lx"
    return bool(was), f"{lux:.0f} lx are between dark and bright"


def cooler(occupied: bool, celsius: float | None, was: bool | None, comfort_c: float) -> tuple[bool, str]:
    """Return whether cooling is wanted, and why. Without a reading it is not."""
    if not occupied:
        return False, "nobody is there"
    if celsius is None:
        return False, "the temperature is not known"
    if celsius > comfort_c + HALF_C:
        return True, f"{celsius:.1f} °C are above {comfort_c:g} °C"
    if celsius < comfort_c - HALF_C:
        return False, f"{celsius:.1f} °C are below {comfort_c:g} °C"
    return bool(was), f"{celsius:.1f} °C are about {comfort_c:g} °C"
