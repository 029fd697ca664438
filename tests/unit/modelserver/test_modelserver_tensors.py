"""Rows to arrays: the quick way for floats makes what numpy makes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.modelserver.protocols.tensors import inputs_of
from fairlead.modelserver.runtimes.tensors import row_type, stack, stacker
from fairlead.sdk.inputs import signature_from
from fairlead.sdk.model import InvalidInput

DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@given(rows=st.lists(st.lists(st.floats() | st.integers(-(2**40), 2**40), min_size=3, max_size=3), min_size=1))
@pytest.mark.filterwarnings("ignore:overflow")
def test_floats_are_the_same_array(dtype: str, rows: list[list[float]]) -> None:
    made = stacker(dtype, [3])(rows)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, stack(rows, dtype))


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_number_too_large_for_the_type_is_infinite() -> None:
    assert math.isinf(stacker("float32", [1])([[1e39]])[0, 0])


@pytest.mark.parametrize("row", [[1.0, 2.0], ["a", "b", "c"], [1.0, [2.0], 3.0], [1.0, None, [2]]])
def test_what_does_not_fit_is_refused(row: list[Any]) -> None:
    with pytest.raises(InvalidInput):
        stacker("float32", [3])([[1.0, 2.0, 3.0], row])


def test_rows_that_are_arrays_or_have_other_shapes_go_by_numpy() -> None:
    assert stacker("float32", [3])([np.ones(3)]).tolist() == [[1.0, 1.0, 1.0]]
    assert stacker("float32", [None])([[1, 2]]).tolist() == [[1.0, 2.0]]
    assert stacker("int64", [2])([[1, 2]]).dtype == "int64"


def test_lists_of_floats_do_not_go_by_numpy() -> None:
    assert not stacker("float32", [2])([[1.0, 2], [3.0, 4.0]]).flags.owndata, "numpy's own conversion owns its data"


@pytest.mark.parametrize(
    ("kind", "number", "datatype"),
    [("f", "", "FP64"), ("f", "float", "FP32"), ("i", "", "INT64"), ("i", "int32", "INT32"), ("i", "uint8", "UINT8")],
)
def test_the_type_of_a_number_of_a_program_is_told_to_clients(kind: str, number: str, datatype: str) -> None:
    signature = signature_from({"x": row_type(kind, [4], number)})

    (told,) = inputs_of(signature.schema())

    assert (told.kind.datatype, told.kind.dims) == (datatype, (4,))
    assert signature.decode(b'{"x": [1, 2, 3, 4]}').p0 == [1, 2, 3, 4]
