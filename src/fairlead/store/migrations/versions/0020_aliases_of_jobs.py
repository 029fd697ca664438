"""jobs: the alias by which they were addressed."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_WAITING = sa.text("status = 'queued' AND lease_until IS NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("alias", sa.Text(), nullable=False, server_default=""))
    op.drop_index("jobs_waiting", table_name="jobs")
    columns = ["model", "version", "priority", "due_at", "id", "alias"]
    op.create_index("jobs_waiting", "jobs", columns, sqlite_where=_WAITING, postgresql_where=_WAITING)


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
