"""Hands an order over to a replica: a long input goes from bucket to channel in portions, never whole in here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from fairlead import messages
from fairlead.buckets.port import Bucket
from fairlead.engines import ReplicaLink
from fairlead.errors import Error, Unavailable


async def hand_over(
    order: messages.JobOrder, bucket: Bucket, link: ReplicaLink, begun: Callable[[], None], is_over: Callable[[], bool]
) -> None:
    """Send the order and its input; ``begun`` is called before the first word, and nothing more is said once
    ``is_over``. Raises what the bucket and the link raise."""
    start = messages.JobStart(
        job=order.job,
        epoch=order.epoch,
        endpoint=order.endpoint,
        body=order.body,
        content_type=order.content_type,
        accept=order.accept,
        user=order.user,
        timeout_s=order.timeout_s,
        request=order.request,
        trace=order.trace,
        is_portioned=bool(order.input_key),
    )
    if not order.input_key:
        begun()
        await link.send(start)
        return
    portions = bucket.stream(order.input_key)
    first = await anext(portions, b"")  # an input that is gone is known before the replica hears anything
    begun()
    await link.send(start)
    try:
        await _send(order, first, portions, link, is_over)
    except Error:
        with suppress(Unavailable):
            await link.send(messages.JobInput(order.job, order.epoch, is_broken=True))
        raise


async def _send(
    order: messages.JobOrder,
    first: bytes,
    rest: AsyncIterator[bytes],
    link: ReplicaLink,
    is_over: Callable[[], bool],
) -> None:
    await link.send(messages.JobInput(order.job, order.epoch, first))
    async for data in rest:
        if is_over():
            await link.send(messages.JobInput(order.job, order.epoch, is_broken=True))
            return
        await link.send(messages.JobInput(order.job, order.epoch, data))
    await link.send(messages.JobInput(order.job, order.epoch, is_last=True))
