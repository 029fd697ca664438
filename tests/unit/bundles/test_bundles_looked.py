"""What a look at a bundle tells of artifacts by their first bytes, of versions, and of examples by the code as text."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

from fairlead.bundles.check import check

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
HEAD = 'kind = "model"\nname = "m"\n'
CLASS = "import fairlead\nclass M(fairlead.Model):\n    {}\n        return ''\n"


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("state/data.pkl", b"x" * 2000)
    return target.getvalue()


PICKLE = pickle.dumps({"_sklearn_version": "1.5.2"})
ONNX = b"\x08\x08\x12\x07pytorch"
SAFETENSORS = (2).to_bytes(8, "little") + b'{"}'


def told(folder: Path, manifest: str, **files: bytes | str) -> list[tuple[str, str, str, str]]:
    (folder / "fairlead.toml").write_text(HEAD + manifest)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return [(one.path, one.rule, one.message, one.hint) for one in check(folder).problems]


@pytest.mark.parametrize(
    ("name", "content", "rule", "said"),
    [
        ("m.pkl", POINTER, "pointer", "which Git LFS keeps elsewhere"),
        ("m.onnx", PICKLE, "kind", "m.onnx is a pickle, and no program of ONNX"),
        ("m.onnx", zipped(), "kind", "m.onnx is a zip, and no program of ONNX"),
        ("m.joblib", ONNX, "kind", "m.joblib is a program of ONNX, and no pickle of scikit-learn"),
        ("m.joblib", zipped(), "kind", "m.joblib is a zip, and no pickle of scikit-learn"),
        ("m.pth", ONNX, "kind", "m.pth is a program of ONNX, and no file of PyTorch"),
        ("m.pth", SAFETENSORS, "kind", "m.pth is a file of safetensors, and no file of PyTorch"),
        ("m.safetensors", zipped(), "kind", "m.safetensors is a zip"),
        ("m.onnx", "<!DOCTYPE html><html>", "kind", "m.onnx is a web page"),
        ("m.onnx", b"\x89HDF\r\n\x1a\n", "kind", "m.onnx is a file of HDF5"),
        ("m.pt", zipped()[:900], "cut", "it is not whole"),
        ("m.onnx", b"", "empty", "m.onnx is empty"),
    ],
)
def test_first_bytes_tell_what_an_artifact_is_not(
    tmp_path: Path, name: str, content: bytes | str, rule: str, said: str
) -> None:
    code = 'entry = "model:M"\n' if name.endswith((".pth", ".pt", ".safetensors")) else ""
    source = CLASS.format("def predict(self, x):")
    found = told(tmp_path, f'[run]\nartifact = "{name}"\n{code}', **{name: content, "model.py": source})

    assert [(path, broken) for path, broken, _, _ in found] == [("run.artifact", rule)]
    assert said in found[0][2]
    assert found[0][3]


@pytest.mark.parametrize(
    ("name", "content"),
    [("m.onnx", ONNX), ("m.pkl", PICKLE), ("m.skops", zipped()), ("m.pt", zipped()), ("m.pth", PICKLE)]
    + [("m.safetensors", SAFETENSORS), ("m.joblib", b"\x1f\x8bpacked"), ("m.onnx", b"nobody knows this")],
)
def test_what_the_first_bytes_allow_is_not_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert told(tmp_path, f'[run]\nartifact = "{name}"\n', **{name: content}) == []


def test_a_pointer_beside_the_artifact_is_warned_of(tmp_path: Path) -> None:
    assert told(tmp_path, '[run]\nartifact = "m.onnx"\n', **{"m.onnx": ONNX, "cat.jpg": POINTER}) == []
    assert ("cat.jpg", "pointer") in [(one.path, one.rule) for one in check(tmp_path).warnings]


@pytest.mark.parametrize(
    ("requires", "rule", "hint"),
    [
        ("", "unpinned", 'requires = ["scikit-learn==1.5.2"]'),
        ('requires = ["scikit-learn>=1"]\n', "unpinned", 'requires = ["scikit-learn==1.5.2"]'),
        ('requires = ["scikit-learn==1.7.2"]\n', "other_version", 'requires = ["scikit-learn==1.5.2"]'),
        ('requires = "r.txt"\n', "other_version", 'requires = ["scikit-learn==1.5.2"]'),
        ('requires = ["scikit-learn==1.5.*"]\n', "", ""),
        ('requires = ["scikit_learn==1.5.2"]\n', "", ""),
    ],
)
def test_the_version_that_saved_a_pickle_is_named(tmp_path: Path, requires: str, rule: str, hint: str) -> None:
    manifest = f'[run]\nartifact = "m.pkl"\n{requires}'
    assert told(tmp_path, manifest, **{"m.pkl": PICKLE, "r.txt": "scikit-learn==1.6.0\n"}) == []

    found = [one for one in check(tmp_path).warnings if one.rule in ("unpinned", "other_version")]
    assert [(one.rule, one.hint) for one in found] == ([(rule, hint)] if rule else [])
    assert all("1.5.2" in one.message for one in found)


def test_torch_that_is_not_pinned_is_warned_of(tmp_path: Path) -> None:
    told(tmp_path, '[run]\nartifact = "m.pt"\n', **{"m.pt": zipped()})

    assert "unpinned" in [one.rule for one in check(tmp_path).warnings]


def test_a_path_out_of_the_bundle_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.pkl").write_bytes(PICKLE)
    folder = tmp_path / "bundle"
    folder.mkdir()

    for path in ("../secret.pkl", str(tmp_path / "secret.pkl")):
        told(folder, f'[run]\nruntime = "sklearn"\nartifact = "{path}"\n')
        assert "1.5.2" not in repr(check(folder).warnings)


EXAMPLES = '[run]\nentry = "model:M"\n[[examples]]\ntitle = "t"\ninput = { nam = "x" }\n'


@pytest.mark.parametrize(
    "source",
    [
        CLASS.format("def predict(self, name: str, times: int = 1):"),
        CLASS.format("async def predict(self, name: str):"),
        CLASS.format("def predict(self, name, times=1):"),
        "def M(name: str) -> str:\n    return name\n",
        "from fairlead import Input, Model\nclass Row(Input):\n    name: str\n    age: int = 3\n"
        "class M(Model):\n    def predict_batch(self, rows: list[Row]) -> list[str]:\n        return []\n",
        "import dataclasses\n@dataclasses.dataclass\nclass Row:\n    name: str\ndef M(row: Row) -> str:\n    return ''\n",
    ],
)
def test_an_example_is_held_against_the_code_as_it_stands_there(tmp_path: Path, source: str) -> None:
    found = told(tmp_path, EXAMPLES, **{"model.py": source})

    assert [(path, rule, hint) for path, rule, _, hint in found] == [
        ("examples.0.input.nam", "unknown_key", "did you mean name?")
    ]


@pytest.mark.parametrize(
    "source",
    [
        CLASS.format("def predict(self, **fields):"),
        CLASS.format("def predict(self, row):"),
        CLASS.format("def predict(self, row: dict):"),
        "from rows import Row\ndef M(row: Row) -> str:\n    return ''\n",
        "from base import Base\nclass M(Base):\n    def predict(self, name: str):\n        return ''\n",
        "import fairlead\nclass Row(fairlead.Input, rename={'name': 'nam'}):\n    name: str\ndef M(row: Row):\n    return ''\n",
        "from msgspec import field\nfrom fairlead import Input\nclass Row(Input):\n    name: str = field(name='nam')\n"
        "def M(row: Row):\n    return ''\n",
        "def wrapped(f):\n    return f\n@wrapped\ndef M(name: str):\n    return ''\n",
        "def M(name: str):\n    return ''\nM = print\n",
    ],
)
def test_what_the_code_does_not_say_plainly_refuses_no_example(tmp_path: Path, source: str) -> None:
    assert told(tmp_path, EXAMPLES, **{"model.py": source}) == []


def test_a_field_that_an_example_lacks_is_named(tmp_path: Path) -> None:
    source = CLASS.format("def predict(self, name: str, age: int, times: int = 1):")
    found = told(tmp_path, EXAMPLES.replace("nam =", "name ="), **{"model.py": source})

    assert [(path, rule) for path, rule, _, _ in found] == [("examples.0.input.age", "missing")]


def test_what_is_wrong_in_the_manifest_hides_nothing_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "fairlead.toml").write_text(
        'kind = "modle"\nname = "m"\n[run]\nentry = "modle:M"\nrequires = "numpy"\n[[examples]]\ninput = { x = 1 }\n'
    )
    (tmp_path / "model.py").write_text(CLASS.format("def predict(self, y: int):"))

    checked = check(tmp_path)

    assert [one.path for one in checked.problems] == ["kind", "examples.0.title", "run.requires", "run.entry"]
    assert all(one.line for one in checked.problems)
    assert checked.manifest is None
