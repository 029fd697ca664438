"""What an app's README.md says is told as text."""

from __future__ import annotations

import io
import zipfile
from typing import Any

MANIFEST = 'kind = "app"\nname = "hall"\n[run]\nentry = "app:app"\n'


async def test_the_readme_of_the_version_that_runs_take_is_told(world: Any) -> None:
    paul, file = world.by("paul"), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("fairlead.toml", MANIFEST)
        archive.writestr("app.py", "import fairlead\n\napp = fairlead.App()\n")
        archive.writestr("README.md", b"# The hall\n<script>\xff")
    headers = {"Content-Type": "application/zip"}
    await world.ok(paul.post("/api/v1/bundles", content=file.getvalue(), headers=headers))

    async def ready() -> bool:
        return "production" in (await paul.get("/api/v1/apps/hall")).json()["aliases"]

    await world.until(ready)
    told = await world.ok(paul.get("/api/v1/apps/hall/readme"))
    assert told == {"version": "1", "text": "# The hall\n<script>\ufffd"}
    await world.smart()
    assert (await world.ok(paul.get("/api/v1/apps/smart/readme")))["text"] == ""
    world.refused(await paul.get("/api/v1/apps/none/readme"), 404, "app_not_found")
    assert (await world.by("").get("/api/v1/apps/hall/readme")).status_code == 401
