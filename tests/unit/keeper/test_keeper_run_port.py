"""The port of a run's page: whose the socket is that listens there decides."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fairlead.keeper.running import page_port as run_port
from fairlead.keeper.running.health import look_at_port
from fairlead.keeper.running.processes import RunProcesses
from fairlead.keeper.running.state import Kept, RunPorts, RunState
from fairlead.settings import Home
from fairlead.status import RunStatus
from fairlead.testing.wanted import run_wanted

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: {at}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  {uid}        0 55555 1\n"
WANTED = run_wanted(processes={"web": ("serve",)})


def test_the_kernels_table_tells_who_listens(tmp_path: Path) -> None:
    (tmp_path / "tcp").write_text(
        HEAD
        + LINE.format(at="0100007F", port=8000, state="0A", uid=1001)
        + LINE.format(at="00000000", port=8000, state="0A", uid=1002)
        + LINE.format(at="0100007F", port=8000, state="01", uid=1003)
        + LINE.format(at="0200007F", port=8000, state="0A", uid=1004)
        + LINE.format(at="0100007F", port=8001, state="0A", uid=1005)
    )
    (tmp_path / "tcp6").write_text(HEAD + LINE.format(at="0" * 32, port=8000, state="0A", uid=1006))

    assert run_port.listeners(8000, tmp_path) == {1001, 1002, 1006}
    assert run_port.listeners(9, tmp_path) == set()


def test_a_real_socket_is_its_users() -> None:
    port = run_port.free()
    assert run_port.listeners(port) == set()
    with socket.create_server(("127.0.0.1", port)):
        assert run_port.listeners(port) == {os.getuid()}


@pytest.mark.parametrize("is_own", [True, False])
async def test_the_front_door_hears_of_a_page_only_where_the_run_itself_listens(tmp_path: Path, is_own: bool) -> None:
    told: list[bool] = []
    ports = cast(RunPorts, SimpleNamespace(home=Home(tmp_path), changed=lambda: told.append(True)))
    killed: list[str] = []
    processes = cast(RunProcesses, SimpleNamespace(kill=killed.append))
    port = run_port.free()
    state = RunState(WANTED, ports, Kept(port=port, status=RunStatus.READY))
    state.uid = os.getuid() + (0 if is_own else 1)
    assert state.ready_page == ""

    with socket.create_server(("127.0.0.1", port)):
        await look_at_port(state, processes)

    if is_own:
        assert (state.ready_page, told, killed) == (f"127.0.0.1:{port}", [True], [])
        await look_at_port(state, processes)
        assert (state.ready_page, told) == ("", [True, True])
    else:
        assert (state.ready_page, told) == ("", [])
        assert killed == ["another user of the machine took the port of its page"]
        assert state.kept.port != port
