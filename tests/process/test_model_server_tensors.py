"""The Open Inference Protocol against a real replica: JSON and binary tensors both ways, batches, refusals."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest
from tests.process.test_model_server import Replica, spec_of, wait_for

from fairlead.messages import BatchSpec
from fairlead.status import ReplicaStatus

np = pytest.importorskip("numpy")

ROWS = """
import time
from typing import Annotated
import numpy as np
import fairlead

class Row(fairlead.Input):
    x: Annotated[list[float], fairlead.Field(min_length=3, max_length=3)]
    month: Annotated[int, fairlead.Field(ge=1, le=12)] = 1
    word: str = ""

class M(fairlead.Model):
    def predict_batch(self, rows: list[Row]) -> list[dict]:
        if any(row.month == 2 for row in rows): time.sleep(0.3)
        bad = [fairlead.InvalidInput("is seven", "month") if row.month == 7 else None for row in rows]
        return [wrong or {"sum": np.float32(sum(row.x)), "twice": [2 * one for one in row.x], "said": row.word.upper(),
                          "rows": len(rows)} for row, wrong in zip(rows, bad)]
"""
INFER = "/v2/models/m/infer"
X = np.arange(6, dtype="<f4").reshape(2, 3)


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    made = Replica(ROWS, spec_of(batch=BatchSpec(max_size=8, max_bytes=1_000_000), timeout_s=20))
    made.keeper.status(ReplicaStatus.READY)
    yield made
    made.end()


def tensor(name: str, datatype: str, array: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(array.shape), **more}


def binary(array: Any, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request with ``x`` as binary data."""
    raw = array.tobytes()
    given = tensor("x", "FP32", array, parameters={"binary_data_size": len(raw)})
    head = msgspec.json.encode({"inputs": [given], **more})
    return head + raw, {"inference-header-content-length": str(len(head))}


def arrays(response: httpx.Response) -> dict[str, Any]:
    """Return the outputs of a binary response as arrays."""
    length = int(response.headers["inference-header-content-length"])
    rest, found = response.content[length:], {}
    for one in msgspec.json.decode(response.content[:length])["outputs"]:
        size = one["parameters"]["binary_data_size"]
        raw, rest = rest[:size], rest[size:]
        dtype = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8", "BYTES": "S1"}[one["datatype"]]
        found[one["name"]] = np.frombuffer(raw, dtype).reshape(one["shape"]) if dtype != "S1" else raw
    assert rest == b""
    return found


def refused(response: httpx.Response, status: int) -> str:
    """Return what is said, after checking that it is said as the protocol says errors."""
    assert (response.status_code, list(response.json())) == (status, ["error"]), response.text
    return str(response.json()["error"])


@pytest.mark.parametrize("path", [INFER, "/v2/models/m/versions/7/infer", "/v2/models/m/versions/staging/infer"])
def test_json_tensors_are_answered_with_id_name_and_version(replica: Replica, path: str) -> None:
    body = {
        "id": "42",
        "parameters": {"mine": "yes"},
        "inputs": [
            tensor("x", "FP32", X, data=X.ravel().tolist()),
            tensor("word", "BYTES", np.zeros(2), data=["one", "two"]),
        ],
        "outputs": [{"name": "said"}, {"name": "sum"}],
    }
    response = replica.http.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["x-fairlead-version"] == "7"
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "model_name": "m",
        "model_version": "7",
        "id": "42",
        "outputs": [
            {"name": "said", "datatype": "BYTES", "shape": [2], "data": ["ONE", "TWO"]},
            {"name": "sum", "datatype": "FP32", "shape": [2], "data": [3.0, 12.0]},
        ],
    }


@pytest.mark.parametrize(("encoding", "pack"), [("", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_numpy_arrays_go_there_and_back_as_they_are(
    replica: Replica, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body, headers = binary(X, parameters={"binary_data_output": True})
    headers |= {"content-encoding": encoding} if encoding else {}
    response = replica.http.post(INFER, content=pack(body), headers=headers)
    assert response.headers["content-type"] == "application/octet-stream", response.text
    found = arrays(response)
    assert found["sum"].dtype == np.float32
    assert np.array_equal(found["sum"], X.sum(axis=1))
    assert np.array_equal(found["twice"], 2 * X)
    assert found["said"] == b"\0\0\0\0" * 2


def test_more_rows_than_a_batch_holds_are_answered_in_order(replica: Replica) -> None:
    many = np.arange(3 * 1000, dtype="<f4").reshape(1000, 3)
    body, headers = binary(many, parameters={"binary_data_output": True})
    found = arrays(replica.http.post(INFER, content=body, headers=headers))
    assert np.array_equal(found["twice"], 2 * many)
    assert found["rows"].max() == 8


def test_rows_of_tensors_share_a_batch_with_other_calls(replica: Replica) -> None:
    def slow(_: int) -> httpx.Response:
        return replica.call("predict", {"x": [1, 2, 3], "month": 2})

    def tensors(_: int) -> httpx.Response:
        body, headers = binary(X)
        return replica.http.post(INFER, content=body, headers=headers)

    def alone(_: int) -> httpx.Response:
        return replica.call("predict", {"x": [1, 2, 3]})

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(slow, 0)
        wait_for(lambda: replica.keeper.until(lambda beat: beat.in_flight == 1))
        waiting = [pool.submit(each, 0) for each in (tensors, alone, tensors)]
        shared = [one.result() for one in waiting]
    assert first.result().json()["rows"] == 1
    sizes = [one.json()["outputs"][-1]["data"] if "outputs" in one.json() else one.json()["rows"] for one in shared]
    assert sizes == [[5, 5], 5, [5, 5]]


def test_what_is_wrong_is_said_as_the_protocol_says_it(replica: Replica) -> None:
    post, good = replica.http.post, tensor("x", "FP32", X, data=X.tolist())
    assert "is no inference request" in refused(post(INFER, json={}), 400)
    assert "not JSON" in refused(post(INFER, content=b"{"), 400)
    assert "the model takes [-1, 3]" in refused(post(INFER, json={"inputs": [tensor("x", "FP32", X.T, data=[])]}), 400)
    month = tensor("month", "INT64", np.zeros(2), data=[1, 13])
    assert "[1].month: 13 is above 12" in refused(post(INFER, json={"inputs": [good, month]}), 400)
    month["data"] = [1, 7]
    assert "[1].month: is seven" in refused(post(INFER, json={"inputs": [good, month]}), 400)
    assert "no output other" in refused(post(INFER, json={"inputs": [good], "outputs": [{"name": "other"}]}), 400)
    bomb, headers = gzip.compress(b" " * 1_000_001), {"content-encoding": "gzip"}
    assert "unpacks to more" in refused(post(INFER, content=bomb, headers=headers), 413)
    assert "br is not understood" in refused(post(INFER, content=b"", headers={"content-encoding": "br"}), 415)
    assert "nothing is here" in refused(post("/v2/models/other/infer"), 404)
    assert "GET means nothing" in refused(replica.http.get(INFER), 405)
    late = {"inputs": [good, tensor("month", "INT64", np.zeros(2), data=[2, 2])], "parameters": {"timeout": 1000}}
    assert "no answer within" in refused(post(INFER, json=late), 504)
    assert "front door" in refused(post(INFER, json={}, headers={"x-fairlead-gate": "?"}), 403)


def test_a_bundle_without_numpy_takes_binary_tensors_too() -> None:
    code = """
    import sys
    sys.modules["numpy"] = None  # as where it is not installed: importing it fails

    def predict(x: list[float], n: int) -> dict:
        return {"sum": sum(x) + n, "numpy": sys.modules["numpy"] is not None}
    """
    made = Replica(code, spec_of(entry="served_model:predict"))
    try:
        made.keeper.status(ReplicaStatus.READY)
        counts = np.array([1, 2], dtype="<i4")
        given = [
            tensor("x", "FP16", X, parameters={"binary_data_size": 12}),
            tensor("n", "INT32", counts, parameters={"binary_data_size": 8}),
        ]
        head = msgspec.json.encode({"inputs": given, "outputs": [{"name": "sum", "parameters": {"binary_data": True}}]})
        body = head + X.astype("<f2").tobytes() + counts.tobytes()
        response = made.http.post(INFER, content=body, headers={"inference-header-content-length": str(len(head))})
        assert arrays(response)["sum"].tolist() == [4.0, 14.0], response.text
    finally:
        made.end()
