"""Looks at the first bytes of artifacts, and at what saved them, without opening any: most mistakes show there.

A file is refused only where its bytes are surely those of something else; what they do not tell, loading does.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from fairlead.bundles import pickled, rules, specs
from fairlead.bundles.archive import File
from fairlead.bundles.manifest import ModelManifest
from fairlead.errors import Invalid, Problem

TORCH = "2.13.0"
"""The PyTorch that this version of Fairlead was tried with: to be required where no other is known."""
_LIBRARIES = {"sklearn": "scikit-learn", "torch": "torch"}
_HEAD_BYTES = 512
_POINTER = b"version https://git-lfs"
_POINTER_MAX_BYTES = 1024
_PICKLE_LOOKED_BYTES = 256 * 1024**2
_PROTOCOLS = range(2, 6)
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NUMPY = b"\x93NUMPY"
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]")
"""``ir_version``, then the tag of another field of ``ModelProto``."""
_SAFETENSORS_MAX = 100_000_000
_TAKES = {
    "sklearn": {"pickle", "gzip", "bzip2", "xz"},
    "onnx": {"onnx"},
    "torch": {"zip", "pickle"},
}
_CALLED = {
    "sklearn": "a pickle of scikit-learn",
    "onnx": "a program of ONNX",
    "torch": "a file of PyTorch",
}
_HINTS = {
    "pickle": "a pickle of scikit-learn is called .pkl or .joblib, weights of PyTorch .pth",
    "zip": "what torch.save writes is a zip and called .pt or .pth",
    "onnx": "call it .onnx",
    "safetensors": "call it .safetensors",
    "HDF5": "no runtime loads it: export it to ONNX, or read it in load() of an entry",
    "web page": "was the download refused? open it, and fetch the file again",
}


def faults(manifest: ModelManifest, folder: Path, files: Iterable[File]) -> Iterator[Problem]:
    """Yield where the artifact is surely not what its runtime loads."""
    artifact = manifest.run.artifact
    if artifact is None:
        return
    plain = artifact.rstrip("/")
    for file in files:
        if file.path != plain and not file.path.startswith(f"{plain}/"):
            continue
        if _is_pointer(folder / file.path, file.size):
            yield _pointer("run.artifact", file.path)
        elif file.path == plain:
            yield from _kind(manifest.run.runtime, folder / plain, plain)


def pointers(manifest: ModelManifest | None, folder: Path, files: Iterable[File]) -> Iterator[Problem]:
    """Yield the files beside the artifact that only stand for others."""
    plain = (manifest.run.artifact or "").rstrip("/") if manifest is not None else ""
    for file in files:
        is_artifact = bool(plain) and (file.path == plain or file.path.startswith(f"{plain}/"))
        if not is_artifact and _is_pointer(folder / file.path, file.size):
            yield _pointer(file.path, file.path)


def pins(manifest: ModelManifest, folder: Path) -> Iterator[Problem]:
    """Yield where the library that loads the artifact is not required in the version that fits it."""
    run = manifest.run
    if run.artifact is None or not rules.relative(run.artifact) or run.runtime not in _LIBRARIES:
        return
    if isinstance(run.requires, str) and not rules.relative(run.requires):
        return  # told as a problem
    try:
        listed = specs.requirements(manifest, folder)
    except Invalid:
        return  # told as a problem
    project = _LIBRARIES[run.runtime]
    named = [line for line in listed if re.match(project.replace("-", "[-_.]") + r"(?![\w.-])", line, re.IGNORECASE)]
    pinned = next((found[1] for line in named if (found := re.search(r"===?\s*([^\s,;]+)", line))), None)
    if run.runtime == "torch":
        if pinned is None:
            hint = f'requires = ["torch=={TORCH}"], or the version that trained it'
            yield Problem("run.requires", "unpinned", "torch is not pinned: the newest is installed", hint)
        return
    path = folder / run.artifact
    version = pickled.saved_with(path, most=_PICKLE_LOOKED_BYTES) if path.is_file() else None
    if pinned is None:
        said = f", which was saved with {version}" if version else ""
        hint = f'requires = ["scikit-learn=={version or "…"}"]'
        message = f"scikit-learn is not pinned to the version of {run.artifact}{said}"
        yield Problem("run.requires", "unpinned", message, hint if version else f"the version that trained it: {hint}")
    elif version is not None and not _same(pinned, version):
        message = f"scikit-learn=={pinned} is required, and {run.artifact} was saved with {version}"
        yield Problem("run.requires", "other_version", message, f'requires = ["scikit-learn=={version}"]')


def _same(pinned: str, version: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return version in SpecifierSet(f"=={pinned}", prereleases=True)
    except InvalidSpecifier:
        return True  # told as a problem


def _is_pointer(path: Path, size: int) -> bool:
    return len(_POINTER) <= size <= _POINTER_MAX_BYTES and _head(path).startswith(_POINTER)


def _pointer(path: str, file: str) -> Problem:
    return Problem(path, "pointer", f"{file} only points to the file, which Git LFS keeps elsewhere", "git lfs pull")


def _kind(runtime: str, path: Path, name: str) -> Iterator[Problem]:
    """Yield what is wrong with an artifact that is one file."""
    head = _head(path)
    if not head:
        yield Problem("run.artifact", "empty", f"{name} is empty", "write the model into it again")
        return
    found, takes = _kind_of(head), _TAKES.get(runtime)
    if not found or takes is None:
        return
    ending = path.suffix.lower()
    fits = found in takes or (ending, found) in ((".skops", "zip"), (".safetensors", "safetensors"))
    if (ending, found) in ((".safetensors", "zip"), (".safetensors", "pickle"), (".pt2", "pickle")):
        fits = False
    if not fits:
        said = f"{name} is {_an(found)}, and no {_CALLED[runtime].partition(' ')[2]}"
        yield Problem("run.artifact", "kind", said, _HINTS.get(found, "name the file of the model itself"))
    elif found == "zip" and not zipfile.is_zipfile(path):
        yield Problem("run.artifact", "cut", f"{name} is a zip without its end: it is not whole", "copy it again")


def _kind_of(head: bytes) -> str:
    """Return what the first bytes of a file are surely of, else an empty text."""
    if head[:4] == b"PK\x03\x04":
        return "zip"
    if head[:1] == b"\x80" and len(head) > 1 and head[1] in _PROTOCOLS:
        return "pickle"
    if head.startswith(_HDF5):
        return "HDF5"
    if head.startswith(_NUMPY):
        return "array of numpy"
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            return name
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "web page"
    if head[8:10] == b'{"' and 0 < int.from_bytes(head[:8], "little") < _SAFETENSORS_MAX:
        return "safetensors"
    return "onnx" if _ONNX.match(head) else ""


def _an(kind: str) -> str:
    match kind:
        case "onnx":
            return "a program of ONNX"
        case "safetensors" | "HDF5":
            return f"a file of {kind}"
        case "gzip" | "bzip2" | "xz":
            return f"packed with {kind}"
        case "array of numpy":
            return "an array of numpy"
    return f"a {kind}"


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""
