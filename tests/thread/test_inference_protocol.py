"""The Open Inference Protocol through the front door of a real platform: metadata of a model that sleeps, load, JSON
and binary tensors, and what is refused."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import textwrap
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.thread import kit
from tests.thread.rig import Platform, platform, until

CODE = """
from typing import Annotated
import fairlead

class Row(fairlead.Input):
    x: Annotated[list[float], fairlead.Field(min_length=2, max_length=2)]
    word: str = ""

class Answer(fairlead.Input):
    total: float
    said: str

class M(fairlead.Model):
    def predict(self, row: Row) -> Answer:
        return Answer(total=sum(row.x), said=row.word.upper())
"""
SLEEPY = "[scale]\nmin = 0\nidle_s = 1\n"
ROWS = {
    "id": "42",
    "inputs": [
        {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]},
        {"name": "word", "shape": [2], "datatype": "BYTES", "data": ["one", "two"]},
    ],
}


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    with platform() as made:
        yield made


@pytest.fixture(scope="module")
def adder(house: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that sleeps soon."""
    house.ok("push", str(kit.model(tmp_path_factory.mktemp("b") / "adder", CODE, SLEEPY)))
    return "adder"


def status(house: Platform) -> str:
    (version,) = house.get("/models/adder")["versions"]
    return str(version["status"])


def asleep(house: Platform) -> None:
    until(lambda: status(house) == "sleeping" and not house.get("/models/adder")["replicas"], "it sleeps")


def said(answer: httpx.Response, expected: int) -> str:
    assert (answer.status_code, list(answer.json())) == (expected, ["error"]), answer.text
    assert isinstance(answer.json()["error"], str), answer.text
    return str(answer.json()["error"])


def get(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


def test_a_model_that_sleeps_is_told_of_and_goes_on_sleeping(house: Platform, adder: str) -> None:
    asleep(house)
    with house.client() as client:
        for path in (
            "/v2",
            "/v2/",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/stats",
            "/v2/models/adder/stats",
        ):
            get(client, path)
        for version in ("", "/versions/1", "/versions/production"):
            told = get(client, f"/v2/models/adder{version}")
            assert (told["versions"], told["platform"]) == (["1"], "python")
            assert [(one["name"], one["datatype"], one["shape"]) for one in told["inputs"] + told["outputs"]] == [
                ("x", "FP64", [-1, 2]),
                ("word", "BYTES", [-1]),
                ("total", "FP64", [-1]),
                ("said", "BYTES", [-1]),
            ]
            assert get(client, f"/v2/models/adder{version}/ready") == {"name": "adder", "ready": True}
        index = client.post("/v2/repository/index").json()
    assert index == [{"name": "adder", "version": "1", "state": "READY", "reason": "it sleeps and wakes on a call"}]
    assert status(house) == "sleeping"
    assert house.get("/models/adder")["replicas"] == []


def test_load_wakes_it(house: Platform, adder: str) -> None:
    asleep(house)
    with house.client() as client:
        assert client.post("/v2/repository/models/adder/load").status_code == 200
    assert "1" in house.ok("status")


@pytest.fixture(scope="module")
def classes(house: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of probabilities that sleeps after an hour."""
    code = """
        import fairlead
        from typing import Annotated

        class M(fairlead.Model):
            def predict(self, x: Annotated[list[float], fairlead.Field(min_length=2, max_length=2)], word: str) -> dict:
                return {"p": {"rose": x[0], "tulip": x[1]}, "said": word.upper(), "long": list(range(1000))}
    """
    folder = tmp_path_factory.mktemp("b") / "classes"
    house.ok("push", str(kit.model(folder, textwrap.dedent(code), "[scale]\nmin = 0\nidle_s = 3600\n")))
    return "classes"


def test_a_client_that_others_wrote_finds_what_it_knows(house: Platform, classes: str) -> None:
    """tritonclient in its default mode: binary tensors both ways."""
    http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed: make setup")
    np = pytest.importorskip("numpy")
    x = np.array([[0.25, 0.75], [1, 0], [0.5, 0.5]], np.float32)
    words = np.array(["é", "", "a" * 3000], dtype=np.object_)
    inputs = [http.InferInput("x", [3, 2], "FP32"), http.InferInput("word", [3], "BYTES")]
    inputs[0].set_data_from_numpy(x)
    inputs[1].set_data_from_numpy(words)

    def told() -> dict[str, Any]:
        return {"headers": {"authorization": f"Bearer {house.token}"}}  # the client writes into what it is given

    with http.InferenceServerClient(house.url.removeprefix("http://")) as client:
        assert client.is_server_live(**told())
        assert client.is_server_ready(**told())
        assert {"binary_tensor_data", "classification"} <= set(client.get_server_metadata(**told())["extensions"])
        assert [one["name"] for one in client.get_model_metadata(classes, **told())["inputs"]] == ["x", "word"]
        for version in ("", "1"):
            assert client.is_model_ready(classes, version, **told())
            for packing in (None, "gzip", "deflate"):
                answer = client.infer(
                    classes,
                    inputs,
                    version,
                    request_id="7",
                    request_compression_algorithm=packing,
                    response_compression_algorithm=packing,
                    **told(),
                )
                assert np.array_equal(answer.as_numpy("p"), x)
                assert [one.decode() for one in answer.as_numpy("said")] == ["É", "", "A" * 3000]
                assert answer.as_numpy("long").shape == (3, 1000)
                assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("7", "1")
        wanted = [http.InferRequestedOutput("p", class_count=1), http.InferRequestedOutput("said", binary_data=False)]
        answer = client.infer(classes, inputs, outputs=wanted, **told())
        assert [one.decode() for one in answer.as_numpy("p").ravel()] == [
            "0.750000:1:tulip",
            "1.000000:0:rose",
            "0.500000:0:rose",
        ]
        with pytest.raises(Exception, match="no such model"):
            client.get_model_metadata("roses", **told())
        with pytest.raises(Exception, match="has shape"):
            client.infer(classes, [http.InferInput("x", [3], "FP32").set_data_from_numpy(x[:, 0].copy())], **told())

        def counted() -> int:
            (stats,) = client.get_inference_statistics(classes, **told())["model_stats"]
            return int(stats["inference_stats"]["success"]["count"])

        until(counted, "calls are counted")


def test_a_client_that_others_wrote_puts_a_model_to_sleep_and_wakes_it(house: Platform, classes: str) -> None:
    http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed: make setup")
    told = {"headers": {"authorization": f"Bearer {house.token}"}}

    def replicas() -> list[Any]:
        return list(house.get(f"/models/{classes}")["replicas"])

    with http.InferenceServerClient(house.url.removeprefix("http://")) as client:
        for _ in range(2):
            client.load_model(classes, **told)
            until(replicas, "it is awake")
            client.unload_model(classes, **told)
            until(lambda: not replicas(), "it sleeps")
        index = {one["name"]: one["state"] for one in client.get_model_repository_index(**told)}
        assert index[classes] == "READY"
        (version,) = house.get(f"/models/{classes}")["versions"]
        assert version["status"] == "sleeping"


TYPES = {
    "BOOL": "bool",
    **{f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}


@pytest.fixture(scope="module")
def types(house: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that gives back a tensor of every type, and texts."""
    taken = "".join(f"{one}: Annotated[np.ndarray, fairlead.Tensor('{one}', 2)], " for one in TYPES.values())
    code = f"""
        import fairlead
        import numpy as np
        from typing import Annotated

        class M(fairlead.Model):
            def predict(self, {taken}text: list[str]) -> dict:
                return {{{", ".join(f"'{one}': {one}" for one in TYPES.values())}, "text": text}}
    """
    folder = tmp_path_factory.mktemp("b") / "types"
    house.ok("push", str(kit.model(folder, textwrap.dedent(code), 'requires = ["numpy"]')))
    return "types"


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_every_type_goes_there_and_back(house: Platform, types: str, packing: str | None, binary: bool) -> None:
    http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed: make setup")
    np = pytest.importorskip("numpy")
    given = {"text": np.array([["é", ""], ["a b", "\U0001f33c" * 700]], dtype=np.object_)}
    inputs = [http.InferInput("text", [2, 2], "BYTES").set_data_from_numpy(given["text"], binary)]
    for datatype, dtype in TYPES.items():
        whole = dtype.lstrip("u").startswith("int")
        ends = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else (0, 1) if dtype == "bool" else (-0.5, 1024)
        given[dtype] = np.array([ends, ends[::-1]], dtype)
        in_json = not binary and datatype != "FP16"  # which the protocol has in binary only
        inputs.append(http.InferInput(dtype, [2, 2], datatype).set_data_from_numpy(given[dtype], not in_json))
    wanted = [http.InferRequestedOutput(one, binary_data=binary or one == "float16") for one in given]
    with http.InferenceServerClient(house.url.removeprefix("http://")) as client:
        answer = client.infer(
            types,
            inputs,
            outputs=wanted,
            headers={"authorization": f"Bearer {house.token}"},
            request_compression_algorithm=packing,
            response_compression_algorithm=packing,
        )
    told = {one["name"]: one["datatype"] for one in answer.get_response()["outputs"]}
    assert told == {"text": "BYTES"} | {dtype: datatype for datatype, dtype in TYPES.items()}
    for name, array in given.items():
        got = answer.as_numpy(name)
        assert (got.dtype, got.tolist()) == (
            array.dtype,
            [[said_as(one, binary) for one in row] for row in array.tolist()],
        )


def said_as(value: Any, binary: bool) -> Any:
    """Return a value as tritonclient gives it: texts of binary tensors are bytes."""
    return value.encode() if isinstance(value, str) and binary else value


def test_a_client_made_of_the_protocols_description_finds_what_it_knows(house: Platform, classes: str) -> None:
    made = pytest.importorskip("open_inference.openapi.client", reason="open-inference-openapi is missing: make setup")
    errors = pytest.importorskip("open_inference.openapi.errors")
    x = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[0.25, 0.75], [1, 0]]}
    word = {"name": "word", "shape": [2], "datatype": "BYTES", "data": ["é", "b"]}
    request = made.InferenceRequest(id="7", inputs=[x, word], outputs=[{"name": "p"}, {"name": "said"}])
    with house.client() as web, house.client(token="") as nobody:
        client = made.OpenInferenceClient(base_url=house.url, httpx_client=web)
        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_readiness(classes)
        client.check_model_version_readiness(classes, "1")
        assert {"binary_tensor_data"} <= set(client.read_server_metadata().extensions)
        for metadata in (client.read_model_metadata(classes), client.read_model_version_metadata(classes, "1")):
            assert [(one.name, one.datatype, one.shape) for one in metadata.inputs] == [
                ("x", "FP64", [-1, 2]),
                ("word", "BYTES", [-1]),
            ]
        for answer in (client.model_infer(classes, request=request),
                       client.model_version_infer(classes, "1", request=request)):  # fmt: skip
            assert (answer.model_name, answer.model_version, answer.id) == (classes, "1", "7")
            p, said_back = answer.outputs
            assert (p.name, p.shape, p.data.dict()["__root__"]) == ("p", [2, 2], [0.25, 0.75, 1.0, 0.0])
            assert said_back.data.dict()["__root__"] == ["É", "B"]
        with pytest.raises(errors.BadRequestError) as refused:
            client.model_infer(classes, request=made.InferenceRequest(inputs=[word]))
        assert "x" in refused.value.body["error"]
        with pytest.raises(errors.NotFoundError):
            client.check_model_readiness("roses")
        outside = made.OpenInferenceClient(base_url=house.url, httpx_client=nobody)
        outside.check_server_liveness()
        with pytest.raises(Exception, match="401"):
            outside.read_model_metadata(classes)


@pytest.mark.parametrize("path", ["/v2/models/adder/infer", "/v2/models/adder/versions/1/infer"])
def test_tensors_are_answered_in_json_and_wake_a_model_that_sleeps(house: Platform, adder: str, path: str) -> None:
    asleep(house)
    with house.client() as client:
        answer = client.post(path, json=ROWS)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model_name": "adder",
        "model_version": "1",
        "id": "42",
        "outputs": [
            {"name": "total", "datatype": "FP64", "shape": [2], "data": [3.0, 7.0]},
            {"name": "said", "datatype": "BYTES", "shape": [2], "data": ["ONE", "TWO"]},
        ],
    }


def test_binary_tensors_come_and_go_through_the_front_door(house: Platform, adder: str) -> None:
    raw = struct.pack("<2000f", *range(2000))
    given = {"name": "x", "shape": [1000, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [given], "outputs": [{"name": "total", "parameters": {"binary_data": True}}]}).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    with house.client() as client:
        answer = client.post("/v2/models/adder/infer", content=head + raw, headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    (total,) = json.loads(answer.content[:length])["outputs"]
    assert (total["datatype"], total["shape"], total["parameters"]) == ("FP64", [1000], {"binary_data_size": 8000})
    assert list(struct.unpack("<1000d", answer.content[length:])) == [4 * row + 1 for row in range(1000)]


def test_all_refusals_are_one_text_wherever_they_come_from(house: Platform, adder: str) -> None:
    with house.client() as client, house.client(token="") as nobody:
        assert "has shape [1]" in said(
            client.post(
                "/v2/models/adder/infer",
                json={"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]},
            ),
            400,
        )
        for path in ("/v2/models/roses", "/v2/models/roses/ready", "/v2/models/roses/versions/1"):
            assert "there is no such model" in said(client.get(path), 404)
        assert "there is no such model" in said(client.post("/v2/models/roses/infer", json=ROWS), 404)
        assert "no version 9" in said(client.post("/v2/models/adder/versions/9/infer", json=ROWS), 404)
        said(client.get("/v2/nothing"), 404)
        for path in ("/v2", "/v2/models/adder", "/v2/models/adder/infer"):
            assert "needs a token" in said(nobody.get(path), 401)
        for path in ("/v2/health/live", "/v2/health/ready"):
            get(nobody, path)


@pytest.fixture(scope="module")
def files(house: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of files."""
    code = """
        import fairlead

        class M(fairlead.Model):
            def predict(self, file: fairlead.File, n: int = 0, tags: list[str] = []) -> dict:
                return {"len": len(file.read()), "type": file.media_type, "n": n, "tags": tags, "long": "x" * 5000}
            def back(self, file: fairlead.File) -> fairlead.File:
                return file
    """
    house.ok("push", str(kit.model(tmp_path_factory.mktemp("b") / "files", textwrap.dedent(code))))
    with house.client() as client:
        until(lambda: client.post("/v1/models/files/predict").status_code == 422, "the front door knows it")
    return "files"


BYTES = b"{\x00\x89PNG\r\n"
FORM = {"n": "3", "tags": ["a", "é"]}


@pytest.mark.parametrize("way", ["predict", "jobs"])
@pytest.mark.parametrize(
    "call",
    [
        {"content": BYTES, "params": FORM, "headers": {"content-type": "image/png"}},
        {"content": gzip.compress(BYTES), "params": FORM}
        | {"headers": {"content-type": "image/png", "content-encoding": "gzip"}},
        {"files": {"file": ("a.png", BYTES, "image/png")}, "data": FORM},
        {"json": {"file": f"data:image/png;base64,{base64.b64encode(BYTES).decode()}", "n": 3, "tags": ["a", "é"]}},
    ],
    ids=["raw", "packed", "form", "json"],
)
def test_bodies_come_through_the_front_door_to_calls_and_jobs(
    house: Platform, files: str, way: str, call: dict[str, Any]
) -> None:
    headers = {"prefer": "wait=60"} | call.get("headers", {})
    with house.client() as client:
        answer = client.post(f"/v1/models/{files}/{way}", **(call | {"headers": headers}))
    assert answer.status_code == 200, answer.text
    told = {"len": len(BYTES), "type": "image/png", "n": 3, "tags": ["a", "é"]}
    assert {name: value for name, value in answer.json().items() if name != "long"} == told
    assert answer.headers.get("content-encoding") == ("gzip" if way == "predict" else None)


def test_files_and_refusals_go_back_through_the_front_door(house: Platform, files: str) -> None:
    with house.client() as client:
        answer = client.post(f"/v1/models/{files}/back", content=BYTES, headers={"content-type": "image/png"})
        assert (answer.headers["content-type"], answer.content) == ("image/png", BYTES)
        for way in ("predict", "jobs"):
            for encoding, status in (("gzip", 400), ("br", 415)):
                headers = {"content-encoding": encoding, "content-type": "image/png"}
                answer = client.post(f"/v1/models/{files}/{way}", content=b"\0", headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"][:9]) == (status, "encoding_"), answer.text
