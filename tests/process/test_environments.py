"""Environments by the real uv: built once, whole or not at all, refused in words that help."""

import asyncio
import os
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from fairlead import environments
from fairlead.environments import own
from fairlead.environments.build import MARKER
from fairlead.errors import Invalid, Unavailable
from fairlead.messages import EnvironmentSpec
from fairlead.sandbox.level import Level, isolation

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


async def test_without_requirements_it_is_the_platforms_own_core_and_takes_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)

    python = await environments.build(EnvironmentSpec(), tmp_path / "root")

    told = "import importlib.metadata as m; print(*(f'{d.name.lower()}=={d.version}' for d in m.distributions()))"
    found = set(run(python, told).split())
    assert {f"{name}=={version}" for name, version in own.pins().items()} <= {one.replace("_", "-") for one in found}
    assert run(python, "import granian, uvloop, msgspec, httpx; print('runs')") == "runs"


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


async def test_start_up_files_of_wheels_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``.pth`` runs whenever a Python of the environment starts: none may, but in the sandbox of a bundle."""
    trap = tmp_path / "trap"
    write_wheel(
        tmp_path / "links", {"evil.pth": f"import os; open({str(trap)!r}, 'a').close()\n", "evil.py": "x = 1\n"}
    )
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "links"))

    python = await environments.build(EnvironmentSpec(requires=("fairlead-evil==1.0",)), tmp_path / "root")

    assert not trap.exists()
    assert list(python.parents[1].glob("lib/python*/site-packages/__pycache__/evil.*.pyc"))
    run(python, "import evil")
    assert trap.exists(), "the trap is none"


async def test_a_source_build_that_is_allowed_is_fenced_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if isolation().level.rank < Level.LANDLOCK.rank:
        pytest.skip("no Landlock here")
    (tmp_path / "secret").write_text("a key")
    cache = tmp_path / "cache"
    cache.mkdir()
    links = source_of(tmp_path / "links", tries(tmp_path))
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a key")
    steps: list[str] = []

    python = await environments.build(
        EnvironmentSpec(requires=("fairlead-from-source==1.0",)),
        tmp_path / "root",
        source_builds=True,
        on_step=steps.append,
    )

    assert run(python, "import from_source; print(*from_source.DONE)") == ""
    assert [path.name for path in tmp_path.rglob("trap*")] == []
    assert any(step.startswith("Built fairlead-from-source") for step in steps)
    tool = next(python.parents[1].glob("lib/python*/site-packages/from_source.py"))
    assert stat.S_IMODE(tool.stat().st_mode) == 0o755  # it asked for the owner's rights


@pytest.mark.parametrize(
    ("needs", "culprits"),
    [
        (("fairlead-no-such-project==3",), ["fairlead-evil==1.0"]),
        (("httpx==0.20.0",), ["fairlead-evil==1.0"]),
    ],
)
async def test_what_a_requirement_brings_along_is_its_own_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: tuple[str, ...], culprits: list[str]
) -> None:
    write_wheel(tmp_path / "links", {"evil.py": "x = 1\n"}, needs)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "links"))

    with pytest.raises(Invalid) as caught:
        await environments.build(EnvironmentSpec(requires=("colorama", "fairlead-evil==1.0")), tmp_path / "root")

    assert [one.message.partition(":")[0] for one in caught.value.problems] == culprits


async def test_a_build_that_fails_names_the_requirement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = source_of(tmp_path / "links", "raise SystemExit('no compiler here')\n")
    monkeypatch.setenv("UV_FIND_LINKS", str(links))
    spec = EnvironmentSpec(requires=("colorama", "fairlead-from-source==1.0"))

    with pytest.raises(Invalid) as caught:
        await environments.build(spec, tmp_path / "root", source_builds=True)

    assert "no compiler here" in caught.value.message
    assert [one.message.partition(":")[0] for one in caught.value.problems] == ["fairlead-from-source==1.0"]
    assert "wheel" in caught.value.hint


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


def write_wheel(folder: Path, files: dict[str, str], needs: tuple[str, ...] = ()) -> None:
    """Write ``fairlead-evil`` 1.0 as a wheel, which needs others."""
    folder.mkdir()
    info = "fairlead_evil-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: fairlead-evil\nVersion: 1.0\n"
        + "".join(f"Requires-Dist: {one}\n" for one in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / "fairlead_evil-1.0-py3-none-any.whl", "w") as archive:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(name, text)


def tries(folder: Path) -> str:
    """Return code that does what a build must not, and says in ``DONE`` what it could."""
    places = [str(folder / "trap"), str(folder / "cache" / "trap"), str(folder / "root" / "trap")]
    return f"""
import os
DONE = []
for place in {places!r}:
    try:
        open(place, "w").close()
        DONE.append(place)
    except OSError:
        pass
try:
    DONE.append(open({str(folder / "secret")!r}).read())
except OSError:
    pass
if "AWS_SECRET_ACCESS_KEY" in os.environ:
    DONE.append("password")
"""


def source_of(folder: Path, code: str) -> Path:
    """Write ``fairlead-from-source`` 1.0, which builds itself with a backend of its own that runs ``code`` first."""
    project = folder.parent / "fairlead_from_source-1.0"
    project.mkdir(parents=True)
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: fairlead-from-source\nVersion: 1.0\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "fairlead-from-source"\nversion = "1.0"\n'
    )
    (project / "backend.py").write_text(_BACKEND.replace("CODE", code))
    folder.mkdir()
    with tarfile.open(folder / "fairlead_from_source-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, project.name)
    return folder


_BACKEND = """
import zipfile
DONE = []
def build_wheel(folder, config_settings=None, metadata_directory=None):
    exec(compile(SOURCE, "setup", "exec"), globals())
    name, info = "fairlead_from_source-1.0-py3-none-any.whl", "fairlead_from_source-1.0.dist-info"
    files = {
        "from_source.py": f"DONE = {DONE!r}\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: fairlead-from-source\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{one},,\\n" for one in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o104755 << 16
            archive.writestr(entry, text)
    return name
SOURCE = '''CODE'''
"""
