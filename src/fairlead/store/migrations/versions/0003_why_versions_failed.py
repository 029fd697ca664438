"""why versions failed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("model_versions", "app_versions"):
        op.add_column(table, sa.Column("error", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
