"""commands: the idempotency key that a person gave, and what was asked with it."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("commands", sa.Column("key", sa.Text(), nullable=True))
    op.add_column("commands", sa.Column("key_digest", sa.Text(), nullable=True))
    op.create_index("commands_user_key", "commands", ["user", "key"], unique=True)


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
