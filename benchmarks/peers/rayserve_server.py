"""Ray Serve with one replica behind its own proxy; batches of at most 64 that wait 1 ms, access log off."""

import asyncio
import os
import signal
from typing import Any

import numpy as np
import onnxruntime as ort
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=1000, logging_config=LoggingConfig(enable_access_log=False))
class Bench:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["BENCH_ONNX"], options)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001)
    async def together(self, rows: list[list[float]]) -> list[dict[str, Any]]:
        label, probability = self.session.run(None, {"x": np.array(rows, dtype=np.float32)})
        return [
            {"label": label, "probability": chance}
            for label, chance in zip(label[:, 0].tolist(), probability[:, 0].tolist(), strict=True)
        ]

    async def __call__(self, request: Request) -> dict[str, Any]:
        return await self.together((await request.json())["x"])


async def main() -> None:
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["BENCH_PORT"])})
    serve.run(Bench.bind(), route_prefix="/floats")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
