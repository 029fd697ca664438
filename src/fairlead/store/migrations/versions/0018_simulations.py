"""simulations: places whose devices have a simulated body. device_types: which are deprecated."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "simulations",
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("speed", sa.Double(), nullable=False),
        sa.Column("faults", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["at"], ["locations.path"], name=op.f("simulations_at_fkey")),
        sa.PrimaryKeyConstraint("at", name=op.f("simulations_pkey")),
    )
    op.add_column("device_types", sa.Column("deprecated", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
