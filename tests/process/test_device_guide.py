"""The controller of docs/guide/devices.md, as it is printed there, on a real bus."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fairlead.bus.port import Said
from fairlead.testing.nats import nats_server

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "devices.md"
WAIT_S = 30


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.mark.skipif(shutil.which("jq") is None, reason="the guide's controller needs jq")
async def test_the_guides_controller_hears_before_it_says_online_and_publishes_no_null(tmp_path: Path) -> None:
    script = next(block for block in re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "say()" in block)
    heard: list[tuple[str, bytes]] = []
    async with nats_server(tmp_path / "bus", {"lab-fan": "secret-of-lab-fan"}) as rig:
        control = await rig.connect("control")

        async def hear(said: Sequence[Said]) -> None:
            heard.extend((tail, payload) for _, tail, payload in said)
            if ("status", b"online") in [one[1:] for one in said]:  # told at once, and only once
                await control.publish_device("lab-fan", "cmd", b'{"id":"cmd-1","set":{"speed":2}}')
                await control.publish_device("lab-fan", "cmd", b'{"id":"cmd-2","get":["on"]}')
                await control.publish_device("lab-fan", "cmd", b'{"id":"cmd-3","set":{"on":true}}')

        await control.subscribe_devices(hear)
        for program in ("mosquitto_pub", "mosquitto_sub"):  # the guide's port is the usual one
            file = tmp_path / ".config" / program
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"-p {rig.devices_port}\n")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path / ".config"),
            "FAN_PASSWORD": "secret-of-lab-fan",
        }
        controller = await asyncio.create_subprocess_exec("bash", "-c", script, env=environ, start_new_session=True)
        try:
            await until(lambda: ("state", b'{"on":true}') in heard)
        finally:
            os.killpg(controller.pid, signal.SIGTERM)
            await controller.wait()
            await control.close()
    assert [payload for tail, payload in heard if tail == "cmd/ack"] == [
        b'{"id":"cmd-1"}',
        b'{"id":"cmd-2"}',
        b'{"id":"cmd-3"}',
    ]
    assert [payload for tail, payload in heard if tail.startswith("state")] == [b'{"speed":2}', b'{"on":true}']
