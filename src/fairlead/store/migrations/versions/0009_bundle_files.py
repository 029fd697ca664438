"""larger files of bundles are known by content."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bundle_files",
        sa.Column("bundle", sa.Text(), sa.ForeignKey("bundles.digest"), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bundle", "path"),
    )
    op.create_index("bundle_files_sha256", "bundle_files", ["sha256"])


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
