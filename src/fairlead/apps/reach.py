"""Which of the models that an app calls are not there for the person who has it run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Role
from fairlead.errors import NotFound, Unavailable
from fairlead.models import queries


def missing(session: Session, refs: Iterable[str], user: str) -> Iterator[str]:
    """Yield for each reference (``model@ref``) that ``user`` cannot call why not.

    A run calls models as the person who had it run, and may do nothing else: one that they may not see is not there
    for it. A model whose first version is still on its way is there.
    """
    caller = Caller(user, frozenset({Role.USER}))
    for ref in refs:
        name, _, wished = ref.partition("@")
        try:
            queries.resolve(session, caller, name, wished or queries.PRODUCTION)
        except NotFound as error:
            yield f"there is no model {ref}" if error.code == "no_such_model" else error.message
        except Unavailable:
            continue
