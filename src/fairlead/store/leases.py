"""Leases: who may do something alone. An epoch fences off a holder that was away for too long."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from fairlead.store.records import Lease


def take(session: Session, name: str, holder: str, for_s: float, now: datetime) -> Lease | None:
    """Return the lease ``name``, taken or prolonged for ``holder``; none while somebody else has it.

    Whoever takes it anew gets the next epoch; who prolongs it in time keeps theirs.
    """
    lease = session.get(Lease, name, with_for_update=True)
    until = now + timedelta(seconds=for_s)
    if lease is None:
        lease = Lease(name=name, holder=holder, epoch=1, until=until)
        session.add(lease)
    elif lease.until > now and lease.holder != holder:
        return None
    else:
        if lease.until <= now or lease.holder != holder:
            lease.epoch += 1
        lease.holder, lease.until = holder, until
    session.flush()
    return lease


def holds(session: Session, name: str, epoch: int, now: datetime) -> bool:
    """Whether ``epoch`` is the newest one of lease ``name`` and has not run out."""
    lease = session.get(Lease, name)
    return lease is not None and lease.epoch == epoch and lease.until > now


def release(session: Session, name: str, holder: str, now: datetime) -> None:
    """Give the lease back at once; nothing happens when ``holder`` does not have it."""
    lease = session.get(Lease, name, with_for_update=True)
    if lease is not None and lease.holder == holder:
        lease.until = min(lease.until, now)
