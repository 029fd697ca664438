"""BentoML with one worker, metrics and access log off, batching off: with it, this model is slower there."""

import os
import sys

import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Bench:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["BENCH_ONNX"], options)

    @bentoml.api(route="/floats")
    async def floats(self, x: list[float]) -> dict[str, float]:
        label, probability = self.session.run(None, {"x": np.array([x], dtype=np.float32)})
        return {"label": bool(label[0, 0]), "probability": float(probability[0, 0])}


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    serve = ["serve", "bentoml_server:Bench", "--host", "127.0.0.1", "--port", os.environ["BENCH_PORT"]]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *serve])
