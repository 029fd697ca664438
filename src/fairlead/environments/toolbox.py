"""The platform's own packages that compile models and run the programs, in a folder that bundles' Pythons can see.

They go behind a bundle's own packages and bring nothing that a bundle decides on: numpy and scikit-learn are its own.
"""

from __future__ import annotations

import shutil
import sys
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from fairlead.bundles import disk
from fairlead.errors import Unavailable

_PACKAGES = (
    *("skl2onnx", "onnx", "onnxruntime"),
    *("flatbuffers", "ml_dtypes", "packaging", "protobuf", "typing_extensions"),  # what those need
)
_LEFT_OUT = (
    "onnx/backend/test/",
    "onnx/test/",
    "onnxruntime/quantization/",
    "onnxruntime/tools/",
    "onnxruntime/transformers/",
)
_FORMAT = 1


def key() -> str:
    """Return the name of the folder for what is installed here; raises :class:`Unavailable` (``compiler_missing``)."""
    try:
        versions = [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    except metadata.PackageNotFoundError as error:
        hint = "install fairlead[platform]"
        raise Unavailable(f"{error.name} is not installed", code="compiler_missing", hint=hint) from error
    text = "\n".join((str(_FORMAT), sys.version, *versions))
    return f"tools-{sha256(text.encode()).hexdigest()[:16]}"


def make(root: Path) -> Path:
    """Return the folder below ``root``, copied there if it is not yet; open to all users of the machine."""
    folder = root / key()
    if folder.is_dir():
        return folder
    temporary = disk.beside(folder)
    try:
        for package in _PACKAGES:
            for file in metadata.files(package) or ():
                name = file.as_posix()
                if ".dist-info/" in name or name.startswith(("..", *_LEFT_OUT)) or "/__pycache__/" in name:
                    continue
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
        for path in (temporary, *temporary.rglob("*")):
            path.chmod(0o755 if path.is_dir() or ".so" in path.name else 0o644)
        disk.flush_all(temporary)
        temporary.rename(folder)
    finally:
        disk.remove(temporary)
    disk.flush_folder(root)
    return folder


def fits(environment: Path) -> bool:
    """Whether the packages run on the Python of ``environment``: they hold native code for that of the platform."""
    return (environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}").is_dir()
