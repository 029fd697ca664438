"""jobs: what only matters once a job has ended costs nothing when it is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_ENDED = sa.text("finished_at IS NOT NULL")


def upgrade() -> None:
    for column in ("expires_at", "finished_at"):
        op.drop_index(f"jobs_{column}", table_name="jobs")
        op.create_index(f"jobs_{column}", "jobs", [column], sqlite_where=_ENDED, postgresql_where=_ENDED)


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
