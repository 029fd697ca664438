"""What the rules of replicas, apps and inspections allow."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fairlead.errors import Unavailable
from fairlead.sandbox import uids
from fairlead.sandbox.ground import base_of
from fairlead.sandbox.level import Isolation, Level
from fairlead.sandbox.rules import Ground, Rules, environment, for_app, for_inspect, for_replica

FULL = Isolation(Level.FULL, own_uid=True, view=True, landlock_abi=7)
WEAK = Isolation(Level.PROCESS)
GROUND = Ground(
    environment="/home/env",
    base=("/opt/python",),
    bundle="/home/bundle",
    scratch="/home/scratch",
    env={"HOME": "/elsewhere", "FAIRLEAD_ZYGOTE": "forged", "THREADS": "2", "OMP_NUM_THREADS": "2"},
    marker={"FAIRLEAD_ZYGOTE": "real"},
)


def test_a_replica_writes_only_its_scratch_sockets_and_logs() -> None:
    rules = for_replica(GROUND, ("python",), FULL, uid=200001, sockets="/run/z", logs="/logs/z")

    assert rules.write == ("/home/scratch",)
    assert rules.plain == ("/run/z", "/logs/z")
    assert {"/home/env", "/opt/python"} <= set(rules.execute)
    assert "/home/bundle" in rules.read
    assert (rules.outbound, rules.unix_connect, rules.listen_port) == (False, False, 0)
    assert (rules.level, rules.uid, rules.view) == (Level.FULL, 200001, True)


def test_s62_no_file_is_longer_than_all_of_them_may_be() -> None:
    def longest(ground: Ground) -> int:
        return for_replica(ground, (), FULL, uid=200001, sockets="/s", logs="/l").limits.file_bytes

    assert longest(msgspec.structs.replace(GROUND, disk_mb=20)) == 20 * 1024**2
    assert longest(GROUND) == Rules().limits.file_bytes


def test_rules_never_ask_for_more_than_the_machine_has() -> None:
    rules = for_replica(GROUND, (), WEAK, uid=200001, sockets="/s", logs="/l")

    assert (rules.level, rules.uid, rules.view) == (Level.PROCESS, None, False)


def test_without_a_user_of_its_own_full_is_not_promised() -> None:
    assert for_replica(GROUND, (), FULL, uid=None, sockets="/s", logs="/l").level is Level.LANDLOCK


def test_an_app_may_connect_run_programs_and_listen_on_its_port() -> None:
    rules = for_app(GROUND, (), FULL, uid=200001, channel="/run/r", port=8123)

    assert rules.unix_connect
    assert rules.listen_port == 8123
    assert {"/usr/bin", "/home/bundle"} <= set(rules.execute)


def test_an_inspection_never_has_the_network() -> None:
    ground = msgspec.structs.replace(GROUND, outbound=True)

    assert for_replica(ground, (), FULL, uid=1, sockets="/s", logs="/l").outbound
    assert not for_inspect(ground, (), FULL, uid=1).outbound


def test_variables_are_ours_then_the_bundles_then_the_platforms() -> None:
    env = environment(GROUND)

    assert (env["THREADS"], env["OMP_NUM_THREADS"], env["HOME"]) == ("2", "2", "/elsewhere")
    assert env["FAIRLEAD_ZYGOTE"] == "real"
    assert env["ORT_DISABLE_TELEMETRY"] == "1"


def test_rules_travel_as_json() -> None:
    rules = for_app(GROUND, ("python",), FULL, uid=200001, channel="/run/r")

    assert msgspec.json.decode(msgspec.json.encode(rules), type=Rules) == rules


def test_levels_are_ordered() -> None:
    assert [level.rank for level in (Level.NONE, Level.PROCESS, Level.LANDLOCK, Level.FULL)] == [0, 1, 2, 3]


def test_a_name_keeps_its_user_id_and_shares_it_with_nobody(tmp_path: Path) -> None:
    registry = tmp_path / "keeper" / "uids.json"

    given = {name: uids.uid_for(name, registry) for name in ("a", "b", "c")}

    assert len(set(given.values())) == 3
    assert all(uids.FIRST <= uid < uids.FIRST + uids.COUNT for uid in given.values())
    assert uids.uid_for("a", registry) == given["a"]


def test_two_installations_have_other_user_ids_for_the_same_names(tmp_path: Path) -> None:
    names = [f"run slot {number}" for number in range(5)]

    one, other = ([uids.uid_for(name, tmp_path / home / "uids.json") for name in names] for home in ("one", "other"))

    assert one != other  # one pair in 65,000 may meet by chance, while none of its processes lives


def test_a_taken_user_id_is_passed_over() -> None:
    first = uids.choose("a", set())

    assert uids.choose("a", {first}) != first
    with pytest.raises(Unavailable):
        uids.choose("a", set(range(uids.FIRST, uids.FIRST + uids.COUNT)))


def test_an_environments_base_is_found_through_its_link_and_its_configuration(tmp_path: Path) -> None:
    base = tmp_path / "python"
    (base / "bin").mkdir(parents=True)
    (base / "bin" / "python3.11").touch()
    environment = tmp_path / "env"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(base / "bin" / "python3.11")
    (environment / "pyvenv.cfg").write_text(f"home = {base}/bin\nversion = 3.11.7\n", encoding="utf-8")

    found = base_of(environment)

    assert str(base) in found
    assert len(found) == len(set(found))
