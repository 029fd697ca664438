"""One suite for every runtime, the fake included: rows in, answers out, in order, each its own."""

from __future__ import annotations

import asyncio
import importlib.util
import pickle
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fairlead.bundles import pickled
from fairlead.errors import Invalid
from fairlead.messages import ModelSpec
from fairlead.modelserver.loading import load
from fairlead.modelserver.protocols.tensors import Kind, outputs_of
from fairlead.modelserver.runtimes.onnx import OnnxRuntime
from fairlead.modelserver.runtimes.port import Runtime
from fairlead.modelserver.runtimes.python import PythonRuntime
from fairlead.modelserver.runtimes.sklearn import SklearnRuntime
from fairlead.modelserver.runtimes.torch import TorchRuntime
from fairlead.sdk.files import File
from fairlead.sdk.model import InvalidInput
from fairlead.testing.runtime import DoublingRuntime


def doubling(folder: Path) -> tuple[Runtime, str]:
    return DoublingRuntime(), "y"


def python(folder: Path) -> tuple[Runtime, str]:
    (folder / "double_model.py").write_text(
        "import fairlead\n"
        "class Double(fairlead.Model):\n"
        "    def load(self): assert (self.folder / 'double_model.py').exists()\n"
        "    def predict(self, x: float) -> dict:\n"
        "        if x < 0: raise fairlead.InvalidInput('is negative', 'x')\n"
        "        return {'y': 2 * x}\n"
    )
    return PythonRuntime("double_model:Double"), "y"


def onnx(folder: Path) -> tuple[Runtime, str]:
    from onnx import TensorProto, helper, save_model

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save_model(model, folder / "double.onnx")
    return OnnxRuntime("double.onnx"), "y"


def sklearn(folder: Path) -> tuple[Runtime, str]:
    import joblib
    import pandas
    from sklearn.linear_model import LinearRegression

    table = pandas.DataFrame({"x": [0.0, 1.0, 2.0]})
    joblib.dump(LinearRegression().fit(table, [0.0, 2.0, 4.0]), folder / "double.joblib")
    return SklearnRuntime("double.joblib"), "prediction"


def _torch_double() -> Any:
    import torch

    class Double(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    return Double()


def torch_script(folder: Path) -> tuple[Runtime, str]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch calls TorchScript old; people's files stay
        torch.jit.script(_torch_double()).save(str(folder / "double.pt"))
    return TorchRuntime("double.pt"), "output"


def torch_export(folder: Path) -> tuple[Runtime, str]:
    import torch

    rows = torch.export.Dim("rows")
    program = torch.export.export(_torch_double(), (torch.ones(4),), dynamic_shapes={"x": {0: rows}})
    torch.export.save(program, folder / "double.pt2")
    return TorchRuntime("double.pt2"), "output"


NO_TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed here")
Make = Callable[[Path], tuple[Runtime, str]]


@pytest.fixture(
    params=[
        doubling,
        python,
        onnx,
        sklearn,
        *(pytest.param(one, marks=NO_TORCH) for one in (torch_script, torch_export)),
    ]
)
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    make: Make = request.param
    runtime, output = make(tmp_path)
    runtime.load(tmp_path)
    yield runtime, output
    runtime.close()
    runtime.close()


def value(answer: Any) -> float:
    return answer[0] if isinstance(answer, list) else answer


def test_each_row_gets_its_own_answer_in_order(loaded: tuple[Runtime, str]) -> None:
    runtime, output = loaded
    rows = [runtime.signature.decode(b'{"x": %d}' % number) for number in range(70)]
    for size in (1, 2, 70):
        answers = runtime.infer(rows[:size])
        assert [value(answer[output]) for answer in answers] == pytest.approx([2 * n for n in range(size)], abs=1e-6)


def test_answers_are_json(loaded: tuple[Runtime, str]) -> None:
    runtime, _ = loaded
    assert msgspec.json.encode(runtime.infer([runtime.signature.decode(b'{"x": 1.5}')]))


def test_a_row_without_its_field_is_refused_by_name(loaded: tuple[Runtime, str]) -> None:
    runtime, _ = loaded
    with pytest.raises(Invalid) as caught:
        runtime.signature.decode(b'{"z": 1}')
    assert {"x", "z"} <= {problem.path for problem in caught.value.problems}


@pytest.mark.parametrize("make", [doubling, python])
def test_a_row_that_the_model_refuses_leaves_the_others_alone(make: Make, tmp_path: Path) -> None:
    runtime, output = make(tmp_path)
    runtime.load(tmp_path)
    rows = [runtime.signature.decode(body) for body in (b'{"x": 1}', b'{"x": -1}', b'{"x": 2}')]
    good, bad, other = runtime.infer(rows)
    assert (good[output], other[output]) == (2, 4)
    assert isinstance(bad, InvalidInput)


def test_onnx_may_be_called_with_whole_arrays(tmp_path: Path) -> None:
    runtime, _ = onnx(tmp_path)
    runtime.load(tmp_path)
    assert runtime.call(np.ones((3, 1)))["y"].tolist() == [[2], [2], [2]]  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="no input z"):
        runtime.call(z=[1])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fault", "said", "hint"),
    [
        ("cut", "INVALID_PROTOBUF", "is the file whole?"),
        ("newer", "IR version: 99", "require a newer one"),
        ("weights", "its weights are in double.data, which is not in the bundle", "copy double.data beside it"),
    ],
)
def test_a_program_that_cannot_be_loaded_says_what_to_do(fault: str, said: str, hint: str, tmp_path: Path) -> None:
    import onnx as format
    from onnx import helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((1, 1), np.float32), "w")
    ends = [helper.make_tensor_value_info(one, 1, [None, 1]) for one in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, ir_version=99 if fault == "newer" else 8, opset_imports=[opset])
    path = tmp_path / "double.onnx"
    if fault == "weights":
        format.save_model(model, path, save_as_external_data=True, location="double.data", size_threshold=0)
        (tmp_path / "double.data").unlink()
    else:
        path.write_bytes(b"no program" if fault == "cut" else model.SerializeToString())

    with pytest.raises(Invalid, match="cannot be loaded") as caught:
        OnnxRuntime("double.onnx").load(tmp_path)
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert str(tmp_path) not in caught.value.message


def test_scikit_learn_names_classes_and_choices(tmp_path: Path) -> None:
    import joblib
    import pandas
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    table = pandas.DataFrame({"carrier": ["UA", "AA", "UA", "AA"], "hour": [1.0, 2.0, 20.0, 21.0]})
    encode = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
    joblib.dump(make_pipeline(encode, LogisticRegression()).fit(table, ["on time", "on time", "late", "late"]),
                tmp_path / "m.joblib")  # fmt: skip
    runtime = SklearnRuntime("m.joblib")
    runtime.load(tmp_path)
    assert runtime.signature.schema()["properties"]["carrier"] == {"enum": ["AA", "UA"]}
    (answer,) = runtime.infer([runtime.signature.decode(b'{"carrier": "UA", "hour": 20}')])
    assert answer["prediction"] == "late"
    assert set(answer["probability"]) == {"late", "on time"}
    assert sum(answer["probability"].values()) == pytest.approx(1)
    assert set(runtime.call(table)) == {"prediction", "probability"}


def test_artifacts_tell_their_outputs_where_they_know_them(tmp_path: Path) -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression

    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "m.joblib")
    runtime = SklearnRuntime("m.joblib")
    runtime.load(tmp_path)
    told = {one.name: one.kind for one in outputs_of(runtime.signature.returns_schema())}
    assert told == {"prediction": Kind("INT64"), "probability": Kind("FP64", (-1,), "keys")}
    other, _ = onnx(tmp_path)
    other.load(tmp_path)
    assert [(one.name, one.kind) for one in outputs_of(other.signature.returns_schema())] == [("y", Kind("FP64", (1,)))]


def test_what_comes_after_an_artifact_tells_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx(tmp_path)
    (tmp_path / "after_model.py").write_text(
        "import fairlead\n"
        "class After(fairlead.Model):\n"
        "    def preprocess(self, inches: float) -> dict:\n"
        "        return {'x': inches * 2.5}\n"
        "    def postprocess(self, answer: dict) -> str:\n"
        "        return str(answer['y'])\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = ModelSpec(name="m", version="1", runtime="onnx", artifact="double.onnx", entry="after_model:After")
    model = load(spec, tmp_path)
    predict = model.endpoints["predict"]
    assert (list(predict.signature.schema()["properties"]), predict.signature.returns_schema()) == (
        ["inches"],
        {"type": "string"},
    )
    assert list(predict.run([predict.signature.decode(b'{"inches": 2}')])) == ["[10.0]"]
    model.close()


def test_another_version_of_scikit_learn_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import joblib
    import sklearn.base
    from sklearn.linear_model import LinearRegression

    with warnings.catch_warnings(), monkeypatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(sklearn.base, "__version__", "0.1.2")
        joblib.dump(LinearRegression().fit([[1.0]], [1.0]), tmp_path / "m.joblib")
    runtime = SklearnRuntime("m.joblib")
    runtime.load(tmp_path)
    assert "0.1.2" in runtime.warnings[0]
    assert runtime.signature.decode(b'{"x": [1]}')


def test_code_around_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx(tmp_path)
    (tmp_path / "around_model.py").write_text(
        "import fairlead, numpy as np\n"
        "class Around(fairlead.Model):\n"
        "    def predict_batch(self, rows: list[float]) -> list[float]:\n"
        "        return self.artifact(np.array(rows).reshape(-1, 1))['y'][:, 0] + 1\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = ModelSpec(name="m", version="1", runtime="onnx", artifact="double.onnx", entry="around_model:Around")
    model = load(spec, tmp_path)
    predict = model.endpoints["predict"]
    assert predict.together
    assert list(predict.run([predict.signature.decode(b'{"rows": 3}')])) == [7.0]
    model.close()


@pytest.mark.parametrize("way", ["def", "async def"])
def test_a_batch_of_plain_values_is_a_list_of_them(way: str, tmp_path: Path) -> None:
    (tmp_path / f"plain_{way[:5]}.py").write_text(
        "import fairlead\n"
        "class Sizes(fairlead.Model):\n"
        f"    {way} predict_batch(self, images: list[fairlead.Image]) -> list[int]:\n"
        "        return [len(image.read()) for image in images]\n"
    )
    runtime = PythonRuntime(f"plain_{way[:5]}:Sizes")
    runtime.load(tmp_path)
    predict = runtime.endpoints["predict"]
    rows = [predict.signature.check({"images": File(b"x" * size)}) for size in (3, 1)]
    answers = predict.run(rows)
    assert (asyncio.run(answers) if predict.is_async else answers) == [3, 1]


def test_an_entry_that_is_not_there_names_what_is(tmp_path: Path) -> None:
    (tmp_path / "named_model.py").write_text("class Right: ...\n")
    with pytest.raises(Invalid, match="has no Wrong") as caught:
        PythonRuntime("named_model:Wrong").load(tmp_path)
    assert "Right" in caught.value.hint


def test_a_pickle_that_no_longer_opens_names_the_version_to_require(tmp_path: Path) -> None:
    import joblib
    import sklearn.base
    from sklearn.linear_model import LinearRegression

    kept = LinearRegression().fit([[1.0]], [1.0])
    kept.__class__ = type("Gone", (LinearRegression,), {"__module__": "sklearn.linear_model._gone"})
    module = types.ModuleType("sklearn.linear_model._gone")
    vars(module)["Gone"] = type(kept)
    sys.modules[module.__name__] = module
    try:
        for name, compress in (("plain.joblib", 0), ("zlib.joblib", 3), ("xz.joblib", ("xz", 1)), ("m.pkl", None)):
            if compress is None:
                (tmp_path / name).write_bytes(pickle.dumps(kept))
            else:
                joblib.dump(kept, tmp_path / name, compress=compress)
    finally:
        del sys.modules[module.__name__]
    for file in tmp_path.iterdir():
        packed = pickled.saved_with(file)
        assert packed == sklearn.__version__, file.name
        with pytest.raises(Invalid, match="cannot be opened: No module named") as caught:
            SklearnRuntime(file.name).load(tmp_path)
        assert "whole" in caught.value.hint  # the version is the same, so that is not it


def test_a_pickle_of_an_older_version_that_cannot_be_opened_says_what_to_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import joblib
    import sklearn.base
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1])
    with monkeypatch.context() as patch:
        patch.setattr(sklearn.base, "__version__", "1.2.2")
        joblib.dump(tree, tmp_path / "m.joblib")
    content = (tmp_path / "m.joblib").read_bytes()
    assert b"missing_go_to_left" in content  # the field of a node that 1.2 had not
    (tmp_path / "m.joblib").write_bytes(content.replace(b"missing_go_to_left", b"missing_go_to_west"))
    with pytest.raises(Invalid, match=r"saved with scikit-learn 1\.2\.2") as caught:
        SklearnRuntime("m.joblib").load(tmp_path)
    assert caught.value.code == "artifact_unreadable"
    assert "scikit-learn==1.2.2" in caught.value.hint


def test_a_scikit_learn_that_was_built_for_numpy_1_says_so(tmp_path: Path) -> None:
    said = b"numpy.dtype size changed, may indicate binary incompatibility"  # what its modules raise with numpy 2
    (tmp_path / "m.pkl").write_bytes(b"cbuiltins\nint\n(V" + said + b"\ntR.")
    with pytest.raises(Invalid, match="was built for numpy 1") as caught:
        SklearnRuntime("m.pkl").load(tmp_path)
    assert '"numpy<2"' in caught.value.hint


def test_what_a_pickle_needs_beside_scikit_learn_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"cnot_here_at_all\nModel\n.")
    with pytest.raises(ModuleNotFoundError, match="not_here_at_all"):
        SklearnRuntime("m.pkl").load(tmp_path)


@NO_TORCH
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_of_torch_fills_the_module_of_the_code(
    wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    state = {"scale": torch.tensor([3.0])}
    torch.save({"epoch": 7, "state_dict": state} if wrapped else state, tmp_path / "weights.pth")
    (tmp_path / "state_model.py").write_text(
        "import fairlead, torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.zeros(1))\n"
        "    def forward(self, x): return self.scale * x\n"
        "class Scaled(fairlead.Model):\n"
        "    def load(self):\n"
        "        self.net = Net()\n"
        "        self.net.load_state_dict(self.weights)\n"
        "    def predict(self, x: float) -> float:\n"
        "        return float(self.net(torch.tensor([x])).item())\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = ModelSpec(name="m", version="1", runtime="torch", artifact="weights.pth", entry="state_model:Scaled")
    model = load(spec, tmp_path)
    predict = model.endpoints["predict"]
    assert list(predict.run([predict.signature.decode(b'{"x": 2}')])) == [6.0]
    model.close()


@NO_TORCH
def test_a_state_of_torch_alone_and_a_pickled_module_say_what_to_do(tmp_path: Path) -> None:
    import torch

    torch.save({"scale": torch.tensor([3.0])}, tmp_path / "weights.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pt")
    for name, said in (("weights.pth", "weights and no program"), ("module.pt", "neither a program nor weights")):
        with pytest.raises(Invalid, match=said) as caught:
            TorchRuntime(name).load(tmp_path)
        assert "self.weights" in caught.value.hint


@pytest.mark.parametrize("told", ["1", ""])
def test_onnx_keeps_weights_as_they_are_in_their_file_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    from fairlead.modelserver.runtimes.onnx import session_of

    onnx(tmp_path)
    monkeypatch.setenv("ORT_DISABLE_PREPACKING", told)
    options = session_of(tmp_path / "double.onnx").get_session_options()
    if told:
        assert options.get_session_config_entry("session.disable_prepacking") == "1"
    else:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry("session.disable_prepacking")
