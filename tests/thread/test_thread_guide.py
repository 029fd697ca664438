"""The guide's four models and its clients, word for word: what is printed there is run against a whole platform."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.guide import Section
from tests.thread.rig import Platform, platform

from fairlead import environments
from fairlead.messages import EnvironmentSpec

pytestmark = pytest.mark.timeout(900)
OLD = "1.4.2"
FIT = """
import pickle
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
x, y = load_iris(return_X_y=True)
pickle.dump(LogisticRegression(max_iter=1000).fit(x, y), open("classifier.pkl", "wb"))
"""


class Desk:
    """Where a person works: a folder, a shell and a token."""

    def __init__(self, house: Platform, folder: Path) -> None:
        self.house, self.folder = house, folder

    def bash(self, script: str) -> str:
        return self._run(["bash", "-euo", "pipefail", "-c", script])

    def python(self, script: str) -> str:
        return self._run([sys.executable, "-c", script.replace("127.0.0.1:8080", f"127.0.0.1:{self.house.port}")])

    def _run(self, command: list[str]) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = self.house.env | {"PATH": path, "FAIRLEAD_URL": self.house.url, "FAIRLEAD_TOKEN": self.house.token}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, (command[-1], done.stdout, done.stderr, self.house.logs())
        return done.stdout


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    with platform() as made:
        yield made


@pytest.fixture(scope="module")
def desk(house: Platform, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(house, tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def iris(desk: Desk) -> str:
    """The ONNX model of the guide, pushed."""
    onnx(desk.folder / "iris.onnx")
    section = Section("four-models", "An ONNX file")
    first, *others = section.scripts["bash"]
    assert "iris@1 http://127.0.0.1" in desk.bash(first)
    written = (desk.folder / "iris" / "fairlead.toml").read_text()
    assert written.startswith(section.scripts["toml"][0]), written
    return "".join(map(desk.bash, others))


def onnx(path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True)
    path.write_bytes(to_onnx(LogisticRegression(max_iter=1000).fit(x, y), x[:1].astype("float32")).SerializeToString())


def test_an_onnx_file(iris: str) -> None:
    one, many = map(json.loads, iris.splitlines())
    assert one["output_label"] == 0
    assert [row["output_label"] for row in many] == [0, 2]


def test_a_pickle_of_an_old_scikit_learn(desk: Desk) -> None:
    old = EnvironmentSpec(requires=(f"scikit-learn=={OLD}",))
    python = asyncio.run(environments.build(old, desk.house.home / "environments"))  # the one that its push asks for
    subprocess.run([python, "-P", "-c", FIT], cwd=desk.folder, check=True, timeout=120)
    section = Section("four-models", "A pickle of an old scikit-learn")
    push, predict = section.scripts["bash"]

    assert "old-flowers@1 " in desk.bash(push)
    assert (desk.folder / "old-flowers" / "fairlead.toml").read_text() == section.scripts["toml"][0]
    answer = json.loads(desk.bash(predict))
    assert answer["prediction"] == 0
    assert sum(answer["probability"].values()) == pytest.approx(1)
    (version,) = desk.house.get("/models/old-flowers")["versions"]
    assert not any("saved with" in warning for warning in version["warnings"])


def test_a_generator_that_streams(desk: Desk) -> None:
    section = Section("four-models", "A generator that streams")
    section.write(desk.folder)

    said = "".join(map(desk.bash, section.scripts["bash"]))
    assert "ships 1 ships 2 ships 3 \n" in said
    assert 'data: "ships 5 "\n\nevent: done' in said


def test_every_client_of_the_guide(desk: Desk, iris: str) -> None:
    pytest.importorskip("tritonclient.http", reason="tritonclient is not installed: make setup")
    pytest.importorskip("open_inference.openapi", reason="open-inference-openapi is not installed: make setup")
    shell = Section("clients", "From a shell").scripts["bash"][0].splitlines()
    assert json.loads(desk.bash(shell[0]))["output_label"] == 0
    job, refused = Section("clients", "From Python: `fairlead.Client`").scripts["python"][1:]
    start = "from fairlead import Client, Error\nclient = Client()\niris = client.model('iris')\n"
    said = desk.python(start + job).splitlines()
    assert said[0].startswith("job-")
    assert said[-1].startswith("{'output_label': 0")
    assert desk.python(start + refused).startswith("invalid_input X: has 1, fewer than 4")
    triton, generated = Section("clients", "From programs that speak tensors").scripts["python"]
    assert "output_label" in desk.python(triton)
    assert "output_label" in desk.python(generated)


def test_the_first_program_of_the_guide(desk: Desk, iris: str) -> None:
    """All of it but the call with a picture, whose model needs PyTorch."""
    first: str = Section("clients", "From Python: `fairlead.Client`").scripts["python"][0]
    test_a_generator_that_streams(desk)
    lines = [line for line in first.splitlines() if "pets" not in line]
    said: Any = desk.python("\n".join(lines))
    assert said == "ships 1 ships 2 ships 3 ships 4 ships 5 "
