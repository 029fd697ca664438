"""What each node shall do, from the records. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts import quotas
from fairlead.accounts.quotas import Defaults
from fairlead.apps import versions as app_versions
from fairlead.apps import wanted as apps
from fairlead.devices import simulations
from fairlead.identity.seal import Sealer
from fairlead.messages import NodeReport, NodeWanted, Simulated
from fairlead.models import wanted as models


def wanted_by_node(
    session: Session,
    reports: Sequence[NodeReport],
    denied: dict[str, float],
    now: datetime,
    sealer: Sealer,
    defaults: Defaults = Defaults(),
) -> list[NodeWanted]:
    """Return the wanted state of every node that was heard, without generations.

    All nodes hold all versions; with one node, which is all there is so far, runs are there too.
    """
    if not reports:
        return []
    rows = models.load(session)
    versions, routes = models.versions(rows, now, sealer), models.routes(rows)
    devices, simulated = simulations.access(session, sealer), simulations.wanted(session)
    spent = quotas.spent(session, defaults, now)
    prepared, runs, pages = app_versions.wanted(session), apps.runs(session), apps.pages(session)
    home = min(report.node for report in reports)
    return [
        NodeWanted(
            node=report.node,
            generation=0,
            versions=versions,
            apps=prepared,
            runs=runs if report.node == home else (),
            routes=routes,
            pages=pages,
            denied=denied,
            devices=devices,
            simulated=simulated if report.node == home else Simulated(),
            spent=spent,
        )
        for report in reports
    ]
