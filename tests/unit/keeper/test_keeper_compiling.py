"""Compiling beside service: what is remembered, when it begins, and what a bundle's process may leave."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.environments import toolbox
from fairlead.keeper.bundles import compiling
from fairlead.keeper.bundles.compiling import Compiling, Verdict
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted
from fairlead.sandbox.level import Isolation, Level
from fairlead.settings import Home

DIGEST = "sha256:0123"


def wanted(**more: Any) -> VersionWanted:
    spec = ModelSpec(name="m", version="1", runtime="sklearn", artifact="m.joblib", compile=True)
    return VersionWanted(
        spec=spec, digest=DIGEST, bundle_key="", environment=EnvironmentSpec(), gate="g", **({"proven": True} | more)
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    for folder in (made.compiled, made.scratch, made.keeper):
        folder.mkdir(parents=True)
    return made


def part_of(home: Home) -> Compiling:
    return Compiling(home, Isolation(Level.NONE), {}, Secrets(lambda: pytest.fail("no secrets")), lambda: None)


def remember(home: Home, **more: Any) -> None:
    """As an earlier keeper leaves it."""
    folder = home.compiled / "0123"
    folder.mkdir()
    for name in ("model.onnx", "program.json"):
        (folder / name).write_bytes(b"x")
    (home.compiled / toolbox.key()).mkdir(exist_ok=True)
    verdict = Verdict(**({"ok": True, "rows": 256, "faster": 10, "tools": toolbox.key()} | more))
    (folder / "verdict.json").write_bytes(msgspec.json.encode(verdict))


async def look(part: Compiling, *versions: VersionWanted, there: bool = False) -> None:
    """Take what is wanted, and let what begins come to its end."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        part.want(versions, lambda digest: (Path("/nowhere"), Path("/nowhere")) if there else None, group)


async def test_a_program_that_an_earlier_keeper_made_is_served_at_once(home: Home) -> None:
    remember(home)
    part = part_of(home)
    await look(part, wanted())
    program = part.program(DIGEST)
    assert program is not None
    assert program.folder == home.compiled / "0123"
    assert program.paths == (str(home.compiled / toolbox.key()),)
    assert part.serving(wanted()) == "compiled (onnx): 10 times as fast on one row, equal on 256 rows"


@pytest.mark.parametrize("lost", ["0123/model.onnx", "tools"])
async def test_a_program_that_is_not_whole_any_more_is_not_served(home: Home, lost: str) -> None:
    remember(home)
    if lost == "tools":
        (home.compiled / toolbox.key()).rmdir()
    else:
        (home.compiled / lost).unlink()
    part = part_of(home)
    await look(part, wanted())
    assert part.program(DIGEST) is None
    assert part.serving(wanted()) == "as it is: not compiled yet"


async def test_a_refusal_is_remembered_until_the_version_is_pushed_again(home: Home) -> None:
    remember(home, ok=False, why="it answers otherwise")
    part = part_of(home)
    await look(part, wanted(), there=True)
    assert part.serving(wanted()) == "as it is: it answers otherwise"
    again = wanted(attempt=1)
    await look(part, again, there=True)
    assert "Python is another" in part.serving(again)  # it was tried, and /nowhere is no environment


async def test_nothing_is_compiled_before_the_version_answered_as_it_is(home: Home) -> None:
    part = part_of(home)
    await look(part, wanted(proven=False), there=True)
    assert part.serving(wanted()) == "as it is: not compiled yet"
    await look(part, wanted(), there=True)
    assert "Python is another" in part.serving(wanted())


async def test_what_nobody_expected_of_a_bundle_ends_its_compiling_and_not_the_keeper(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(environment: Path) -> bool:
        raise RecursionError("too deep")

    part = part_of(home)
    with monkeypatch.context() as patch:
        patch.setattr(toolbox, "fits", surprise)
        await look(part, wanted(), there=True)
    assert part.serving(wanted()) == "as it is: RecursionError: too deep"


async def test_a_program_that_did_not_start_is_refused_for_good_or_for_now(home: Home) -> None:
    remember(home)
    for keep, then in ((False, True), (True, False)):
        part = part_of(home)
        await look(part, wanted())
        part.refuse(DIGEST, "an example differs", keep=keep)
        assert part.program(DIGEST) is None
        assert part.serving(wanted()) == "as it is: the compiled one did not start: an example differs"
        await look(part, wanted())
        assert part.program(DIGEST) is None
        later = part_of(home)
        await look(later, wanted())
        assert (later.program(DIGEST) is not None) is then


def test_models_that_are_never_compiled_say_nothing_or_why(home: Home) -> None:
    part = part_of(home)
    off = msgspec.structs.replace(wanted(), spec=msgspec.structs.replace(wanted().spec, compile=False))
    assert part.serving(off) == "as it is: compile = false in its manifest"
    onnx = msgspec.structs.replace(off, spec=msgspec.structs.replace(off.spec, runtime="onnx"))
    assert part.serving(onnx) == ""


@pytest.mark.parametrize("trick", ["link", "pipe", "folder"])
def test_what_a_bundle_leaves_in_place_of_its_program_is_not_taken(tmp_path: Path, trick: str) -> None:
    secret, left = tmp_path / "secret", tmp_path / "model.onnx"
    secret.write_bytes(b"of the platform")
    {"link": lambda: left.symlink_to(secret), "pipe": lambda: os.mkfifo(left), "folder": left.mkdir}[trick]()
    with pytest.raises(OSError):
        compiling._copy(left, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_process_that_says_no_verdict_is_served_as_it_is() -> None:
    assert compiling._read(b"Killed\n", -9).why == "compiling ended with signal 9: Killed"
    assert compiling._read(b"", None).why == "compiling took longer than 600 s"
    assert compiling._read(b'noise\n{"ok":true,"rows":3,"faster":2.5}\n', 0) == Verdict(ok=True, rows=3, faster=2.5)


def test_the_packages_that_compile_are_open_to_all_and_bring_no_numpy(tmp_path: Path) -> None:
    folder = toolbox.make(tmp_path)
    assert folder == toolbox.make(tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert {"skl2onnx", "onnx", "onnxruntime"} <= names
    assert not names & {"numpy", "sklearn", "scipy", "fairlead"}
    assert all(path.stat().st_mode & 0o004 for path in folder.rglob("*"))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
