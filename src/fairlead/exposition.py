"""The text format of Prometheus, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/.

Ours and no library's: figures come whole from other processes, and Triton's names lack the ``_total`` that a library
adds to each counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fairlead.figures import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line: the value of a family under these labels; ``suffix`` is that of a histogram's parts."""

    value: float
    labels: dict[str, str] = {}
    suffix: str = ""


class Family(msgspec.Struct, frozen=True, array_like=True):
    """All lines of one name."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    help: str
    samples: tuple[Sample, ...]


def counter(name: str, help: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "counter", help, tuple(samples))


def gauge(name: str, help: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "gauge", help, tuple(samples))


def histogram(
    name: str, help: str, bounds: Sequence[float], found: Iterable[tuple[Mapping[str, str], Histogram]]
) -> Family:
    """Return the family of histograms with these bounds, one for each set of labels."""
    samples: list[Sample] = []
    for labels, one in found:
        counts, below = one.counts or (0,) * (len(bounds) + 1), 0
        for bound, count in zip((*bounds, float("inf")), counts, strict=True):
            below += count
            samples.append(Sample(below, {**labels, "le": _number(bound)}, "_bucket"))
        samples += [Sample(one.total, dict(labels), "_sum"), Sample(below, dict(labels), "_count")]
    return Family(name, "histogram", help, tuple(samples))


def text(families: Iterable[Family]) -> str:
    """Return the families that have samples, in their order."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines += [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}"]
        for sample in family.samples:
            said = ",".join(f'{key}="{_escaped(value, quote=True)}"' for key, value in sample.labels.items())
            labels = f"{{{said}}}" if said else ""
            lines.append(f"{family.name}{sample.suffix}{labels} {_number(sample.value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 9))


def _escaped(value: str, *, quote: bool = False) -> str:
    value = value.replace("\\", "\\\\").replace("\n", "\\n")
    return value.replace('"', '\\"') if quote else value
