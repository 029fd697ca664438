"""The home: made once, refused when it is strange, newer, read-only or full; sockets fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.errors import Conflict, Error, Internal, Invalid, Unavailable
from fairlead.identity import keys
from fairlead.identity.seal import load_sealer
from fairlead.keeper import home as homes
from fairlead.keeper.listeners import check_listeners, split
from fairlead.keeper.memory import Memory
from fairlead.keeper.serving.targets import choose
from fairlead.messages import ModelRoute, NodeWanted, Target
from fairlead.settings import SOCKET_PATH_BYTES, Home, Settings


def refused(home: Home) -> Error:
    with pytest.raises(Error) as caught:
        homes.check(home)
    assert caught.value.hint
    return caught.value


def test_a_new_home_is_made_and_opens_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for _ in range(2):
        homes.check(home)
        homes.prepare(home)

    assert (home.root / "layout").read_text() == f"{homes.LAYOUT}\n"
    assert home.keys.stat().st_mode & 0o777 == 0o700
    home.run.rmdir()


def test_other_users_can_list_nothing_and_pass_only_where_bundles_must(tmp_path: Path) -> None:
    """S-50: without the digest nobody finds a bundle's code or weights."""
    home = Home(tmp_path / "home")
    homes.check(home)
    homes.prepare(home)
    home.run.rmdir()

    modes = {path: path.stat().st_mode & 0o777 for path in (home.root, *home.root.iterdir()) if path.is_dir()}
    passed = {home.bundles, home.environments, home.compiled, home.scratch} | (
        {home.root} if os.geteuid() == 0 else set()
    )
    assert {path for path, mode in modes.items() if mode == 0o711} == passed
    assert {mode for path, mode in modes.items() if path not in passed} == {0o700}


def test_a_home_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text("99\n")

    error = refused(Home(tmp_path))

    assert (type(error), error.code) == (Conflict, "home_newer")


def test_a_folder_with_other_files_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("\\begin{document}")

    assert refused(Home(tmp_path)).code == "home_not_empty"
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_broken_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layout").write_bytes(b"\xff\x00")

    assert refused(Home(tmp_path)).code == "home_broken"


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert isinstance(refused(Home(tmp_path / "file" / "home")), Invalid)


@pytest.mark.parametrize("name", ["seal.key", "current.pem"])
def test_a_broken_key_is_refused_before_anything_is_started(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "home")
    homes.check(home)
    homes.prepare(home)
    load_sealer(home.keys)
    keys.load(home.keys)
    homes.check(home)
    (home.keys / name).write_bytes(b"half a k")
    with pytest.raises(Internal, match=name) as caught:
        homes.check(home)
    assert (caught.value.code, caught.value.hint) == ("key_broken", "restore the file from a backup")


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "ROOM_BYTES", 2**63)

    error = refused(Home(tmp_path / "home"))

    assert (type(error), error.code) == (Unavailable, "home_full")


def test_sockets_of_a_deep_home_fit(tmp_path: Path) -> None:
    home = Home(tmp_path / ("deep" * 20) / "home")

    assert len(str(home.serve_socket("twelve-chars-0123abcd-012345"))) <= SOCKET_PATH_BYTES


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), (":8443", ("0.0.0.0", 8443)), ("[::1]:1", ("::1", 1))],
)
def test_addresses_are_split(address: str, expected: tuple[str, int]) -> None:
    assert split("--listen", address) == expected


@pytest.mark.parametrize("address", ["8080", "127.0.0.1", "host:port", "127.0.0.1:0", "127.0.0.1:65536", ""])
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid) as caught:
        split("--listen", address)

    assert caught.value.code == "address_invalid"


def test_listening_beyond_loopback_needs_tls_or_a_word(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        check_listeners(Settings(home=tmp_path, listen="0.0.0.0:18099"))

    assert caught.value.code == "insecure"


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        check_listeners(Settings(home=tmp_path, cert=tmp_path / "cert.pem"))

    assert caught.value.code == "certificate"


def test_what_was_wanted_is_remembered(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    wanted = NodeWanted(node="a", generation=7, denied={"tok-1": 5.0})

    assert memory.load("a").generation == 0
    memory.keep(wanted)
    assert memory.load("a") == wanted


def test_a_torn_memory_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "wanted.msgpack").write_bytes(b"\x93torn")

    assert Memory(tmp_path).load("a") == NodeWanted(node="a", generation=0)


ROUTE = ModelRoute(
    model="m",
    visibility="team",
    owner="ada",
    targets={"production": (Target("2", 90), Target("1", 10)), "staging": (Target("3"),)},
    versions=("1", "2", "3"),
    gone=("0",),
)


@pytest.mark.parametrize(
    ("ref", "chance", "version"),
    [("", 0.0, "2"), ("production", 0.89, "2"), ("", 0.95, "1"), ("staging", 0.5, "3"), ("1", 0.5, "1")],
)
def test_a_reference_means_a_version(ref: str, chance: float, version: str) -> None:
    assert choose(ROUTE, ref, chance) == version


@pytest.mark.parametrize(
    ("ref", "code"), [("0", "version_gone"), ("9", "version_not_found"), ("canary", "version_not_found")]
)
def test_a_reference_to_nothing_is_refused(ref: str, code: str) -> None:
    with pytest.raises(Error) as caught:
        choose(ROUTE, ref)

    assert caught.value.code == code
