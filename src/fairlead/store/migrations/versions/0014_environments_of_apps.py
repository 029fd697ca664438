"""environments_of_apps: what an app's environment is built from stands in its column, no longer in its manifest."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    update = sa.text("UPDATE app_versions SET environment = :environment WHERE app = :app AND version = :version")
    for app, version, manifest in connection.execute(sa.text("SELECT app, version, manifest FROM app_versions")).all():
        run = json.loads(manifest).get("run", {})
        environment = {"requires": run.get("requires", []), "python": run.get("python", "")}
        connection.execute(update, {"environment": json.dumps(environment), "app": app, "version": version})


def downgrade() -> None:
    raise NotImplementedError("a schema goes forward only: restore a backup")
