"""The shape of arrays: nested lists of numbers as one array of numpy, which is imported only here and when needed."""

from __future__ import annotations

from typing import Any

from fairlead.sdk.checking import Check
from fairlead.sdk.shapes import Shape


class TensorShape(Shape):
    """A numpy array from nested lists."""

    def __init__(self, dtype: str, shape: tuple[int | None, ...]) -> None:
        self.dtype = dtype
        self.shape = shape
        size = " × ".join("any" if part is None else str(part) for part in shape)
        self.said = f"nested lists of {dtype or 'numbers'}" + (f", {size}" if size else "")

    def check(self, value: Any, path: str, into: Check) -> Any:
        import numpy as np

        try:
            found = _array_of(value)
            array = found if not self.dtype or found.dtype == self.dtype else _converted(found, np.dtype(self.dtype))
        except (ValueError, TypeError, OverflowError):
            into.fault(path, "tensor", f"is not {self.said}", f"give {self.said}")
            return value
        if self.shape and not _fits(array.shape, self.shape):
            into.fault(path, "shape", f"has shape {list(array.shape)}", f"give {self.said}")
        elif array.dtype.kind not in "biufcUS":
            into.fault(path, "tensor", "is not a full array", f"give {self.said}")
        return array

    def schema(self) -> dict[str, Any]:
        kind = "boolean" if self.dtype == "bool" else "integer" if "int" in self.dtype else "number"
        found: dict[str, Any] = {"type": kind}
        for length in reversed(self.shape):
            found = {"type": "array", "items": found}
            if length is not None:
                found |= {"minItems": length, "maxItems": length}
        return found if self.shape else {"type": "array"}


def _array_of(value: Any) -> Any:
    """Return ``value`` as an array. Whole numbers beyond the signed ones stay whole: numpy makes doubles of them where
    smaller ones stand beside them."""
    import numpy as np

    found = np.asarray(value)
    if found.dtype == np.float64 and isinstance(value, list) and found.size and found.max() >= 2.0**63:
        exact = np.asarray(value, dtype=object)
        if all(type(one) is int for one in exact.flat):
            return exact.astype(np.uint64)
    return found


def _converted(found: Any, wanted: Any) -> Any:
    """Return the array ``found`` as ``wanted``; raises :class:`ValueError` where its values would not stay the same.

    Where floats are wanted null is not-a-number, as in answers; they may lose digits, but not become infinite.
    """
    import numpy as np

    have = found.dtype.kind
    if wanted.kind not in "biuf" or have not in "biufO" or (have == "b" and found.size):
        if wanted.kind not in "USc":
            raise ValueError
        return found.astype(wanted)
    with np.errstate(over="ignore", invalid="ignore"):
        array = found.astype(wanted)
    if have == "O" and wanted.kind != "f":
        raise ValueError
    same = np.isinf(array).sum() == np.isinf(found).sum() if wanted.kind == have == "f" else True
    if not same or (wanted.kind != "f" and not np.array_equal(array, found)):
        raise ValueError
    return array


def _fits(have: tuple[int, ...], want: tuple[int | None, ...]) -> bool:
    return len(have) == len(want) and all(
        wanted is None or wanted == length for length, wanted in zip(have, want, strict=True)
    )
