"""Environments by the real uv: built once, whole or not at all, refused in words that help."""

import asyncio
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from fairlead import environments
from fairlead.environments.build import MARKER
from fairlead.errors import Invalid, Unavailable
from fairlead.messages import EnvironmentSpec

pytestmark = pytest.mark.timeout(300)
MISSING = EnvironmentSpec(requires=("fairlead-no-such-project==1.0",))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


def run(python: Path, code: str) -> str:
    done = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd="/")
    return done.stdout.strip()


def leftovers(root: Path) -> list[str]:
    return [path.name for path in root.glob(".*.part")]


async def test_without_requirements_there_is_the_sdk_and_only_it(root: Path) -> None:
    spec, steps = EnvironmentSpec(), []

    python = await environments.build(spec, root, on_step=steps.append)

    assert python == root / environments.key(spec) / "bin" / "python"
    where = Path(run(python, "import fairlead, fairlead.sdk.model, granian, msgspec, httpx; print(fairlead.__file__)"))
    assert where.is_relative_to(root)
    assert run(python, "import importlib.util; print(importlib.util.find_spec('sqlalchemy'))") == "None"
    assert steps[0] == "creating the environment"
    assert any(step.startswith("Installed") for step in steps)
    assert list(where.parent.glob("__pycache__/*.pyc"))
    assert leftovers(root) == []


async def test_the_second_time_nothing_is_done(root: Path) -> None:
    first = await environments.build(EnvironmentSpec(), root)
    made = (first.parents[1] / MARKER).stat()
    steps: list[str] = []

    assert await environments.build(EnvironmentSpec(), root, on_step=steps.append) == first
    assert steps == []
    assert (first.parents[1] / MARKER).stat().st_mtime_ns == made.st_mtime_ns


async def test_an_environment_can_be_read_by_others(root: Path) -> None:
    python = await environments.build(EnvironmentSpec(), root)

    for path, folders, files in os.walk(python.parents[1]):
        for name in (*folders, *files):
            mode = Path(path, name).stat().st_mode
            assert mode & 0o004
            assert not mode & 0o022


async def test_two_at_once_build_one(tmp_path: Path) -> None:
    steps: tuple[list[str], list[str]] = ([], [])

    pythons = await asyncio.gather(
        *(environments.build(EnvironmentSpec(), tmp_path, on_step=one.append) for one in steps)
    )

    assert pythons[0] == pythons[1]
    assert sum("creating the environment" in one for one in steps) == 1
    assert sum("waiting for the same environment to be built" in one for one in steps) == 1


async def test_a_missing_project_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((Invalid, Unavailable)) as caught:
        await environments.build(MISSING, tmp_path)

    assert caught.value.code == "environment_failed"
    assert "fairlead-no-such-project" in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert [problem.path for problem in caught.value.problems] == ["run.requires"]
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == []
    assert leftovers(tmp_path) == []


async def test_a_clash_with_the_sdk_names_both(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        await environments.build(EnvironmentSpec(requires=("httpx==0.20.0",)), tmp_path)

    assert "httpx==0.20.0" in caught.value.message
    assert "fairlead" in caught.value.message
    assert "SDK" in caught.value.hint


async def test_an_index_that_cannot_be_reached_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")

    with pytest.raises(Unavailable) as caught:
        await environments.build(MISSING, tmp_path / "root")

    assert caught.value.code == "environment_failed"
    assert "UV_DEFAULT_INDEX" in caught.value.hint


async def test_what_comes_as_source_only_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    links = sdist(tmp_path / "links", f"open({str(trap)!r}, 'w')\n")
    monkeypatch.setenv("UV_FIND_LINKS", str(links))

    with pytest.raises(Invalid) as caught:
        await environments.build(EnvironmentSpec(requires=("fairlead-source-only==1.0",)), tmp_path / "root")

    assert "fairlead-source-only" in caught.value.message
    assert "wheel" in caught.value.hint
    assert not trap.exists()


async def test_canceling_leaves_nothing_and_the_next_one_builds(tmp_path: Path) -> None:
    begun = asyncio.Event()
    building = asyncio.create_task(
        environments.build(EnvironmentSpec(), tmp_path, on_step=lambda said: begun.set()), name="build"
    )
    await begun.wait()
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building

    assert leftovers(tmp_path) == []
    assert (await environments.build(EnvironmentSpec(), tmp_path)).exists()


async def test_collecting_keeps_what_is_wanted(tmp_path: Path) -> None:
    python = await environments.build(EnvironmentSpec(), tmp_path)
    wanted = environments.key(EnvironmentSpec())
    (tmp_path / "unwanted" / "bin").mkdir(parents=True)
    (tmp_path / ".unwanted.abc.part").mkdir()

    assert environments.collect(tmp_path, {wanted}) == ["unwanted"]
    assert python.exists()
    assert leftovers(tmp_path) == []
    assert environments.collect(tmp_path, ()) == [wanted]


def sdist(folder: Path, setup: str) -> Path:
    """Write a project that comes as source only, whose ``setup.py`` runs ``setup``."""
    project = folder.parent / "fairlead_source_only-1.0"
    project.mkdir(parents=True)
    (project / "setup.py").write_text(setup)
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: fairlead-source-only\nVersion: 1.0\n")
    folder.mkdir()
    with tarfile.open(folder / "fairlead_source_only-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, project.name)
    return folder
