"""LitServe with one API server and one worker: batches of what waits, 64 at most; images as base64 in JSON."""

import base64
import os
from typing import Any

import litserve as ls
import numpy as np
import onnxruntime as ort


class Floats(ls.LitAPI):
    def setup(self, device: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["BENCH_ONNX"], options)

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["x"]

    def batch(self, inputs: list[Any]) -> Any:
        return np.array(inputs, dtype=np.float32)

    def predict(self, x: Any) -> list[Any]:
        label, probability = self.session.run(None, {"x": x})
        return list(zip(label[:, 0].tolist(), probability[:, 0].tolist(), strict=True))

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"label": output[0], "probability": output[1]}


class Image(ls.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: dict[str, Any]) -> Any:
        return np.frombuffer(base64.b64decode(request["image"]), dtype=np.uint8).reshape(224, 224, 3)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, x: list[Any]) -> list[Any]:
        return [one[::16, ::16].mean(axis=(0, 1)).tolist() for one in x]

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"mean": output}


if __name__ == "__main__":
    api = (Floats if os.environ["BENCH_WORK"] == "floats" else Image)(max_batch_size=64, batch_timeout=0)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )
