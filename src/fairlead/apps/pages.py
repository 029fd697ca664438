"""Pages of runs, as those see them who may."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, may_see
from fairlead.apps import wanted
from fairlead.errors import NotFound
from fairlead.messages import PageRoute


def list_pages(session: Session, caller: Caller | None) -> Iterator[PageRoute]:
    """Yield the pages that answer now and that ``caller`` may see, each once, by the names of their schedules."""
    for page in wanted.pages(session):
        if page.name != page.run and may_see(caller, page.owner, page.visibility):
            yield page


def show_page(session: Session, caller: Caller | None, name: str) -> PageRoute:
    """Return the page whose address begins with ``name``, a schedule's or a run's, under the name that it is known by.

    Raises :class:`NotFound`, also for one that the caller may not see. Where two claim a name it is the first one's,
    as at the front door.
    """
    found = next((page for page in wanted.pages(session) if name in (page.name, page.run)), None)
    if found is None or not may_see(caller, found.owner, found.visibility):
        raise NotFound(
            "no run has this page, or none that you may see",
            code="no_such_page",
            hint="fairlead runs --live lists the pages that you may see",
        )
    return found
