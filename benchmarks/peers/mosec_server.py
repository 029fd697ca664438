"""Mosec with one worker: batches of 64, 1 ms at most (its own way to serve many callers)."""

import os
import sys
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from mosec import Server, Worker

sys.argv[1:] = ["--address", "127.0.0.1", "--port", os.environ["BENCH_PORT"], "--log-level", "error"]


class Floats(Worker):
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["BENCH_ONNX"], options)

    def deserialize(self, data: bytes) -> Any:
        return msgspec.json.decode(data)["x"]

    def serialize(self, data: Any) -> bytes:
        return msgspec.json.encode(data)

    def forward(self, data: list[Any]) -> list[Any]:
        label, probability = self.session.run(None, {"x": np.array(data, dtype=np.float32)})
        pairs = zip(label[:, 0].tolist(), probability[:, 0].tolist(), strict=True)
        return [{"label": one, "probability": other} for one, other in pairs]


class Image(Worker):
    def deserialize(self, data: bytes) -> bytes:
        return data

    def serialize(self, data: Any) -> bytes:
        return msgspec.json.encode(data)

    def forward(self, data: list[bytes]) -> list[Any]:
        return [{"mean": mean(one)} for one in data]


def mean(data: bytes) -> list[float]:
    pixels = np.frombuffer(data, dtype=np.uint8).reshape(224, 224, 3)
    return pixels[::16, ::16].mean(axis=(0, 1)).tolist()


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Floats if os.environ["BENCH_WORK"] == "floats" else Image, num=1, max_batch_size=64, max_wait_time=1
    )
    server.run()
