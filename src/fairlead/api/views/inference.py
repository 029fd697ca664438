"""Models as the Open Inference Protocol shows them, from what is stored: no model is woken for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.api.views.traffic import statistics, totals
from fairlead.clock import from_text
from fairlead.messages import ModelSpec, NodeReport
from fairlead.modelserver.protocols.tensors import inputs_of, outputs_of
from fairlead.status import VersionStatus
from fairlead.store.records import ModelVersion

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "parameters", "statistics")
CALLABLE = (VersionStatus.READY, VersionStatus.SLEEPING)
"""Statuses of versions that answer a call: one that sleeps wakes for it."""
_PLATFORMS = {"onnx": "onnx_onnxv1", "torch": "pytorch"}
_LOADING = (VersionStatus.BUILDING, VersionStatus.STARTING)


def metadata_view(spec: ModelSpec, signature: Mapping[str, Any], versions: Iterable[str]) -> dict[str, Any]:
    """Return a model's metadata; ``versions`` are those that may be called."""
    predict = signature["endpoints"]["predict"]
    examples = [one["input"] for one in signature.get("examples", ())]
    return {
        "name": spec.name,
        "versions": list(versions),
        "platform": _PLATFORMS.get(spec.runtime, spec.runtime),
        "inputs": [one.view() for one in inputs_of(predict["input"], examples)],
        "outputs": [one.view() for one in outputs_of(predict["output"])],
    }


def config_view(spec: ModelSpec, metadata: Mapping[str, Any], *, most: int) -> dict[str, Any]:
    """Return a model's configuration as Triton's clients ask for it, from its ``metadata``; ``most`` rows a batch.

    Format: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto, as JSON.
    """
    return {
        "name": spec.name,
        "platform": metadata["platform"],
        "backend": spec.runtime,
        "max_batch_size": most,
        "input": [_configured(one) for one in metadata["inputs"]],
        "output": [_configured(one) for one in metadata["outputs"]],
        "model_transaction_policy": {"decoupled": False},
    }


def _configured(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input or output without its batch axis; numbers are called ``TYPE_FP32``, texts ``TYPE_STRING``."""
    named = "STRING" if one["datatype"] == "BYTES" else one["datatype"]
    optional = {"optional": True} if one.get("parameters", {}).get("optional") else {}
    return {"name": one["name"], "data_type": f"TYPE_{named}", "dims": one["shape"][1:] or [1]} | optional


def stats_view(versions: Iterable[ModelVersion], reports: Iterable[NodeReport]) -> dict[str, Any]:
    """Return what was counted of the versions since the keepers began."""
    reports = list(reports)
    return {"model_stats": [_stats(version, reports) for version in versions]}


def _stats(version: ModelVersion, reports: list[NodeReport]) -> dict[str, Any]:
    key = (version.model, version.version)
    called = [
        from_text(one.last_called)
        for report in reports
        for one in report.versions
        if (one.model, one.version) == key and one.last_called is not None
    ]
    last = max([*called, *([version.last_called_at] if version.last_called_at else [])], default=None)
    return {
        "name": version.model,
        "version": version.version,
        "last_inference": int(last.timestamp() * 1000) if last else 0,
        **statistics(totals(version.model, version.version, reports)),
    }


def index_view(version: ModelVersion, *, named: bool) -> dict[str, str]:
    """Return a version's line of the index; ``named``: an alias leads to it."""
    state, reason = "UNAVAILABLE", version.reason
    if version.status in _LOADING:
        state = "LOADING"
    elif version.status in CALLABLE:
        state = "READY" if named else state
        reason = "it sleeps and wakes on a call" if version.status is VersionStatus.SLEEPING else ""
        reason = reason if named else "no alias names it"
    return {"name": version.model, "version": version.version, "state": state, "reason": reason}
