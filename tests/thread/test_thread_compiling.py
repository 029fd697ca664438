"""A scikit-learn model as a person pushes it: it answers as it is, then compiled, and no call tells the difference."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from tests.thread.kit import write
from tests.thread.rig import LATE_S, Platform, platform, until

pytestmark = pytest.mark.timeout(600)
MANIFEST = """
kind = "model"
name = "{name}"
[run]
artifact = "model.joblib"
requires = ["scikit-learn==1.7.2"]
{more}
[scale]
min = 1
[[examples]]
title = "one"
input = {{ x = [0.1, 2, -30, 400] }}
"""


def bundle(folder: Path, estimator: Any, more: str = "") -> Path:
    write(folder, {"fairlead.toml": MANIFEST.format(name=folder.name, more=more)})
    joblib.dump(estimator, folder / "model.joblib")
    return folder


def forest() -> RandomForestClassifier:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4)) * [1, 10, 100, 1000]
    return RandomForestClassifier(50, random_state=0).fit(rows, np.where(rows[:, 0] > 0, "late", "on time"))


def serving(house: Platform, name: str) -> str:
    return str(house.get(f"/models/{name}")["versions"][0]["serving"])


def test_a_model_is_compiled_while_it_answers_and_stays_so_after_a_restart(tmp_path: Path) -> None:
    answers: list[Any] = []
    failed: list[str] = []
    over = threading.Event()

    def call(house: Platform) -> None:
        with house.client() as client:
            while not over.is_set():
                answer = client.post("/v1/models/forest/predict", json={"x": [0.1, 2, -30, 400]})
                (answers.append(answer.json()) if answer.status_code == 200 else failed.append(answer.text))

    with platform() as house:
        house.ok("push", str(bundle(tmp_path / "forest", forest())))
        house.ok("push", str(bundle(tmp_path / "plain", forest(), "compile = false")))
        calling = threading.Thread(target=call, args=(house,))
        calling.start()
        try:
            until(lambda: serving(house, "forest").startswith("compiled (onnx)"), "it is compiled", 3 * LATE_S)
            seen = len(answers)
            until(lambda: len(answers) > seen + 20, "the compiled one answers")
        finally:
            over.set()
            calling.join()
        assert failed == []
        assert {answer["prediction"] for answer in answers} == {answers[0]["prediction"]}
        assert answers[-1]["probability"] == pytest.approx(answers[0]["probability"], abs=1e-5)
        assert all(one["compiled"] for one in house.get("/models/forest")["replicas"] if one["status"] == "ready")
        assert house.get("/models/forest/versions/1")["serving"] == serving(house, "forest")
        assert "serving 1: compiled (onnx)" in house.ok("models", "show", "forest")
        assert serving(house, "plain") == "as it is: compile = false in its manifest"

        house.down()
        house.up()
        until(lambda: house.get("/models/forest")["replicas"], "it runs again")
        assert all(one["compiled"] for one in house.get("/models/forest")["replicas"])
        until(lambda: serving(house, "forest").startswith("compiled (onnx)"), "it says so")
        assert house.ok("predict", "forest", "--json", '{"x": [0.1, 2, -30, 400]}')
