"""Callbacks: what is told of jobs that have ended, the secrets that sign it, and when it is tried again.

A delivery is a row, written in the transaction that ends the job: no restart loses it. One that was taken is not sent
again; one that was on its way when control ended is, under the same id.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import delete, func, literal_column, select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller
from fairlead.clock import to_text
from fairlead.errors import Invalid
from fairlead.identity.seal import Sealer
from fairlead.jobs import signing
from fairlead.jobs.addresses import Allowed, check, parse
from fairlead.status import DeliveryStatus
from fairlead.store.move import MOVED, move_to, note
from fairlead.store.records import CallbackSecret, Delivery, Event, Job

WAITS_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""After each try that failed; ten tries within some three days, as Standard Webhooks recommends."""
TRIES_MAX = len(WAITS_S) + 1
BOTH_S = 24 * 3600.0
"""So long a secret that was replaced signs beside its successor."""
PER_HOST = 4
"""Callbacks to one host that are under way at most: a slow one keeps no other waiting."""
_WAITING = Delivery.status == literal_column("'waiting'")
"""Literal: SQLite takes a partial index only where the statement itself holds its condition."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try went: ``status`` is 0 where nobody answered."""

    said: str
    status: int = 0
    final: bool = False
    """No other try would help."""
    after_s: float = 0.0
    """The receiver asked to wait for so long (``Retry-After``)."""

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300


def accept(session: Session, caller: Caller, url: str, allowed: Allowed) -> None:
    """Raise :class:`Invalid` unless ``url`` may be called back by what ``caller`` submits."""
    check(url, allowed)
    if session.get(CallbackSecret, caller.name) is None:
        raise Invalid(
            f"callback: {caller.name} has no secret to sign it with",
            code="callback_secret_missing",
            hint="make one, it is shown once: fairlead jobs secret",
        )


def new_secret(session: Session, caller: Caller, now: datetime, sealer: Sealer) -> str:
    """Return a new secret of the caller's; the one before signs beside it for a day."""
    secret = signing.new_secret()
    sealed = sealer.seal(secret, _sealed_as(caller.name))
    found = session.get(CallbackSecret, caller.name)
    if found is None:
        session.add(CallbackSecret(user=caller.name, sealed=sealed, set_at=now))
    else:
        found.former, found.former_until = found.sealed, now + timedelta(seconds=BOTH_S)
        found.sealed, found.set_at = sealed, now
    note(session, "user", caller.name, "a new secret signs the callbacks of jobs", now, by=caller.name)
    session.flush()
    return secret


def secrets_of(session: Session, user: str, now: datetime, sealer: Sealer) -> list[str]:
    """Return the secrets that sign for ``user`` now, the newest first; raises :class:`Internal` (``seal_broken``)."""
    found = session.get(CallbackSecret, user)
    if found is None:
        return []
    sealed = [found.sealed]
    if found.former is not None and found.former_until is not None and now < found.former_until:
        sealed.append(found.former)
    return [sealer.open(one, _sealed_as(user)) for one in sealed]


def put(session: Session, job: Job, now: datetime) -> None:
    """Have it told that ``job`` has ended; in the same transaction."""
    if job.callback_url is None:
        return
    base = f"/api/v1/jobs/{job.id}"
    error = job.error
    data = {
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "endpoint": job.endpoint,
        "status": job.status.value,
        "reason": job.reason or None,
        "attempts": job.attempts,
        "created_at": to_text(job.created_at),
        "finished_at": to_text(now),
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error is not None else None,
        "request_id": job.request or None,
        "links": {"self": base, "result": f"{base}/result"},
    }
    body = {"type": f"job.{job.status.value}", "timestamp": to_text(now), "data": data}
    _put(session, job.callback_url, job.created_by, body, now, job=job.id)


def put_of_model(session: Session, model: str, url: str, user: str, body: Mapping[str, object], now: datetime) -> None:
    """Have something told of a model, signed for ``user``; in the same transaction."""
    _put(session, url, user, body, now, model=model)


def _put(
    session: Session,
    url: str,
    user: str,
    body: Mapping[str, object],
    now: datetime,
    *,
    job: str = "",
    model: str = "",
) -> None:
    delivery = Delivery(
        id=ids.new("msg"),
        job=job,
        model=model,
        url=url,
        host=parse(url).host,
        user=user,
        body=msgspec.json.encode(body),
        due_at=now,
        created_at=now,
    )
    session.add(delivery)
    session.info.setdefault(MOVED, set()).add(("delivery", delivery.id))


def sent(body: bytes, url: str) -> bytes:
    """Return a body as it is sent: its links are whole, at ``url``, the front door."""
    told = msgspec.json.decode(body)
    links = told.get("data", {}).get("links")
    if not links:
        return body
    told["data"]["links"] = {name: f"{url}{path}" if path[:1] == "/" else path for name, path in links.items()}
    return msgspec.json.encode(told)


@dataclass(frozen=True, slots=True)
class Due:
    """What may be sent now, and when to look again."""

    deliveries: Sequence[Delivery]
    following: datetime | None


def due(session: Session, now: datetime, under_way: Mapping[str, Collection[str]], room: int) -> Due:
    """Return up to ``room`` deliveries that are due, of every host in turn; ``under_way``: ids that are, by host."""
    hosts = list(session.scalars(select(Delivery.host).where(_WAITING, Delivery.due_at <= now).distinct()))
    random.shuffle(hosts)
    found: list[Delivery] = []
    for host in hosts:
        busy = under_way.get(host, ())
        most = min(PER_HOST - len(busy), room - len(found))
        if most > 0:
            group = (_WAITING, Delivery.host == host, Delivery.due_at <= now, Delivery.id.not_in(busy))
            found += session.scalars(select(Delivery).where(*group).order_by(Delivery.due_at, Delivery.id).limit(most))
    following = session.scalar(select(func.min(Delivery.due_at)).where(_WAITING, Delivery.due_at > now))
    return Due(found, following)


def tried(session: Session, delivery_id: str, how: Tried, now: datetime, chance: float) -> Delivery | None:
    """Note a try; ``chance`` (0 to 1) spreads those that failed together. None: the delivery is gone or over."""
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.status is not DeliveryStatus.WAITING:
        return None
    delivery.attempts += 1
    delivery.answered = how.status
    if how.is_taken:
        move_to(session, delivery, DeliveryStatus.DELIVERED, how.said, now)
    elif how.final or delivery.attempts >= TRIES_MAX:
        move_to(session, delivery, DeliveryStatus.FAILED, how.said, now)
        kind, ref = ("job", delivery.job) if delivery.job else ("model", delivery.model)
        note(session, kind, ref, f"its callback failed for good: {how.said}", now)
    else:
        wait_s = max(how.after_s, WAITS_S[delivery.attempts - 1] * (0.75 + 0.5 * chance))
        delivery.due_at = now + timedelta(seconds=min(wait_s, WAITS_S[-1]))
        delivery.reason = how.said
    if delivery.status is not DeliveryStatus.WAITING:
        delivery.finished_at = now
    session.flush()
    return delivery


def of_job(session: Session, job: Job) -> list[Delivery]:
    """Return what was told, or is to be told, of a job, the first first."""
    return list(session.scalars(select(Delivery).where(Delivery.job == job.id).order_by(Delivery.id)))


def forget_told(session: Session, before: datetime) -> None:
    """Remove what was told of models long ago; what was told of a job goes with it."""
    old = select(Delivery.id).where(Delivery.job == "", Delivery.finished_at < before)
    ended = list(session.scalars(old))
    session.execute(delete(Event).where(Event.kind == "delivery", Event.ref.in_(ended)))
    session.execute(delete(Delivery).where(Delivery.id.in_(ended)))


def _sealed_as(user: str) -> str:
    return f"callback secret {user}"
