"""Logs of what did not load are its owner's, whether a model or an app."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import APP, MODEL


@pytest.mark.parametrize(("text", "by"), [(MODEL, "ada"), (APP, "paul")])
async def test_what_a_look_into_a_bundle_said_is_in_its_log(world: Any, text: str, by: str) -> None:
    answer = await world.push(by, name="echo", text=text)
    digest = answer.json()["digest"].rpartition(":")[2]
    line = '{"at": "2026-11-20T12:00:00Z", "level": "error", "said": "it did not load", "traceback": "here\\nthere"}\n'
    (world.house.home.logs / f"echo-{digest[:8]}.look.log").write_text(line)

    (told,) = (await world.by(by).get("/api/v1/logs?of=echo&level=error")).json()["items"]

    assert told["source"] == "echo@1"
    assert told["said"].splitlines() == ["it did not load", "here", "there"]
    assert (await world.by("zoe").get("/api/v1/logs?of=echo")).status_code in (403, 404)


async def test_a_mistyped_name_is_asked_back_but_for_what_is_not_seen(world: Any) -> None:
    await world.push("ada", name="slowy", text=MODEL + '[access]\nvisibility = "private"\n')
    ada, ben = world.by("ada"), world.by("ben")
    for path, code in (("logs", "log_not_found"), ("why", "not_found")):
        refused = world.refused(await ada.get(f"/api/v1/{path}", params={"of": "sloowy@1"}), 404, code)
        assert refused["hint"].startswith("did you mean slowy@1? a model, ")
        hidden = world.refused(await ben.get(f"/api/v1/{path}", params={"of": "sloowy"}), 404, code)
        assert "did you mean" not in hidden["hint"]
