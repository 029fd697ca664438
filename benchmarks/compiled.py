"""What compiling brings: scikit-learn models as they are beside the same compiled to ONNX, in one process.

Asked as the model server asks them (a decoded row in, an answer out), one row at a time and 64 at once; rounds take
turns, medians count. It says too how long compiling and comparing took, and for how many rows both were compared.

    python benchmarks/compiled.py [--seconds 1] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from measure import machine
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlead.messages import ModelSpec
from fairlead.modelserver.compiling import Order, judge
from fairlead.modelserver.loading import load

FEATURES = 20
BATCH = 64
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def models() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return estimators fitted on the same noisy rows, each with a body."""
    import pandas

    chance = np.random.default_rng(0)
    rows = chance.normal(size=(2000, FEATURES))
    late = (rows[:, 0] + rows[:, 1] * rows[:, 2] + chance.normal(size=len(rows)) > 0).astype(int)
    table = pandas.DataFrame(rows[:, :4], columns=["miles", "hour", "crowd", "wind"])
    table["carrier"] = chance.choice(["AA", "DL", "UA", "WN"], len(rows))
    encode = make_column_transformer((OneHotEncoder(), ["carrier"]), (StandardScaler(), list(table.columns[:4])))
    body = {"x": rows[0].tolist()}
    named = {name: (value.item() if hasattr(value, "item") else value) for name, value in table.iloc[0].items()}
    return {
        "random forest, 100 trees": (RandomForestClassifier(100, random_state=0).fit(rows, late), body),
        "gradient boosting, 100 trees": (GradientBoostingClassifier(random_state=0).fit(rows, late), body),
        "histogram boosting, 100 trees": (HistGradientBoostingClassifier(random_state=0).fit(rows, late), body),
        "logistic regression": (LogisticRegression().fit(rows, late), body),
        "table, one-hot, logistic regression": (make_pipeline(encode, LogisticRegression()).fit(table, late), named),
    }


def calls(ask: Callable[[], Any], seconds: float) -> float:
    """Return how long a call takes, in seconds: the mean over ``seconds``."""
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds or not count:
        ask()
        count += 1
    return spent / count


def compare(estimator: Any, body: dict[str, Any], seconds: float, rounds: int) -> list[str]:
    """Return the cells of one model's line."""
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(estimator, Path(folder) / "model.joblib")
        out = Path(folder) / "out"
        out.mkdir()
        spec = ModelSpec(name="m", version="1", runtime="sklearn", artifact="model.joblib")
        began = time.perf_counter()
        verdict = judge(Order(folder, spec, str(out)))
        took = time.perf_counter() - began
        if not verdict.ok:
            return [verdict.why, *[""] * 6]
        sides = [load(spec, Path(folder)), load(spec, Path(folder), compiled=out)]
        cells = []
        for size in (1, BATCH):
            samples: list[list[float]] = [[], []]
            for _ in range(rounds):
                for side, sample in zip(sides, samples, strict=True):
                    endpoint = side.endpoints["predict"]
                    batch = [endpoint.signature.check(body)] * size
                    sample.append(calls(lambda endpoint=endpoint, batch=batch: endpoint.run(batch), seconds))  # type: ignore[misc]
            plain, compiled = (statistics.median(sample) * 1e3 for sample in samples)
            cells += [f"{plain:.3f}", f"{compiled:.3f}", f"{plain / compiled:.0f}"]
        os.chdir("/")
        return [*cells, f"{took:.1f} s, {verdict.rows} rows"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # as replicas have it; it is read when numpy is imported
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **dict.fromkeys(THREADS, "1")})
    print(machine().replace("shared with wrk", "one thread"))
    print(f"| model | one row, ms | compiled | times | {BATCH} rows, ms | compiled | times | compiling |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (estimator, body) in models().items():
        print(f"| {name} | {' | '.join(compare(estimator, body, given.seconds, given.rounds))} |", flush=True)


if __name__ == "__main__":
    main()
