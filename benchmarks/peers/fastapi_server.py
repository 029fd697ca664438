"""FastAPI on uvicorn with uvloop and httptools, one process, access log off; it has no batching."""

import os

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

app = FastAPI()
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(os.environ["BENCH_ONNX"], options)


class Row(BaseModel):
    x: list[float] = Field(min_length=37, max_length=37)


class Answer(BaseModel):
    label: bool
    probability: float


@app.post("/floats")
async def floats(row: Row) -> Answer:
    label, probability = session.run(None, {"x": np.array([row.x], dtype=np.float32)})
    return Answer(label=bool(label[0, 0]), probability=float(probability[0, 0]))


@app.post("/image")
async def image(request: Request) -> dict[str, list[float]]:
    pixels = np.frombuffer(await request.body(), dtype=np.uint8).reshape(224, 224, 3)
    return {"mean": pixels[::16, ::16].mean(axis=(0, 1)).tolist()}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
        backlog=4096,
    )
