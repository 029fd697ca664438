"""commands that tell a claim again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("commands", sa.Column("origin", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
