"""commands and runs: what is open, newest or long over is found without the past of a device; runs name no node."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _partial("commands_device_open", "commands", ["device"], "finished_at IS NULL")
    _partial("commands_finished_at", "commands", ["finished_at"], "finished_at IS NOT NULL")
    _partial("commands_origin", "commands", ["origin"], "origin IS NOT NULL")
    op.drop_index("commands_run", table_name="commands")
    op.create_index("commands_run_created_at", "commands", ["run", "created_at"])
    op.drop_index("runs_live", table_name="runs")
    _partial("runs_live", "runs", ["starts_at", "id"], "finished_at IS NULL")
    op.drop_index("runs_schedule", table_name="runs")
    _partial("runs_schedule_live", "runs", ["schedule"], "finished_at IS NULL")
    op.create_index("runs_starts_at", "runs", ["starts_at", "id"])
    op.create_index("runs_app_starts_at", "runs", ["app", "starts_at", "id"])
    op.drop_column("runs", "node")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
