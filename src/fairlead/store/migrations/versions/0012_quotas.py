"""quotas: calls a day of people and tokens, bytes of bundles that people store."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("calls_per_day", sa.BigInteger(), nullable=True))
    op.add_column("users", sa.Column("stored_mb", sa.BigInteger(), nullable=True))
    op.add_column("tokens", sa.Column("calls_per_day", sa.BigInteger(), nullable=True))
    op.create_table(
        "usage",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "kind", "name", name=op.f("usage_pkey")),
    )
    op.create_table(
        "call_marks",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "source", "token", name=op.f("call_marks_pkey")),
    )
    op.create_table(
        "stored_bundles",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("stored_bundles_user_fkey")),
        sa.PrimaryKeyConstraint("user", "digest", "name", name=op.f("stored_bundles_pkey")),
    )
    # what was pushed before counts as large as its archive: how much it is unpacked is not written down
    op.execute(
        'INSERT INTO stored_bundles ("user", digest, name, size_bytes) '
        "SELECT DISTINCT v.created_by, v.digest, v.model, b.size_bytes FROM model_versions v "
        "JOIN models t ON t.name = v.model AND t.removed_at IS NULL "
        "JOIN bundles b ON b.digest = v.digest JOIN users u ON u.name = v.created_by"
    )
    op.execute(
        'INSERT INTO stored_bundles ("user", digest, name, size_bytes) '
        "SELECT DISTINCT v.created_by, v.digest, v.app, b.size_bytes FROM app_versions v "
        "JOIN apps t ON t.name = v.app AND t.removed_at IS NULL "
        "JOIN bundles b ON b.digest = v.digest JOIN users u ON u.name = v.created_by"
    )


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
