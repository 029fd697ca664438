"""A compiled estimator answers like the one it was made from, or is not served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from fairlead.messages import ExampleSpec, ModelSpec
from fairlead.modelserver.compiling import Order, Verdict, judge
from fairlead.modelserver.loading import Loaded, load

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(200, 4)) * [1, 10, 100, 1000]
LATE = np.where(ROWS[:, 0] + ROWS[:, 1] / 10 + RNG.normal(size=200) > 0, "late", "on time")
FLIGHTS = pandas.DataFrame(
    {
        "carrier": RNG.choice(["AA", "DL", "UA"], 200),
        "month": RNG.integers(1, 13, 200),
        "miles": ROWS[:, 3],
        "hour": ROWS[:, 0],
    }
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[None]:
    """Loading a model moves into its folder."""
    before = os.getcwd()
    yield
    os.chdir(before)


def encoder() -> Any:
    filled = make_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer((OneHotEncoder(), ["carrier", "month"]), (filled, ["miles", "hour"]))


def compiled(folder: Path, estimator: Any, **more: Any) -> tuple[Verdict, ModelSpec]:
    joblib.dump(estimator, folder / "m.joblib")
    spec = ModelSpec(name="m", version="1", runtime="sklearn", artifact="m.joblib", compile=True, **more)
    out = folder / "out"
    out.mkdir()
    return judge(Order(str(folder), spec, str(out))), spec


def both(folder: Path, spec: ModelSpec) -> tuple[Loaded, Loaded]:
    return load(spec, folder), load(spec, folder, compiled=folder / "out")


@pytest.mark.parametrize(
    ("estimator", "body"),
    [
        (RandomForestClassifier(20, random_state=0).fit(ROWS, LATE), b'{"x": [0.1, 2, -30, 400]}'),
        (HistGradientBoostingRegressor(max_iter=5).fit(ROWS, ROWS[:, 0]), b'{"x": [0.1, 2, -30, 400]}'),
        (LinearRegression().fit(ROWS, ROWS[:, :2]), b'{"x": [0.1, 2, -30, 400]}'),
        (
            make_pipeline(encoder(), LogisticRegression()).fit(FLIGHTS, LATE),
            b'{"carrier": "UA", "month": 3, "miles": 700, "hour": 0.5}',
        ),
        (
            make_pipeline(StandardScaler(), LogisticRegression()).fit(FLIGHTS[["miles", "hour"]], LATE),
            b'{"miles": 700, "hour": 0.5}',
        ),
    ],
    ids=["forest", "boosting", "two numbers", "table", "table of numbers"],
)
def test_what_is_compiled_is_called_and_answers_the_same(estimator: Any, body: bytes, tmp_path: Path) -> None:
    verdict, spec = compiled(tmp_path, estimator)
    assert (verdict.ok, verdict.why) == (True, "")
    assert verdict.faster >= 1
    plain, program = both(tmp_path, spec)
    asked, answered = plain.endpoints["predict"], program.endpoints["predict"]
    assert answered.signature.schema() == asked.signature.schema()
    assert answered.signature.returns_schema() == asked.signature.returns_schema()
    (wanted,), (got,) = asked.run([asked.signature.decode(body)]), answered.run([answered.signature.decode(body)])
    if isinstance(wanted["prediction"], str):
        assert got["prediction"] == wanted["prediction"]
        assert got["probability"] == pytest.approx(wanted["probability"], abs=1e-5)
    else:
        assert got["prediction"] == pytest.approx(wanted["prediction"], rel=1e-3)
    plain.close()
    program.close()


def test_half_of_the_trees_for_each_is_decided_as_the_estimator_does(tmp_path: Path) -> None:
    forest = RandomForestClassifier(28, random_state=1).fit(ROWS, LATE)  # 28 times 1/28 is not 1 in float32
    verdict, spec = compiled(tmp_path, forest)
    assert verdict.ok, verdict.why
    asked = RNG.normal(size=(4000, 4)) * [1, 10, 100, 1000]
    tied = asked[np.isclose(forest.predict_proba(asked)[:, 0], 0.5)]
    assert len(tied) > 20
    _, program = both(tmp_path, spec)
    signature = program.endpoints["predict"].signature
    answers = program.endpoints["predict"].run([signature.check({"x": row.tolist()}) for row in tied])
    assert {answer["prediction"] for answer in answers} == {"late"}


def test_code_around_calls_the_compiled_one_by_row_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "around_compiled.py").write_text(
        "import fairlead, pandas\n"
        "class Around(fairlead.Model):\n"
        "    def predict(self, carrier: str, month: int, miles: float, hour: float) -> list[float]:\n"
        "        row = dict(carrier=carrier, month=month, miles=miles, hour=hour)\n"
        "        frame = self.artifact(pandas.DataFrame([row]))\n"
        "        named = self.artifact(**{name: [value] for name, value in row.items()})\n"
        "        assert frame['prediction'].tolist() == named['prediction'].tolist()\n"
        "        return frame['probability'][0].tolist() + named['probability'][0].tolist()\n"
    )
    row = {"carrier": "UA", "month": 3, "miles": 700.0, "hour": 0.5}
    verdict, spec = compiled(
        tmp_path,
        make_pipeline(encoder(), LogisticRegression()).fit(FLIGHTS, LATE),
        entry="around_compiled:Around",
        examples=(ExampleSpec("one", row),),
    )
    assert (verdict.ok, verdict.why) == (True, "")
    plain, program = both(tmp_path, spec)
    asked, answered = plain.endpoints["predict"], program.endpoints["predict"]
    (wanted,), (got,) = asked.run([asked.signature.check(row)]), answered.run([answered.signature.check(row)])
    assert got == pytest.approx(wanted, abs=1e-5)


def test_numbers_that_float32_cannot_hold_are_computed_in_float64(tmp_path: Path) -> None:
    moments = 1.7e9 + RNG.uniform(0, 100, size=(200, 1))  # seconds since 1970
    verdict, spec = compiled(tmp_path, LinearRegression().fit(moments, moments[:, 0] - 1.7e9))
    assert verdict.ok, verdict.why
    _, program = both(tmp_path, spec)
    signature = program.endpoints["predict"].signature
    (answer,) = program.endpoints["predict"].run([signature.check({"x": [1.7e9 + 33.5]})])
    assert answer["prediction"] == pytest.approx(33.5, rel=1e-3)


def hours_of(rows: Any) -> Any:
    return np.asarray(rows) % 24


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (make_pipeline(FunctionTransformer(hours_of), LogisticRegression()).fit(ROWS, LATE), "FunctionTransformer"),
        (RandomForestClassifier(3).fit(ROWS, np.column_stack([LATE, LATE])), "several outputs"),
    ],
    ids=["no converter", "several outputs"],
)
def test_what_cannot_be_compiled_says_why(estimator: Any, why: str, tmp_path: Path) -> None:
    verdict, _ = compiled(tmp_path, estimator)
    assert not verdict.ok
    assert why in verdict.why


def test_a_program_that_answers_otherwise_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairlead.modelserver import compiling

    other = LogisticRegression().fit(ROWS, LATE[::-1])
    right = compiling.convert
    with monkeypatch.context() as patch:
        patch.setattr(compiling, "convert", lambda _, inputs, **more: right(other, inputs, **more))
        verdict, _ = compiled(tmp_path, LogisticRegression().fit(ROWS, LATE))
    assert not verdict.ok
    assert verdict.why.startswith("compiled it answers otherwise: pr")
    assert verdict.rows == 256


def test_a_bundle_that_does_not_load_is_a_verdict(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    spec = ModelSpec(name="m", version="1", runtime="sklearn", artifact="nothing.joblib")
    verdict = judge(Order(str(tmp_path), spec, str(tmp_path / "out")))
    assert not verdict.ok
    assert "nothing.joblib" in verdict.why
