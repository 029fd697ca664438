"""Puts inputs of jobs together that come in portions, and takes results apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fairlead.messages import PORTION_BYTES, JobDone, JobInput, JobPortion, JobStart


class Coming:
    """Orders of one connection whose input is on its way."""

    def __init__(self) -> None:
        self._orders: dict[str, tuple[JobStart, list[bytes]]] = {}

    def begin(self, order: JobStart) -> None:
        """Take an order whose input follows; it takes the place of an older one of the same job."""
        self._orders[order.job] = (order, [])

    def take(self, portion: JobInput) -> JobStart | None:
        """Take a portion; returns the whole order with the last one."""
        order, parts = self._orders.get(portion.job, (None, []))
        if order is None or order.epoch != portion.epoch:
            return None
        parts.append(portion.data)
        if not (portion.is_last or portion.is_broken):
            return None
        del self._orders[portion.job]
        return None if portion.is_broken else msgspec.structs.replace(order, body=b"".join(parts), is_portioned=False)

    def cancel(self, job: str) -> JobStart | None:
        """Forget an order; returns it if there was one."""
        order, _ = self._orders.pop(job, (None, []))
        return order


def told(done: JobDone) -> Iterator[JobPortion | JobDone]:
    """Yield what tells of ``done``: a long result in portions first."""
    size = len(done.body)
    if size <= PORTION_BYTES:
        yield done
        return
    for start in range(0, size, PORTION_BYTES):
        yield JobPortion(done.job, done.epoch, done.body[start : start + PORTION_BYTES], is_first=start == 0)
    yield msgspec.structs.replace(done, body=b"", size=size)
