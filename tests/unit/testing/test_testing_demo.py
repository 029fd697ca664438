"""The example smart-home on a stage: the fan follows each reading, the log has what changes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import fairlead
from fairlead.testing.stage import Stage

APP = Path(str(fairlead.__file__)).parents[2] / "examples" / "smart-home"


async def test_the_log_of_the_demo_has_what_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Stage(APP) as stage:
        stage.model("comfort", lambda body: {"hot": body["temperature"] > body["comfort_c"], "why": "so"})
        for value in (24.0, 24.1, 27.0, 27.5, 25.0):
            await stage.device("thermometer").report(temperature=value)
        said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("fan ")]
        assert [line.split()[1] for line in said] == ["off:", "on:", "off:"]
        assert len(stage.device("fan").commands) == 5
