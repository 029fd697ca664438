"""What a bundle reaches: a whole platform under attack from its own models and apps.

Ids in docstrings: the list of attacks (S-01 to S-74). A refusal is asserted by its exact code: an open door and a
broken one look alike to "not 200".
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import httpx
import pytest
from tests.thread.town import (
    HIDDEN,
    WHERE,
    Town,
    ask,
    fenced,
    level,
    predict,
    town,
)

__all__ = ["level", "town"]
pytestmark = pytest.mark.timeout(300)

# --- from inside (S-07, S-60 to S-64) ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", WHERE)
def test_s60_files_of_others_are_out_of_reach(town: Town, level: str, where: str) -> None:
    """S-60: other bundles' code, weights, scratch and logs, keys, database, credentials: no read, write or chmod."""
    home, mine = town.home, _digest_of(town, where)
    others = [folder for folder in home.bundles.iterdir() if folder.name != mine and folder.is_dir()]
    assert len(others) >= 4
    paths = [home.keys / "current.pem", home.database, home.bus / "keys.json", home.keeper / "wanted.msgpack"]
    paths += [home.keeper / "here.key", home.envoy / "bootstrap.json", home.logs / "control.log"]
    paths += [folder / "prowl.py" for folder in others]
    paths += [Path("/etc/shadow"), Path("/etc/passwd"), Path.home() / ".bashrc", Path("/proc/1/environ")]
    tries = [[what, str(path)] for path in paths for what in ("read", "write", "chmod")]
    for what, said in zip(tries, ask(town, where, *tries), strict=True):
        # in its view folders on the way to its own exist: a new file there is refused as on a read-only disk
        fenced(level, what, said, "EPERM" if what[1] == "/proc/1/environ" else "EROFS" if what[0] == "write" else "")
    folders = [home.root, home.bundles, home.keys, home.scratch, home.logs, home.run, Path("/root"), Path("/home")]
    tries = [[what, str(folder)] for folder in folders for what in ("list", "chmod")]
    for what, said in zip(tries, ask(town, where, *tries), strict=True):
        # folders on the way to its own exist in its view, empty but for these
        fenced(level, what, said, "EACCES", "EROFS", "EPERM")


def _digest_of(town: Town, where: str) -> str:
    kind = "models" if where == "hostile" else "apps"
    return str(town.api("GET", f"/{kind}/{where}", "ada")["versions"][0]["digest"]).rpartition(":")[2]


@pytest.mark.parametrize("where", WHERE)
def test_s60_other_processes_are_out_of_reach(town: Town, level: str, where: str) -> None:
    """S-60: environment, memory, tracing, descriptors and signals of every process of the platform."""
    process = town.platform.process
    assert process is not None
    victims = {
        **{name: pid for name, pid in town.platform.pids().items() if where not in _kin(town, name)},
        "keeper": process.pid,
    }
    assert {"control", "envoy", "bus", "keeper"} <= victims.keys()
    for name, pid in victims.items():
        tries = [[what, pid] for what in ("environ", "memory", "ptrace", "read_memory", "take_descriptor", "kill")]
        said = ask(town, where, *tries)
        for what, answer in zip(tries[:2], said[:2], strict=True):
            fenced(level, (name, what), answer)
        assert said[2:5] == ["EACCES"] * 3, (name, said)
        assert said[5] in ("EPERM", "ESRCH"), (name, said)


def _kin(town: Town, name: str) -> str:
    """Return which bundle a child belongs to."""
    if name.startswith("run-"):
        return next(run["app"] for run in town.api("GET", "/runs")["items"] if name.startswith(run["id"]))
    return name.partition("-")[0]


@pytest.mark.parametrize("where", WHERE)
def test_s07_s61_no_socket_of_the_platform_can_be_reached(town: Town, level: str, where: str) -> None:
    """S-07, S-61: control, Envoy's admin, the waker, replicas' and zygotes' sockets, other runs' channels."""
    home = town.home
    sockets = [home.control_socket, home.waker_socket, home.admin_socket]
    mine = f"{where}-" if where == "hostile" else town.run_of(where)["id"]
    sockets += [path for path in home.run.glob("**/*.sock") if path not in sockets and mine not in str(path)]
    kinds = {path.name for path in sockets}
    assert {
        "control.sock",
        "jobs.sock",
        "envoy.sock",
        "waker.sock",
        "serve.sock",
        "keep.sock",
        "z.sock",
        "run.sock",
    } <= kinds
    for path in sockets:
        said = ask(town, where, ["unix", str(path)], ["unix_datagram", str(path)])
        for answer in said:
            fenced(level, (str(path), said), answer, "EACCES")
    if where == "hostile":  # a model connects to nothing, its own sockets included
        for path in home.run.glob(f"{mine}*/**/*.sock"):
            assert ask(town, where, ["unix", str(path)]) == ["EACCES"]
    else:
        channel = home.run / mine / "run.sock"
        answer = ask(town, where, ["http", str(channel), "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"])
        assert answer == ["done: HTTP/1.1 200 OK"]


def test_s61_a_runs_channel_takes_its_own_user_alone(town: Town) -> None:
    """S-61, S-64: identity is the peer's credentials: even root is not this run."""
    if os.geteuid() != 0:
        pytest.skip("runs have no user of their own here")
    for app in ("page", "program"):
        channel = town.home.run / town.run_of(app)["id"] / "run.sock"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(channel)), base_url="http://run") as client:
            refused_plainly = client.get("/")
            assert refused_plainly.status_code == 403, refused_plainly.text
            assert refused_plainly.json()["error"]["code"] == "not_this_run", refused_plainly.text


@pytest.mark.parametrize("where", WHERE)
def test_s61_the_network_is_closed(town: Town, level: str, where: str) -> None:
    """S-61: TCP, UDP, raw, netlink, packet and vsock sockets, data with the SYN, io_uring, the bus, the front door."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    bus = json.loads((town.home.bus / "server.json").read_text())
    ports = [town.platform.port, town.platform.mqtt]
    ports += [int(bus[name].rpartition(":")[2]) for name in ("url", "devices")]
    targets = [("127.0.0.1", port) for port in ports] + [("169.254.169.254", 80), ("192.0.2.1", 443)]
    tries = [[what, *target] for target in targets for what in ("tcp", "udp", "fast_open")]
    tries += [["raw"], ["packet"], ["netlink"], ["vsock"], ["io_uring"], ["abstract", "x"]]
    for what, said in zip(tries, ask(town, where, *tries), strict=True):
        allowed = {"ECONNREFUSED", "EPERM", "EACCES"} if what[0] == "abstract" and where != "hostile" else {"EACCES"}
        assert said in allowed, (what, said)


@pytest.mark.parametrize("where", WHERE)
def test_s62_s63_what_it_may_not_do_with_its_own(town: Town, level: str, where: str) -> None:
    """S-62, S-63: fork bombs end at their bound; no dropped program runs; code, environment and kernel are closed."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    bundle = town.home.bundles / _digest_of(town, where)
    readonly = {"EACCES", "EROFS", "EPERM"}
    environment = next(path for path in town.home.environments.iterdir() if (path / "bin/python").exists())
    for path in (bundle / "prowl.py", bundle / "new.py", environment / "bin" / "python", environment / "pyvenv.cfg"):
        said = ask(town, where, ["write", str(path)], ["chmod", str(path)])
        assert set(said) <= readonly | {"ENOENT", "ETXTBSY"}, (path, said)
    said = ask(town, where, ["execute_dropped"], ["unshare"], ["mount"], ["bpf"], ["setuid"])
    assert said == ["EACCES", "EACCES", "EACCES", "EACCES", "EPERM"]
    if level == "full":
        assert ask(town, where, ["fork_bomb", 2000]) == ["EAGAIN"]
    assert predict(town, "victim", "ada").status_code == 200


@pytest.mark.parametrize("where", WHERE)
def test_s60_links_lead_nobody_of_ours_astray(town: Town, level: str, where: str) -> None:
    """S-60, S-63: programs of ours that have more rights follow no link a bundle left where they look: in the folders of
    its sockets and logs it can make none, nor a FIFO that would hold them."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    home = town.home
    if where == "hostile":
        serve = next(iter(home.run.glob("hostile-*/*/serve.sock")))
        zygote = serve.parent.parent
        spots = [serve.parent / "x.sock", zygote / "x.sock", home.logs / zygote.name / "x.log"]
    else:
        spots = [home.run / town.run_of(where)["id"] / "page" / "x.sock"]
    for spot in spots:
        for target in (home.admin_socket, home.keys / "current.pem"):
            said = ask(town, where, ["symlink", str(target), str(spot)], ["move_in", str(target), str(spot)])
            assert set(said) <= {"EACCES", "EXDEV"}, (spot, said)
        assert ask(town, where, ["fifo", str(spot)]) == ["EACCES"], spot
        assert not spot.is_symlink()


@pytest.mark.parametrize("where", WHERE)
def test_s60_it_is_told_nothing_of_the_platforms(town: Town, where: str) -> None:
    """S-60, S-73: its variables hold no secret, no setting and no path of ours but its own channel."""
    said = ask(town, where, ["variables"])[0]
    assert "FAIRLEAD_SETTINGS" not in said
    assert "FAIRLEAD_RULES" not in said
    named = set(re.findall(r"FAIRLEAD_\w+", said))
    allowed = {"hostile": {"FAIRLEAD_HOME_ID"}}.get(
        where, {"FAIRLEAD_HOME_ID", "FAIRLEAD_RUN", "FAIRLEAD_SOCKET", "FAIRLEAD_PAGE"}
    )
    assert named <= allowed, named


def test_system_tells_the_level_that_holds(town: Town, level: str) -> None:
    """The claimed level is what a hostile bundle met: its user, its processes, its files."""
    isolation = town.api("GET", "/system")["isolation"]
    for where in WHERE:
        me = json.loads(ask(town, where, ["self"])[0].removeprefix("done: "))
        read, seen = ask(town, where, ["read", "/etc/passwd"], ["stat", str(town.home.database)])
        own_user = me["uid"] not in (0, os.geteuid())
        assert own_user == ("each bundle runs as a user of its own" in isolation["holds"])
        found = "full" if own_user and seen == "ENOENT" else "landlock" if read == "EACCES" else "process"
        assert found == level, (where, me, read, seen, isolation)
