"""Opens the pickles of a bundle, joblib's included, and says what to do about one that cannot be opened.

Unpickling runs code of the bundle, which is why it happens inside its sandbox and nowhere else.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from fairlead.errors import Invalid

_MARK = re.compile(rb"_sklearn_version.{1,16}?(\d+\.\d+(?:\.\d+)?(?:\.?(?:a|b|rc|dev|post)\d+)?)", re.DOTALL)
"""What every estimator's state holds: the name, a few opcodes, the version (``BaseEstimator.__getstate__``)."""
_BROKEN = (
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zlib.error,
)
"""What unpickling raises where the file, or the library, is another than the pickle was made for."""
_LOOKED_BYTES = 1024**3
_BLOCK_BYTES = 1024**2
_OVERLAP_BYTES = 128
_MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
    b"\x5d\x00": lzma.open,
}


def opened(path: Path) -> tuple[Any, Sequence[str]]:
    """Return what is pickled at ``path`` and the warnings about it; raises :class:`Invalid` (``artifact_unreadable``).

    A missing module that is not scikit-learn's own is raised as it is: the bundle has to require it.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = _unpickled(path)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("sklearn."):
            raise
        raise _unreadable(path, error) from error
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    return found, tuple(dict.fromkeys(_said(one) for one in caught if _is_version(one.category)))


def saved_with(path: Path) -> str | None:
    """Return the version of scikit-learn that saved the estimator at ``path``, without opening it, if it tells."""
    rest = b""
    try:
        for block in blocks(path):
            found = _MARK.search(rest + block)
            if found is not None:
                return found[1].decode()
            rest = block[-_OVERLAP_BYTES:]
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return None


def _unpickled(path: Path) -> Any:
    if path.suffix in (".pkl", ".pickle"):
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - the bundle's own code, in its sandbox
    import joblib

    return joblib.load(path)


def _unreadable(path: Path, error: Exception) -> Invalid:
    said = str(error).partition("\n")[0].rstrip(" :") or type(error).__name__
    message = f"{path.name} cannot be opened: {said}"
    if isinstance(error, AttributeError) and "__main__" in said:
        hint = "its classes were defined in a script or notebook: move them to a module of the bundle, save it again"
        return Invalid(message, code="artifact_unreadable", hint=hint)
    was, have = saved_with(path), _installed()
    if "numpy" in said and ("size changed" in said or "multiarray" in said):
        message = f"{path.name} cannot be opened: scikit-learn {have} was built for numpy 1, and numpy 2 is installed"
        return Invalid(message, code="artifact_unreadable", hint=f'requires = ["scikit-learn=={have}", "numpy<2"]')
    if was is None or was == have:
        hint = "is the file whole? save the fitted estimator again with joblib.dump"
        return Invalid(message, code="artifact_unreadable", hint=hint)
    message = f"{path.name} was saved with scikit-learn {was} and {have} cannot open it: {said}"
    hint = f'requires = ["scikit-learn=={was}"] below [run], and a python that has wheels of it; or save it with {have}'
    return Invalid(message, code="artifact_unreadable", hint=hint)


def _installed() -> str:
    try:
        return metadata.version("scikit-learn")
    except metadata.PackageNotFoundError:
        return "none"


def _is_version(category: type[Warning]) -> bool:
    return category.__name__ == "InconsistentVersionWarning"


def _said(warning: warnings.WarningMessage) -> str:
    found = warning.message
    have, was = getattr(found, "current_sklearn_version", "?"), getattr(found, "original_sklearn_version", "?")
    return f"saved with scikit-learn {was}, loaded with {have}: require scikit-learn=={was} to be safe"


def blocks(path: Path) -> Iterator[bytes]:
    """Yield what is in the file at ``path``, unpacked where joblib packed it."""
    with path.open("rb") as raw:
        head = raw.read(2)
        raw.seek(0)
        if head[:1] == b"\x78":
            yield from _inflated(raw)
            return
        unpack = next((way for magic, way in _MAGIC.items() if head == magic), None)
        source: Any = unpack(raw) if unpack is not None else raw
        yield from _read(source)


def _read(source: io.BufferedIOBase) -> Iterator[bytes]:
    left = _LOOKED_BYTES
    while left > 0 and (block := source.read(_BLOCK_BYTES)):
        left -= len(block)
        yield block


def _inflated(raw: BinaryIO) -> Iterator[bytes]:
    unpacker, left = zlib.decompressobj(), _LOOKED_BYTES
    while left > 0 and (packed := raw.read(_BLOCK_BYTES)):
        while packed and left > 0:
            block = unpacker.decompress(packed, _BLOCK_BYTES)
            packed = unpacker.unconsumed_tail
            left -= len(block)
            yield block
