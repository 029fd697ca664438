"""A replica's channel."""

from __future__ import annotations

from fairlead.figures import Figures
from fairlead.messages.parts import ErrorInfo, Evidence, Metered
from fairlead.messages.wire import Message
from fairlead.status import ReplicaStatus


class Beat(Message, frozen=True):
    """Replica to keeper, every second and on change, from a thread that the model cannot block."""

    status: ReplicaStatus
    reason: str = ""
    in_flight: int = 0
    queued: int = 0
    served: int = 0
    failed: int = 0
    stuck_s: float = 0
    """Seconds without progress while calls are in flight."""
    error: ErrorInfo | None = None
    """Why it did not start."""
    last_lines: tuple[str, ...] = ()
    """Where: the end of the traceback."""
    figures: Figures | None = None
    """What was counted since the replica began."""
    metered: Metered | None = None
    """Calls of today and of the day before, by token: all in the first beat on a channel, then what changed."""
    evidence: Evidence | None = None
    """How the examples went, once they were tried: in the first beat on a channel, and when it is new."""


class JobStart(Message, frozen=True):
    job: str
    epoch: int
    endpoint: str
    body: bytes
    content_type: str
    accept: str
    user: str
    timeout_s: float
    request: str = ""
    trace: str = ""
    is_portioned: bool = False
    """``body`` follows as :class:`JobInput`."""


class JobInput(Message, frozen=True):
    """The next portion of a job's input, in order."""

    job: str
    epoch: int
    data: bytes = b""
    is_last: bool = False
    is_broken: bool = False
    """No more of it comes: forget the order."""


class JobCancel(Message, frozen=True):
    job: str


class JobHeard(Message, frozen=True):
    """Control knows how this attempt ended: the replica need not keep the end for a keeper that comes later."""

    job: str
    epoch: int


class JobProgress(Message, frozen=True):
    job: str
    epoch: int
    step: int
    total: int | None = None
    note: str = ""


class JobPartial(Message, frozen=True):
    """Pieces of a job's answer, as its generator yields them: for those who follow; the result has them all."""

    job: str
    epoch: int
    first: int
    """Number of the first of ``pieces``, counted from 0."""
    pieces: tuple[bytes, ...]
    """JSON each."""


class JobHeld(Message, frozen=True):
    """The replica works on this job: told to each keeper that dials, so that a new one carries it on."""

    job: str
    epoch: int
    left_s: float
    """Of its time."""


class JobPortion(Message, frozen=True):
    """The next portion of a job's result, in order; :class:`JobDone` follows the last."""

    job: str
    epoch: int
    data: bytes
    is_first: bool = False
    """What came before of the same result was cut off, and counts no more."""


class JobDone(Message, frozen=True):
    job: str
    epoch: int
    body: bytes = b""
    content_type: str = "application/json"
    error: ErrorInfo | None = None
    size: int = 0
    """Bytes of the portions that came before, which are the result in the place of ``body``; 0: there were none."""


class Drain(Message, frozen=True):
    """Refuse new calls, finish those in flight within ``grace_s``, then exit 0."""

    grace_s: float = 30


class Abandon(Message, frozen=True):
    """Answer the calls in hand with ``error`` and exit; jobs are left as they are: they are tried again."""

    error: ErrorInfo


FromReplica = Beat | JobProgress | JobPartial | JobPortion | JobDone | JobHeld
ToReplica = JobStart | JobInput | JobCancel | JobHeard | Drain | Abandon
