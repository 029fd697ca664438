"""Every job that was answered 202 is on disk: many submit at once, and control is killed in the middle of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from tests.thread import kit
from tests.thread.rig import platform, until

from fairlead.settings import Home

_WORK = """
import fairlead

class M(fairlead.Model):
    def predict(self, n: int) -> int:
        return n
"""
SUBMITTERS, FIRST, KILLS = 40, 300, 2
LATE_S = 90.0
CALL = "/v1/models/counts/jobs"


@pytest.mark.timeout(300)
def test_every_key_that_was_accepted_is_in_the_ledger_after_control_was_killed(tmp_path: Path) -> None:
    accepted: dict[str, str] = {}
    failed: list[str] = []
    over = threading.Event()
    with platform() as made:
        made.ok("push", str(kit.model(tmp_path / "counts", _WORK)))

        def submit(who: int) -> None:
            with made.client() as client:
                number = 0
                while not over.is_set():
                    number += 1
                    key = f"key-{who}-{number}"
                    try:
                        answer = client.post(CALL, json={"n": number}, headers={"Idempotency-Key": key})
                    except httpx.HTTPError:
                        continue
                    if answer.status_code == 202:
                        accepted[key] = answer.json()["id"]
                    elif answer.status_code != 503:
                        failed.append(answer.text)

        threads = [threading.Thread(target=submit, args=(who,)) for who in range(SUBMITTERS)]
        for thread in threads:
            thread.start()
        try:
            for kill in range(KILLS):
                until(lambda kill=kill: len(accepted) >= (kill + 1) * FIRST, "jobs are accepted", LATE_S, 0.001)
                killed = made.pids()["control"]
                os.kill(killed, signal.SIGKILL)
                until(lambda killed=killed: made.pids().get("control", killed) != killed, "it is started again", LATE_S)
            there = len(accepted)
            until(lambda: len(accepted) > there, "jobs are accepted again", LATE_S)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert failed == []

        with closing(sqlite3.connect(Home(made.home).database)) as ledger:
            rows = ledger.execute("SELECT idempotency_key, id FROM jobs").fetchall()
        kept = dict(rows)
        assert len(kept) == len(rows), "a key stands for one job"
        assert {key: job for key, job in accepted.items() if kept.get(key) != job} == {}
        last = sorted(accepted)[-20:]
        with made.client() as client:
            for key in last:
                number = int(key.rpartition("-")[2])
                again = client.post(CALL, json={"n": number}, headers={"Idempotency-Key": key})
                assert again.json()["id"] == accepted[key], "the same job again"
