"""Opens the pickles of a bundle, joblib's included, and says what to do about one that cannot be opened.

Unpickling runs code of the bundle, which is why it happens inside its sandbox and nowhere else.
"""

from __future__ import annotations

import pickle
import warnings
import zlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fairlead.bundles.pickled import saved_with
from fairlead.errors import Invalid

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
