"""The control API of a real platform, called by schemathesis as its OpenAPI allows, and as it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.thread.rig import Platform, platform

pytest.importorskip("schemathesis", reason="schemathesis is not installed: make setup")

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
ENDLESS = r"/(events|follow|live/devices)$"
OWN_WAY_IN = r"/login(/here)?$"
"""Ten wrong passwords lock the door, which is tested elsewhere."""
OWN_TOKEN = r"/tokens/\{token\}$"
"""Any unique beginning of an id will do: what is made up may revoke the very token that it is asked with."""
NOT_HERE = r"^/v[12]/models/\{(ref|name)\}(/\{entry\}|/versions/\{ref\})?(/jobs)?$"
"""What the front door answers itself where there is no such model."""
LAST = 2**63 - 1


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    """A platform with a place and two devices."""
    with platform() as made:
        made.ok("locations", "add", "house/hall", "--zone", "Europe/Berlin")
        for device, kind in (("t1", "temperature"), ("fan-1", "fan")):
            made.ok("devices", "add", device, "--type", kind, "--at", "house/hall")
        yield made


@pytest.mark.timeout(600)
def test_no_call_that_the_description_allows_or_forbids_fails_on_our_side(house: Platform, tmp_path: Path) -> None:
    with house.client() as client:
        (tmp_path / "openapi.json").write_bytes(client.get("/api/v1/openapi.json").content)
    command = [str(Path(sys.executable).parent / "st"), "run", "openapi.json", "--url", house.url]
    command += ["-H", f"Authorization: Bearer {house.token}", "--checks", ",".join(CHECKS), "--no-color"]
    command += ["--phases", "coverage,fuzzing", "--max-examples", "3", "--seed", "1", "--generation-database", "none"]
    command += ["--exclude-path-regex", f"{ENDLESS}|{OWN_WAY_IN}|{OWN_TOKEN}", "--suppress-health-check", "all"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


@pytest.mark.parametrize(
    "path",
    [
        f"mail/{LAST + 1}",
        f"audit?before={LAST + 1}",
        f"events?after={LAST + 1}",
        "devices/t1/history/temperature?since=0001-01-01T00:00:00%2B14:00",
        "devices/t1/history/temperature?until=9999-12-31T23:59:59-14:00",
        "devices/t1/history/temperature?until=2026-12-31T23:59:59",
    ],
)
def test_numbers_and_moments_beyond_what_is_kept_are_refused(house: Platform, path: str) -> None:
    with house.client() as client:
        answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] in ("invalid_input", "moment_invalid")


def test_a_method_that_is_not_there_is_told_which_are(house: Platform) -> None:
    with house.client() as client:
        answer = client.put("/api/v1/status")
    assert (answer.status_code, answer.headers.get("allow")) == (405, "GET")
