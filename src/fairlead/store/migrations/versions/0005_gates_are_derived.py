"""gates are derived."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("model_versions", "gate")


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
