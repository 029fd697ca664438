"""What an estimator of a table answers can be written as JSON, whatever its classes are."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fairlead.modelserver.runtimes.tabular import Table


@pytest.mark.parametrize(
    ("classes", "keys"), [((False, True), ["false", "true"]), ((0, 1), ["0", "1"]), (("ham", "spam"), ["ham", "spam"])]
)
def test_probabilities_stand_under_the_names_of_classes(classes: tuple[bool | int | str, ...], keys: list[str]) -> None:
    outputs = {"prediction": np.asarray([classes[1]]), "probability": np.asarray([[0.25, 0.75]])}
    (answer,) = msgspec.json.decode(msgspec.json.encode(Table(classes=classes).answers(outputs, 1)))
    assert answer == {"prediction": classes[1], "probability": dict(zip(keys, [0.25, 0.75], strict=True))}
