"""The guide's classifier of images, word for word, served with the PyTorch that is installed here."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.guide import Section
from tests.process.test_serve import Begin, begin

import fairlead

assert begin  # a fixture

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None, reason="torch is not installed here: pip install torch"
    ),
]
WEIGHTS = 'import model, torch; torch.manual_seed(0); torch.save(model.Net().state_dict(), "pets.pth")'


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """The bundle that the guide prints, with weights of its module."""
    Section("four-models", "A PyTorch classifier of images, with batches").write(tmp_path)
    folder = tmp_path / "pets"
    subprocess.run([sys.executable, "-c", WEIGHTS], cwd=folder, check=True, timeout=120)
    return folder


def picture(shade: int) -> bytes:
    image: Any = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new("RGB", (40, 30), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_image_classifier_with_batches(pets: Path, begin: Begin) -> None:
    np = pytest.importorskip("numpy")
    served = begin("--here", str(pets))
    url = served.says(r"^ready (http://127\.0\.0\.1:\d+)/v1/models/pets/predict$")[1]
    shades = range(0, 240, 10)
    with fairlead.Client(url) as client, ThreadPoolExecutor(12) as pool:
        model = client.model("pets")
        alone = [model.predict(fairlead.Image(picture(shade))) for shade in shades]
        assert {answer["kind"] for answer in alone} <= {"cat", "dog"}

        calls = [pool.submit(model.predict, picture(shade)) for shade in shades]
        broken = pool.submit(model.predict, fairlead.Image(b"\x89PNG no picture"))
        for call, answer in zip(calls, alone, strict=True):
            assert call.result()["probability"] == pytest.approx(answer["probability"], abs=1e-5)
        with pytest.raises(fairlead.Error, match="not a picture that can be read"):
            broken.result()

    http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed: make setup")
    files = np.array([picture(shade) for shade in shades], dtype=np.object_)
    tensor = http.InferInput("images", [len(files)], "BYTES").set_data_from_numpy(files)
    with http.InferenceServerClient(url.removeprefix("http://")) as triton:
        answer = triton.infer("pets", [tensor])
    assert [kind.decode() for kind in answer.as_numpy("kind")] == [one["kind"] for one in alone]
    assert answer.as_numpy("probability").tolist() == pytest.approx([one["probability"] for one in alone], abs=1e-5)
