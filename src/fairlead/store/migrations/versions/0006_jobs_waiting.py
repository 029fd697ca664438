"""jobs: what waits and what is ordered."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES = {
    "jobs_waiting": (["model", "version", "priority", "due_at", "id"], "status = 'queued' AND lease_until IS NULL"),
    "jobs_ordered": (["model", "version", "node", "id", "epoch"], "lease_until IS NOT NULL"),
    "jobs_deadline": (["deadline_at"], "status = 'queued' AND deadline_at IS NOT NULL"),
}


def upgrade() -> None:
    op.drop_index("jobs_queued", table_name="jobs")
    for name, (columns, where) in _INDEXES.items():
        op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
