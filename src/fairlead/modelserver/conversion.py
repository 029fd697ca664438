"""Does the conversion of an estimator to ONNX by skl2onnx, and mends what that leaves wrong."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from fairlead.modelserver.runtimes.sklearn import last_of

_ML_OPSET = 3
"""Of ``ai.onnx.ml``: the newest that all of skl2onnx's converters of trees know."""
_TRACKS = "nodes_missing_value_tracks_true"
_TENSORS = {
    "float32": "FloatTensorType",
    "float64": "DoubleTensorType",
    "int64": "Int64TensorType",
    "bool": "BooleanTensorType",
    "object": "StringTensorType",
}
"""skl2onnx's types of inputs by numpy's."""


def convert(estimator: Any, inputs: Sequence[tuple[str, str, int]], *, tells_probability: bool) -> bytes:
    """Return the ONNX program of ``estimator``; each input has a name, numpy's type and a width.

    Raises whatever skl2onnx does for what it cannot convert.
    """
    from skl2onnx import __max_supported_opset__, to_onnx
    from skl2onnx.common import data_types

    types = [(name, getattr(data_types, _TENSORS[kind])([None, width])) for name, kind, width in inputs]
    with warnings.catch_warnings(), _plain_attributes():
        warnings.simplefilter("ignore")
        made = to_onnx(
            estimator,
            initial_types=types,
            options={"zipmap": False} if tells_probability else None,
            target_opset={"": __max_supported_opset__, "ai.onnx.ml": _ML_OPSET},
        )
    _lead_missing(made, last_of(estimator))
    converted: bytes = made.SerializeToString()
    return converted


@contextlib.contextmanager
def _plain_attributes() -> Iterator[None]:
    """Have booleans and numbers of numpy in lists be plain ones: skl2onnx 1.20 writes them, protobuf 6 refuses them."""
    from onnx import helper

    make = helper.make_attribute

    def plain(key: str, value: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(value, list):
            value = [one.item() if hasattr(one, "item") else one for one in value]
            value = [int(one) if isinstance(one, bool) else one for one in value]
        return make(key, value, *rest, **more)

    helper.make_attribute = plain
    try:
        yield
    finally:
        helper.make_attribute = make


def _lead_missing(made: Any, estimator: Any) -> None:
    """Have each node of a tree lead missing numbers to the side that the estimator does; skl2onnx writes 'right'."""
    nodes = [node for node in made.graph.node if node.op_type.startswith("TreeEnsemble")]
    each = getattr(estimator, "estimators_", [estimator])
    trees = [getattr(one, "tree_", None) for one in each]
    if len(nodes) != 1 or not all(hasattr(tree, "missing_go_to_left") for tree in trees):
        return
    found = {attribute.name: attribute for attribute in nodes[0].attribute}
    if not {_TRACKS, "nodes_treeids", "nodes_nodeids"} <= found.keys():
        return
    left = [tree.missing_go_to_left.tolist() for tree in trees if tree is not None]
    places = list(zip(found["nodes_treeids"].ints, found["nodes_nodeids"].ints, strict=True))
    if all(tree < len(left) and node < len(left[tree]) for tree, node in places):
        found[_TRACKS].ints[:] = [left[tree][node] for tree, node in places]
