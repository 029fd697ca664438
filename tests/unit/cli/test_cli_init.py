"""``fairlead init``: templates, and folders made of the file of a model, that pass a check as they are."""

from __future__ import annotations

import pickle
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.bundles.artifacts import TORCH as TRIED
from fairlead.bundles.check import check
from fairlead.cli import artifact
from fairlead.cli.artifact import name_of

TORCH = f"torch=={artifact._torch_here() or TRIED}"

Said = tuple[int, str, str]
Cli = Callable[..., Said]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(cli: Cli, *words: str) -> tuple[dict[str, Any], str]:
    """Return the manifest that ``init`` wrote, which must pass a check, and what it said beside that."""
    code, out, err = cli("init", "model", *words)
    assert code == 0, err
    folder = Path(out.strip())
    checked = check(folder)
    assert checked.problems == ()
    return tomllib.loads((folder / "fairlead.toml").read_text()), err


def estimator(version: str, more: bytes = b"") -> bytes:
    """Return bytes that hold what the pickle of an estimator holds of its version."""
    return pickle.dumps({"_sklearn_version": version}) + more


def test_what_init_writes_passes_a_check(cli: Cli) -> None:
    assert made(cli, "hello")[0]["run"]["entry"] == "model:Greeter"
    assert cli("init", "app", "counter")[0] == 0
    assert check(Path("counter")).problems == ()


def test_a_program_of_onnx_gets_an_example_of_what_it_takes(cli: Cli, here: Path) -> None:
    helper = pytest.importorskip("onnx.helper")
    (here / "Iris v2.onnx").write_bytes(program(helper, "X 1", [None, 3]))
    (here / "Iris v2.onnx.data").write_bytes(b"weights")

    manifest, said = made(cli, "--from", "Iris v2.onnx")

    assert (manifest["name"], manifest["run"]) == ("iris-v2", {"artifact": "Iris v2.onnx"})
    assert manifest["examples"] == [{"title": "made up", "input": {"X 1": [1, 1, 1]}}]
    assert "put a real one in its place" in said
    assert (here / "iris-v2" / "Iris v2.onnx.data").read_bytes() == b"weights"


def test_a_long_row_gets_no_example(cli: Cli, here: Path) -> None:
    helper = pytest.importorskip("onnx.helper")
    (here / "big.onnx").write_bytes(program(helper, "x", [None, 3, 224, 224]))
    assert "examples" not in made(cli, "--from", "big.onnx")[0]


def program(helper: Any, name: str, shape: list[int | None]) -> bytes:
    """Return a program that gives back what it is given."""
    given, gone = (helper.make_tensor_value_info(one, 1, shape) for one in (name, "y"))
    node = helper.make_node("Identity", [name], ["y"])
    graph = helper.make_graph([node], "g", [given], [gone])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize(
    ("content", "requires"),
    [
        (estimator("1.4.2"), ["scikit-learn==1.4.2"]),
        (zlib.compress(estimator("1.4.2")), ["scikit-learn==1.4.2"]),
        (estimator("1.2.1"), ["scikit-learn==1.2.1", "numpy<2"]),
        (estimator("1.5.0", b"sklearn.compose._column_transformer"), ["scikit-learn==1.5.0", "pandas"]),
    ],
)
def test_a_pickle_requires_what_saved_it(cli: Cli, here: Path, content: bytes, requires: list[str]) -> None:
    (here / "m.pkl").write_bytes(content)
    manifest, said = made(cli, "old", "--from", "m.pkl")
    assert manifest["run"] == {"artifact": "m.pkl", "requires": requires}
    assert f"saved with scikit-learn {requires[0].partition('==')[2]}" in said


def test_a_pickle_that_tells_no_version_says_what_to_add(cli: Cli, here: Path) -> None:
    (here / "m.joblib").write_bytes(b"nothing of the kind")
    manifest, said = made(cli, "--from", "m.joblib")
    assert "requires" not in manifest["run"]
    assert "add requires below [run]" in said


def test_weights_of_pytorch_get_code_and_programs_none(cli: Cli, here: Path) -> None:
    (here / "w.safetensors").write_bytes(b"{}")
    for name, inside in (("script.pt", "script/constants.pkl"), ("state.pt", "state/data.pkl")):
        with zipfile.ZipFile(here / name, "w") as archive:
            archive.writestr(inside, "")

    assert made(cli, "--from", "script.pt")[0]["run"] == {"artifact": "script.pt", "requires": [TORCH]}
    manifest, said = made(cli, "--from", "state.pt")
    assert (manifest["run"]["entry"], manifest["run"]["requires"]) == ("model:Served", [TORCH])
    assert "build their module in place of Net in model.py" in said
    assert f"requires {TORCH}" in said
    assert "wheels for CPU" in said
    assert made(cli, "--from", "w.safetensors")[0]["run"]["requires"] == [TORCH, "safetensors"]


def test_the_torch_that_is_installed_here_is_required(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "state.pth").write_bytes(pickle.dumps({}))
    monkeypatch.setattr(artifact, "_torch_here", lambda: "2.7.1")

    assert made(cli, "--from", "state.pth")[0]["run"]["requires"] == ["torch==2.7.1"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("model", "--from", "no.onnx"), 5, "(artifact_missing)"),
        (("model", "--from", "cat.png"), 5, "(artifact_unknown)"),
        (("model", "--from", "bad.onnx"), 5, "bad.onnx cannot be loaded"),
        (("model", "No Name", "--from", "bad.onnx"), 5, "(invalid_name)"),
        (("model", "taken", "--from", "bad.onnx"), 4, "(exists)"),
        (("app", "--from", "bad.onnx"), 2, "--from makes a model"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(cli: Cli, here: Path, words: tuple[str, ...], code: int, said: str) -> None:
    pytest.importorskip("onnxruntime")
    (here / "cat.png").write_bytes(b"\x89PNG")
    (here / "bad.onnx").write_bytes(b"garbage")
    (here / "taken").mkdir()
    before = sorted(here.iterdir())

    ended, _, err = cli("init", *words)

    assert (ended, said in err) == (code, True), err
    assert str(here / ".") not in err.replace(str(here / "taken"), "")
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("file", "name"), [("Iris v2.onnx", "iris-v2"), ("__.pt", "my-model"), ("é.pkl", "my-model"), ("a" * 80, "a" * 63)]
)
def test_a_file_gives_its_name(file: str, name: str) -> None:
    assert name_of(Path(file)) == name
