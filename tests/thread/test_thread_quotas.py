"""Quotas as people meet them: calls through the front door, jobs, bundles; and what is shown of them."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from tests.thread.kit import model
from tests.thread.rig import LATE_S, platform, until

from fairlead.errors import SPREAD_MAX_S

pytestmark = pytest.mark.timeout(300)
CODE = """
import fairlead


class M(fairlead.Model):
    def predict(self, n: int) -> dict:
        return {"n": n}
"""
MOST = 20
DAY_LEFT_S = 150.0
"""Longer than the test takes."""


@pytest.mark.timeout(480)
def test_a_person_calls_as_often_as_their_quota_says_and_a_token_too(tmp_path: Path) -> None:
    folder = model(tmp_path / "mood", CODE, examples="[scale]\nmin = 1\n")
    # what is counted is of one UTC day
    until(lambda: 86_400 - time.time() % 86_400 > DAY_LEFT_S, "a day that does not end meanwhile", DAY_LEFT_S + LATE_S)
    with platform() as house:
        house.ok("push", str(folder))
        for wrong in ("0", "-1", "many", "9" * 30):
            assert house.cli("users", "set", "admin", "--calls-per-day", wrong).returncode == 5
        assert house.cli("users", "set", "nobody", "--calls-per-day", "5").returncode == 3
        house.ok("users", "set", "admin", "--calls-per-day", str(MOST))
        small = house.view("tokens", "new", "ci", "--calls-per-day", "3")["token"]
        assert house.cli("tokens", "new", "more", "--calls-per-day", str(MOST + 1)).returncode == 4

        def calls(client: httpx.Client, most: int) -> int:
            """Call until it is refused, and return how many were answered: some more, as long as the report takes."""
            answered = 0
            while (answer := client.post("/v1/models/mood/predict", json={"n": 1})).status_code == 200:
                answered += 1
                if answered >= most:  # as many as may be: now the report must come
                    return answered + until_refused(client)
            assert answer.status_code == 429, answer.text
            return answered

        def until_refused(client: httpx.Client) -> int:
            more = 0

            def refused() -> bool:
                nonlocal more
                answer = client.post("/v1/models/mood/predict", json={"n": 1})
                more += answer.status_code == 200
                return answer.status_code == 429

            until(refused, "the quota is used up", LATE_S, 0.2)
            return more

        with house.client(small) as client:
            by_small = calls(client, 3)
        assert by_small >= 3
        with house.client() as client:
            invalid = client.post("/v1/models/mood/predict", json={"n": "x"})
            assert invalid.status_code == 422, "it is not counted"
            by_own = calls(client, max(0, MOST - by_small))
            refused = client.post("/v1/models/mood/predict", json={"n": 1})
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (429, "quota_exceeded")
            assert 0 < int(refused.headers["retry-after"]) <= 86_400 + SPREAD_MAX_S
            job = client.post("/v1/models/mood/jobs", json={"n": 1})
            assert (job.status_code, job.json()["error"]["code"]) == (429, "quota_exceeded")
            assert int(job.headers["retry-after"]) > 0
            me = client.get("/api/v1/me")
            assert me.status_code == 200, "the control API stays usable"
        until(lambda: house.view("whoami")["used"]["calls_today"] == by_small + by_own, "each call is counted once")
        assert f"of {MOST}" in house.ok("whoami")
        assert [one["calls_today"] for one in house.view("tokens")["items"] if one["label"] == "ci"] == [by_small]
        with house.client() as client:
            figures = client.get("/metrics").text
        assert f'fairlead_user_calls_today{{user="admin"}} {by_small + by_own}' in figures

        house.ok("users", "set", "admin", "--calls-per-day", "none")
        with house.client() as client:
            opens = lambda: client.post("/v1/models/mood/predict", json={"n": 1}).status_code == 200  # noqa: E731
            until(opens, "it opens again")
            until(lambda: client.post("/v1/models/mood/jobs", json={"n": 1}).status_code == 202, "jobs too")


def test_a_person_keeps_as_many_bytes_as_their_quota_says(tmp_path: Path) -> None:
    small, large = model(tmp_path / "small", CODE), model(tmp_path / "large", CODE)
    (large / "weights.bin").write_bytes(bytes(range(256)) * 8192)  # 2 MiB
    with platform() as house:
        house.ok("users", "set", "admin", "--stored-mb", "1")
        refused = house.cli("push", str(large))
        assert refused.returncode == 5
        assert "2.0 MB" in refused.stderr
        assert "storage_exceeded" in refused.stderr
        house.ok("push", str(small))
        house.ok("push", str(small))
        house.ok("users", "set", "admin", "--stored-mb", "3")
        house.ok("push", str(large))
        assert "of 3 MB" in house.ok("whoami")
        house.ok("users", "set", "admin", "--stored-mb", "1")
        house.ok("push", str(large))  # what is there already needs no room
        other = model(tmp_path / "other", CODE)
        (other / "note.txt").write_text("another")
        assert house.cli("push", str(other)).returncode == 5
        house.ok("models", "rm", "large", "--yes")
        house.ok("push", str(other))
