"""objectives: what was counted for them, alerts, and who is told; ended jobs are found by when they ended."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "slo_slices",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("sli", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("span_s", sa.Integer(), nullable=False),
        sa.Column("valid", sa.BigInteger(), nullable=False),
        sa.Column("bad", sa.BigInteger(), nullable=False),
        sa.Column("bad_slices", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", "sli", "at", "version", "source", name=op.f("slo_slices_pkey")),
    )
    op.create_table(
        "slo_marks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("slo_marks_pkey")),
    )
    op.create_table(
        "slo_alerts",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("sli", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calm_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("model", "sli", "name", name=op.f("slo_alerts_pkey")),
    )
    op.create_table(
        "slo_targets",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("mail", sa.Text(), nullable=False),
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("slo_targets_pkey")),
    )
    op.add_column("deliveries", sa.Column("model", sa.Text(), nullable=False, server_default=""))
    op.create_index("jobs_finished_at", "jobs", ["finished_at"])


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
