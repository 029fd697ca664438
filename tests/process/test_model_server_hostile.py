"""Whatever comes to a replica's socket: never a failure on our side, never an end, never memory without bound."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tests.process.test_model_server import GATE, Replica, spec_of

from fairlead.messages import BatchSpec
from fairlead.status import ReplicaStatus

pytest.importorskip("numpy")

LIMIT = 1_500_000
MORE_MB_MAX = 120
"""What a replica may hold more after all of it: allocators keep some of what large bodies took."""
CODE = """
from typing import Annotated, Any, Literal
import fairlead
import numpy as np

class Row(fairlead.Input):
    n: Annotated[int, fairlead.Field(ge=1, le=10)]
    x: Annotated[list[float], fairlead.Field(max_length=3)] = []
    word: str | None = None
    size: Literal["s", "l", 1] = "s"

class M(fairlead.Model):
    def predict_batch(self, rows: list[Row]) -> list[dict]:
        return [{"n": row.n, "x": row.x, "word": row.word} for row in rows]
    def anything(self, v: Any) -> Any:
        return v
    def tensor(self, x: Annotated[np.ndarray, fairlead.Tensor("int16", None, 2)]) -> list:
        return x
    def raw(self, file: fairlead.File, n: int = 0, tags: list[str] = []) -> dict:
        return {"len": len(file.read()), "type": file.media_type, "n": n, "tags": tags}
    def picture(self, image: fairlead.Image) -> str:
        return image.media_type
    def pieces(self, n: Annotated[int, fairlead.Field(ge=0, le=20)]):
        yield from range(n)
"""
TARGETS = [
    *(f"/v1/models/m/{entry}" for entry in ("predict", "anything", "tensor", "raw", "picture", "pieces", "nope")),
    "/v1/models/m:predict",
    "/v1/models/m@7/predict",
    "/v2/models/m/infer",
    "/v2/models/m/versions/7/infer",
    "/v1/models/other/predict",
]


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    spec = spec_of(batch=BatchSpec(max_size=8, max_bytes=LIMIT), timeout_s=20)
    made = Replica(CODE, spec, body_max_bytes=LIMIT)
    made.keeper.status(ReplicaStatus.READY)
    post(made, TARGETS[0], b"[" + b'{"n":1},' * 10_000 + b'{"n":1}]', {})
    before = memory_mb(made)
    yield made
    assert memory_mb(made) - before < MORE_MB_MAX
    made.end()


def memory_mb(replica: Replica) -> int:
    lines = Path(f"/proc/{replica.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def post(replica: Replica, target: str, body: bytes, headers: dict[str, str], method: str = "POST") -> httpx.Response:
    return replica.http.request(method, target, content=body, headers=headers)


def is_well(replica: Replica) -> None:
    """The replica lives, and gives each caller their own."""
    assert replica.process.poll() is None
    answer = post(replica, TARGETS[0], b'[{"n":1},{"n":2}]', {})
    assert (answer.status_code, [row["n"] for row in answer.json()]) == (200, [1, 2]), answer.text


def is_answered(answer: httpx.Response, target: str) -> None:
    """An answer, or a refusal in the shape of its protocol; never a failure on our side."""
    assert answer.status_code < 500, (answer.status_code, answer.text[:500])
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error if target.startswith("/v2/") else error["code"]
        assert error if target.startswith("/v2/") else error["message"]


values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
rows = some.fixed_dictionaries(
    {}, optional={"n": some.integers(0, 11) | values, "x": values, "word": values, "v": values, "file": values}
)
jsons = (rows | some.lists(rows, max_size=5) | values | rows.map(lambda row: {"instances": [row]})).map(
    lambda value: json.dumps(value).encode()
)
literals = some.sampled_from([b"NaN", b"-Infinity", b"1e999", b"\\ud800", b'"\\u0000"', b"9" * 5000, b"\xff", b"1E400"])
broken = some.builds(
    lambda text, odd, at: text[: at % (len(text) + 1)] + odd + text[at % (len(text) + 1) :],
    jsons,
    literals | some.binary(max_size=8),
    some.integers(0, 10_000),
)
forms = some.builds(
    lambda parts, end: b"".join(b"--B\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + end,
    some.lists(
        some.tuples(
            some.sampled_from(
                [
                    b'Content-Disposition: form-data; name="file"; filename="a"',
                    b'Content-Disposition: form-data; name="n"',
                    b'content-disposition: form-data; name="n"\r\ncontent-type: application/json',
                    b"X: y",
                ]
            )
            | some.binary(max_size=30),
            some.binary(max_size=20) | jsons,
        ),
        max_size=4,
    ),
    some.sampled_from([b"--B--\r\n", b"--B--", b"--B", b""]),
)
bodies = jsons | broken | forms | some.binary(max_size=200)
packed = some.one_of(
    bodies.map(lambda body: (body, {})),
    bodies.map(lambda body: (gzip.compress(body), {"content-encoding": "gzip"})),
    bodies.map(lambda body: (zlib.compress(body), {"content-encoding": "deflate"})),
    bodies.map(lambda body: (gzip.compress(body)[:-5], {"content-encoding": "gzip"})),
    some.tuples(
        bodies,
        some.sampled_from(["gzip", "br", "identity", "x" * 300]).map(lambda name: {"content-encoding": name}),
    ),
)
KINDS = ["", "application/json", "image/png", "text/plain", "application/x-www-form-urlencoded", "a/b;c=d"]
KINDS += ["multipart/form-data", "multipart/form-data; boundary=B", 'multipart/form-data; boundary="B"', "x" * 300, ";"]
ACCEPTS = ["*/*", "application/json", "image/*", "text/event-stream", ";q=x,,", ""]


@settings(max_examples=4 * settings.default.max_examples)
@given(
    some.sampled_from(TARGETS),
    packed,
    some.sampled_from(KINDS),
    some.sampled_from(ACCEPTS),
    some.sampled_from(["POST", "GET", "PUT", "HEAD", "DELETE"]) | some.just("POST"),
    some.sampled_from(["", "?n=3", "?n=%ff", "?n=1&n=2&tags=a", "?" + "a&" * 200, "?%", "?v=[1"]),
    some.sampled_from(["", "gzip", "deflate;q=0.1, *", ";;", "gzip;q=z"]),
    some.sampled_from(["", "wait=5", "wait=x", "wait=1e9", "respond-async, wait=7.5"]),
)
def test_no_request_is_a_failure_on_our_side(
    replica: Replica,
    target: str,
    sent: tuple[bytes, dict[str, str]],
    kind: str,
    accept: str,
    method: str,
    query: str,
    accepted: str,
    prefer: str,
) -> None:
    body, headers = sent
    more = {"content-type": kind, "accept": accept, "accept-encoding": accepted, "prefer": prefer}
    answer = post(
        replica, target + query, body, headers | {name: value for name, value in more.items() if value}, method
    )
    if method != "HEAD":
        is_answered(answer, target)
    is_well(replica)


sizes = some.integers(-2, 5) | some.sampled_from([2**31, 2**60, 2**63, 2**64, -(2**63), 10**30])
tensors = some.fixed_dictionaries(
    {
        "name": some.sampled_from(["n", "x", "word", "size", "odd"]) | values,
        "shape": some.lists(sizes, max_size=4) | values,
        "datatype": some.sampled_from(["INT64", "FP64", "FP16", "BYTES", "BOOL", "UINT8", "X"]) | values,
    },
    optional={
        "data": values | some.lists(some.integers() | some.floats(allow_nan=False, allow_infinity=False), max_size=5),
        "parameters": some.dictionaries(
            some.sampled_from(["binary_data_size", "binary_data", "classification", "shared_memory_region", "z"]),
            values | sizes,
            max_size=3,
        ),
    },
)
heads = some.fixed_dictionaries(
    {"inputs": some.lists(tensors, max_size=3) | values},
    optional={
        "id": values,
        "parameters": some.dictionaries(some.sampled_from(["timeout", "binary_data_output", "z"]), values | sizes),
        "outputs": some.lists(tensors, max_size=2) | values,
    },
)


@settings(max_examples=3 * settings.default.max_examples)
@given(
    heads, some.binary(max_size=60), some.sampled_from(["", "0", "5", "-1", "1e3", "99999999999", "²", "x", "right"])
)
def test_no_request_with_tensors_is_a_failure_on_our_side(
    replica: Replica, head: dict[str, Any], rest: bytes, length: str
) -> None:
    text = json.dumps(head).encode()
    length = str(len(text)) if length == "right" else length
    headers = {"inference-header-content-length": length.encode("utf-8")} if length else {}
    answer = post(replica, "/v2/models/m/infer", text + (rest if length else b""), headers)  # type: ignore[arg-type]
    assert answer.status_code in (200, 400, 413), answer.text[:500]
    is_well(replica)


@settings(max_examples=settings.default.max_examples // 2)
@given(some.integers(1, 3000) | some.just(250_000), some.sampled_from(TARGETS[:9]), some.booleans(), some.booleans())
def test_no_depth_is_a_failure_on_our_side(
    replica: Replica, depth: int, target: str, as_objects: bool, closed: bool
) -> None:
    opening, end = (b'{"a":', b"}") if as_objects else (b"[", b"]")
    nested = opening * depth + (b"1" + end * depth if closed else b"")
    for before, after in ((b"", b""), (b'{"v":', b"}"), (b'{"instances":', b"}"), (b'{"n":1,"x":', b"}")):
        body = before + nested + after
        is_answered(post(replica, target, body[:LIMIT], {}), target)
    is_well(replica)


def test_callers_who_leave_in_the_middle_of_their_body_leave_nothing(replica: Replica) -> None:
    for framing, part in (("content-length: 1000", b'{"n":'), ("content-length: 1400000", b'{"n":1,"x":[' * 1000)) * 20:
        _begin(replica, framing, part).close()
    for part in (b"zz\r\n", b"5\r\nabc", b"fffffffffffffffff\r\nabc", b"-1\r\n", b"5\r\n{}\r\n0\r\n", b"\0") * 5:
        _begin(replica, "transfer-encoding: chunked", part).close()
    is_well(replica)


def test_a_body_without_end_is_refused_and_takes_no_room(replica: Replica) -> None:
    """F-19 at the replica itself."""
    before, part = memory_mb(replica), b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with _begin(replica, "transfer-encoding: chunked", b"") as connection:
        sent = 0
        try:
            while sent < 512 * 1024**2:
                connection.sendall(part)
                sent += 65_536
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 512 * 1024**2, "nobody stopped it"
    assert memory_mb(replica) - before < MORE_MB_MAX
    is_well(replica)


def _begin(replica: Replica, framing: str, part: bytes) -> socket.socket:
    """Send the beginning of a request and return its connection."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(replica.fork.serve)
    head = f"POST /v1/models/m/predict HTTP/1.1\r\nhost: r\r\nx-fairlead-gate: {GATE}\r\n{framing}\r\n\r\n"
    connection.sendall(head.encode() + part)
    return connection
