"""A model that ends its replicas all the time, for as long as it may be tried at first. (Random kills: test_chaos.)"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.thread import load as loads
from tests.thread.load_deploy import FRAGILE
from tests.thread.rig import platform, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_a_crash_loop_is_contained_for_its_first_thirty_seconds() -> None:
    """Six starts at most, whoever calls how often; others do not notice."""
    with (
        platform() as made,
        tempfile.TemporaryDirectory(prefix="fl-die-") as folder,
        loads.under_load(made, Path(folder)) as load,
    ):
        _insist_on_a_loop(load)


def _insist_on_a_loop(load: loads.Load) -> None:
    made, began = load.platform, time.monotonic()
    before, over = loads.starts(made, FRAGILE), threading.Event()

    def insist() -> None:
        with made.client() as client:
            while not over.wait(0.05):
                answer: httpx.Response = client.post(f"/v1/models/{FRAGILE}/predict", json={"n": 1, "die": True})
                assert answer.status_code in (502, 503), answer.text

    callers = [threading.Thread(target=insist, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    until(lambda: time.monotonic() - began > 30, "thirty seconds are over", 40)
    count = loads.starts(made, FRAGILE) - before
    over.set()
    for caller in callers:
        caller.join(30)
    assert count <= 6
    assert not load.failed(began)
