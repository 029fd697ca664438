"""The simulated devices of this machine: where they sign in follows the platform, whoever set them up and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from fairlead.keeper.memory import replace_file
from fairlead.settings import Home
from fairlead.supervisor import adopt, forget, read_records

NAME = "simulator"
GRACE_S = 5.0


def config_of(home: Home) -> Path:
    """Return the file that says what is simulated; none is there unless somebody set it up."""
    return home.keeper / "simulator.json"


def redirect(config: Path, devices: str) -> bool:
    """Have the simulated devices sign in at ``devices`` (host:port); return whether that is another place."""
    try:
        told = msgspec.json.decode(config.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError):  # of one that is broken its program says what is wrong
        return False
    host, _, port = devices.rpartition(":")
    place = {"host": host.strip("[]"), "port": int(port)}
    if told | place == told:
        return False
    replace_file(config, msgspec.json.encode(told | place))
    return True


async def end_old(home: Home) -> None:
    """End the simulator that an earlier keeper left: it knows the place of then only."""
    for record in read_records(home.children):
        child = adopt(record) if record.name == NAME else None
        if child is not None:
            await child.stop(GRACE_S)
            child.close()
            forget(home.children, NAME)
