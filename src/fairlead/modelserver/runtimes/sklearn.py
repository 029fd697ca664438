"""scikit-learn estimators and pipelines from joblib or pickle files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fairlead.errors import Invalid
from fairlead.modelserver.runtimes import pickles
from fairlead.modelserver.runtimes.tensors import row_type, split
from fairlead.sdk.inputs import Signature, signature_from
from fairlead.sdk.shapes import MISSING

_CLASSES_TOLD = 100
"""Of a classifier with more, only the type of its classes is told."""


class SklearnRuntime:
    """Serves one estimator: ``prediction``, and ``probability`` by class where it has ``predict_proba``.

    Fields are ``feature_names_in_`` where the estimator was fitted on a table, with an encoder's categories as
    choices; else one field ``x`` of numbers.
    """

    signature: Signature

    def __init__(self, artifact: str) -> None:
        self.warnings: Sequence[str] = ()
        self._artifact = artifact
        self._estimator: Any = None
        self._names: list[str] = []
        self._classes: list[Any] = []

    def load(self, folder: Path) -> None:
        self._estimator, self.warnings = pickles.opened(folder / self._artifact)
        if not hasattr(self._estimator, "predict"):
            raise Invalid(
                f"{self._artifact}: a {type(self._estimator).__name__} has no predict",
                code="artifact_invalid",
                hint="save the fitted estimator or pipeline itself",
            )
        self._names = [str(name) for name in getattr(self._estimator, "feature_names_in_", ())]
        if hasattr(self._estimator, "predict_proba"):
            self._classes = [_plain(one) for one in getattr(self._estimator, "classes_", ())]
        self.signature = self._describe()

    def _describe(self) -> Signature:
        if not self._names:
            count = getattr(self._estimator, "n_features_in_", None)
            return signature_from({"x": row_type("f", [count])}, returns=self._answers())
        choices = dict(_choices(self._estimator, self._names))
        fields: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for name in self._names:
            values, gaps = choices.get(name, ((), _allows_gaps(self._estimator)))
            kind: Any = Literal[tuple(values)] if values else float
            fields[name] = kind | None if gaps else kind
            defaults[name] = None if gaps else MISSING
        return signature_from(fields, defaults, returns=self._answers())

    def _answers(self) -> dict[str, Any] | None:
        """Return the fields of an answer, where the estimator tells: a classifier of one output does."""
        if not self._classes or not all(isinstance(one, str | int | bool) for one in self._classes):
            return None
        few = len(self._classes) <= _CLASSES_TOLD
        label: Any = Literal[tuple(self._classes)] if few else type(self._classes[0])
        return {"prediction": label, "probability": dict[str, float]}

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        take = self.signature.arguments
        rows = [take(row) for row in batch]
        outputs = self._outputs(self._table(rows) if self._names else _matrix([row[0] for row in rows]))
        answers = split(outputs, len(batch))
        if "probability" in outputs:
            for answer in answers:
                answer["probability"] = dict(zip(self._classes, answer["probability"], strict=True))
        return answers

    def call(self, *rows: Any, **named: Any) -> Mapping[str, Any]:
        if named:
            missing = [name for name in self._names if name not in named]
            if rows or missing or not self._names:
                raise TypeError(f"artifact takes rows, or columns named {', '.join(self._names) or 'nothing'}")
            return self._outputs(self._table(list(zip(*[named[name] for name in self._names], strict=True))))
        (given,) = rows
        as_it_is = not self._names or hasattr(given, "columns")
        return self._outputs(_matrix(given) if as_it_is and not hasattr(given, "columns") else given)

    def _outputs(self, table: Any) -> dict[str, Any]:
        if not self._classes:
            return {"prediction": self._estimator.predict(table)}
        import numpy as np

        probability = self._estimator.predict_proba(table)
        if isinstance(probability, list) or not _decides_by_most(self._estimator):
            return {"prediction": self._estimator.predict(table), "probability": probability}
        classes = np.asarray(self._estimator.classes_)
        return {"prediction": classes[probability.argmax(axis=1)], "probability": probability}

    def _table(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Return rows as the table that the estimator was fitted on: by name with pandas, by place without."""
        try:
            import pandas
        except ImportError:
            import numpy as np

            return np.asarray(rows, dtype=object)
        return pandas.DataFrame(rows, columns=self._names)

    def close(self) -> None:
        self._estimator = None


def _matrix(rows: Any) -> Any:
    import numpy as np

    return np.asarray(rows, dtype=float)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _last(estimator: Any) -> Any:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator


def _decides_by_most(estimator: Any) -> bool:
    """Whether ``predict`` is the class of the highest probability, so that one pass gives both.

    SVC, tuned thresholds and multi-output estimators decide in another way.
    """
    kinds = (
        "sklearn.linear_model",
        "sklearn.ensemble",
        "sklearn.tree",
        "sklearn.naive_bayes",
        "sklearn.neural_network",
    )
    last = _last(estimator)
    return type(last).__module__.startswith(kinds) and type(last).__name__ not in (
        "VotingClassifier",
        "StackingClassifier",
    )


def _allows_gaps(estimator: Any) -> bool:
    """Whether missing numbers are fine, as the estimator's tags say."""
    try:
        from sklearn.utils import get_tags

        return bool(get_tags(estimator).input_tags.allow_nan)
    except (ImportError, AttributeError, TypeError):
        return False


def _choices(estimator: Any, names: Sequence[str]) -> Iterator[tuple[str, tuple[list[Any], bool]]]:
    """Yield each column that an encoder or imputer works on: its categories (or none) and whether it may be missing."""
    for step in _steps(estimator):
        if not hasattr(step, "transformers_"):
            continue
        for _, transformer, columns in step.transformers_:
            yield from _of_columns(transformer, columns, names)


def _of_columns(transformer: Any, columns: Any, names: Sequence[str]) -> Iterator[tuple[str, tuple[list[Any], bool]]]:
    if isinstance(transformer, str) or not isinstance(columns, Sequence) or isinstance(columns, str):
        return
    parts = list(_steps(transformer))
    gaps = any(type(part).__name__.endswith("Imputer") for part in parts) or _allows_gaps(transformer)
    categories = next((part.categories_ for part in parts if hasattr(part, "categories_")), [()] * len(columns))
    for column, values in zip(columns, categories, strict=False):
        known = [_plain(value) for value in values]
        known = [value for value in known if isinstance(value, str | int | bool)]
        name = names[column] if isinstance(column, int) else str(column)
        yield name, (known, gaps if not known else gaps and len(known) < len(values))


def _steps(estimator: Any) -> Iterator[Any]:
    for _, step in getattr(estimator, "steps", ()):
        yield from _steps(step)
    yield estimator
