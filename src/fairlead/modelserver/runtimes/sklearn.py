"""scikit-learn estimators and pipelines from joblib or pickle files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import Invalid
from fairlead.modelserver.runtimes import pickles
from fairlead.modelserver.runtimes.tabular import Column, Table, matrix
from fairlead.sdk.inputs import Signature


class SklearnRuntime:
    """Serves one estimator: ``prediction``, and ``probability`` by class where it has ``predict_proba``.

    Fields are ``feature_names_in_`` where the estimator was fitted on a table, with an encoder's categories as
    choices; else one field ``x`` of numbers.
    """

    signature: Signature
    table: Table
    """What is known of its rows and classes after :meth:`load`."""

    def __init__(self, artifact: str) -> None:
        self.warnings: Sequence[str] = ()
        self.estimator: Any = None
        self._artifact = artifact

    def load(self, folder: Path) -> None:
        self.estimator, self.warnings = pickles.opened(folder / self._artifact)
        if not hasattr(self.estimator, "predict"):
            raise Invalid(
                f"{self._artifact}: a {type(self.estimator).__name__} has no predict",
                code="artifact_invalid",
                hint="save the fitted estimator or pipeline itself",
            )
        self.table = _table_of(self.estimator)
        self.signature = self.table.signature()

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        return self.table.answers(self.outputs(self.table.rows_of(self.signature, batch)), len(batch))

    def outputs(self, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return prediction, and probability by class, of rows in the order of the table's columns."""
        return self._outputs(self._frame(rows) if self.table.columns else matrix(rows))

    def call(self, *rows: Any, **named: Any) -> Mapping[str, Any]:
        if named:
            columns = self.table.by_place(rows, named)
            return self._outputs(self._frame(list(zip(*columns, strict=True))))
        (given,) = rows
        as_it_is = bool(self.table.columns) or hasattr(given, "columns")
        return self._outputs(given if as_it_is else matrix(given))

    def _outputs(self, table: Any) -> dict[str, Any]:
        if not self.table.classes:
            return {"prediction": self.estimator.predict(table)}
        import numpy as np

        probability = self.estimator.predict_proba(table)
        if isinstance(probability, list) or not decides_by_most(self.estimator):
            return {"prediction": self.estimator.predict(table), "probability": probability}
        classes = np.asarray(self.estimator.classes_)
        return {"prediction": classes[probability.argmax(axis=1)], "probability": probability}

    def _frame(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Return rows as the table that the estimator was fitted on: by name with pandas, by place without."""
        try:
            import pandas
        except ImportError:
            import numpy as np

            return np.asarray(rows, dtype=object)
        return pandas.DataFrame(rows, columns=self.table.names)

    def close(self) -> None:
        self.estimator = None


def _table_of(estimator: Any) -> Table:
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    known = dict(_choices(estimator, names))
    gaps = _allows_gaps(estimator)
    columns = []
    for name in names:
        values, missing = known.get(name, ((), gaps))
        columns.append(Column(name, tuple(values), missing))
    classes: Sequence[Any] = ()
    if hasattr(estimator, "predict_proba") and not isinstance(getattr(estimator, "classes_", None), list):
        classes = [_plain(one) for one in getattr(estimator, "classes_", ())]  # a list: of several outputs at once
    return Table(tuple(columns), getattr(estimator, "n_features_in_", None), tuple(classes), gaps)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def last_of(estimator: Any) -> Any:
    """Return what decides in the end: the last step of a pipeline."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator


def decides_by_most(estimator: Any) -> bool:
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
    last = last_of(estimator)
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


def takes_by_name(estimator: Any) -> bool:
    """Whether it picks columns by their names, so that it must be given each by its own."""
    return any(hasattr(step, "transformers_") for step in _steps(estimator))


def ranges(estimator: Any, table: Table) -> dict[int, tuple[float, float]]:
    """Return the range of numbers that a column had in training, by its place, where a scaler or trees tell it."""
    places = {name: place for place, name in enumerate(table.names)}
    found: dict[int, tuple[float, float]] = {}
    first = next(iter(_steps(estimator)))
    for step in _steps(estimator):
        for _, transformer, columns in getattr(step, "transformers_", ()):
            if not isinstance(transformer, str) and isinstance(columns, Sequence) and not isinstance(columns, str):
                own = [places[column] if column in places else int(column) for column in columns]
                found |= {own[place]: bounds for place, bounds in _told(transformer).items() if place < len(own)}
    return found | (_told(first) if not takes_by_name(estimator) else {})


def _told(estimator: Any) -> dict[int, tuple[float, float]]:
    """Return the range of each of the columns of ``estimator`` itself, as its scaler or its trees tell."""
    for part in _steps(estimator):
        if getattr(part, "mean_", None) is not None and getattr(part, "scale_", None) is not None:
            both = zip(part.mean_, part.scale_, strict=True)
            return {
                place: (float(mean - 3 * scale), float(mean + 3 * scale)) for place, (mean, scale) in enumerate(both)
            }
        if hasattr(part, "data_min_"):
            ends = zip(part.data_min_, part.data_max_, strict=True)
            return {place: (float(low), float(high)) for place, (low, high) in enumerate(ends)}
        found = _split_at(part)
        if found:
            return found
    return {}


def has_trees(estimator: Any) -> bool:
    """Whether it is one tree, or an ensemble of trees, which make float32 of what they are given."""
    return any(hasattr(one, "tree_") for one in _members(estimator))


def _members(part: Any) -> list[Any]:
    """Return the estimators that an ensemble is made of, or the one itself."""
    import numpy as np

    each = getattr(part, "estimators_", None)
    return [part] if each is None else list(np.asarray(each, dtype=object).ravel())


def _split_at(part: Any) -> dict[int, tuple[float, float]]:
    """Return the lowest and highest threshold of each feature in the trees of ``part``."""
    at: dict[int, list[float]] = {}
    for tree in (one.tree_ for one in _members(part) if hasattr(one, "tree_")):
        for feature, threshold in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True):
            if feature >= 0:
                at.setdefault(feature, []).append(threshold)
    return {feature: (min(values), max(values)) for feature, values in at.items()}
