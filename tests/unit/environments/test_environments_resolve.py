"""What environments are made of, and what uv's refusals mean."""

import os
import zipfile
from pathlib import Path

import pytest

from fairlead.environments import base, own, reachable, resolve
from fairlead.errors import Invalid, Unavailable
from fairlead.messages import EnvironmentSpec

SPEC = EnvironmentSpec(requires=("numpy>=2", "colorama==99"))
UNKNOWN = """\
Using Python 3.11.2 environment at: /home/x/environments/.abc.part
  × No solution found when resolving dependencies:
  ╰─▶ Because colorama==99 was not found in the package registry and you
      require colorama==99, we can conclude that your requirements are unsatisfiable.
"""


def test_the_key_depends_on_what_is_in_the_environment() -> None:
    one = resolve.key(EnvironmentSpec(requires=("a==1", "b==2")))

    assert one == resolve.key(EnvironmentSpec(requires=("b==2", "a==1")))
    assert one != resolve.key(EnvironmentSpec(requires=("a==1", "b==3")))
    assert one.isalnum()
    assert len(one) == 32


def test_the_core_stands_on_what_it_was_tried_with() -> None:
    assert {"granian", "httpx", "msgspec", "uvloop", "anyio"} <= own.pins().keys()
    assert "fastapi" not in own.pins()


def test_uv_words_become_a_refusal_that_names_the_requirement() -> None:
    error = resolve.refusal(UNKNOWN, SPEC, "3.11.2", ["/home/x/environments/.abc.part"])

    assert isinstance(error, Invalid)
    assert error.code == "environment_failed"
    assert "Because colorama==99 was not found in the package registry and you require" in error.message
    assert "/home" not in error.message
    assert "╰" not in error.message
    assert "run.requires" in error.hint
    assert [problem.message.split(":")[0] for problem in error.problems] == ["colorama==99"]


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("Because x==1 has no usable wheels and building from source is disabled", Invalid, "wheel"),
        ("error: Failed to fetch: https://i.example/x/ Caused by: dns error", Unavailable, "UV_DEFAULT_INDEX"),
        ("Because fairlead depends on httpx>=0.28 and you require httpx==0.1", Invalid, "SDK"),
        ("error: No space left on device (os error 28)", Unavailable, "room"),
        ("error: something new", Invalid, "run.requires"),
    ],
)
def test_each_refusal_says_what_next(said: str, kind: type, hint: str) -> None:
    error = resolve.refusal(said, SPEC, "3.11.2", [])

    assert type(error) is kind
    assert hint in error.hint


def test_uv_takes_what_pip_was_told_unless_it_was_told_itself() -> None:
    found = resolve.environ(
        {
            "PIP_INDEX_URL": "https://a",
            "PIP_FIND_LINKS": "/one /two",
            "PIP_EXTRA_INDEX_URL": "https://b",
            "UV_INDEX": "https://c",
            "PYTHONPATH": "/x",
            "VIRTUAL_ENV": "/y",
            "FAIRLEAD_TOKEN": "secret",
            "PATH": "/bin",
        }
    )

    assert found["UV_DEFAULT_INDEX"] == "https://a"
    assert found["UV_FIND_LINKS"] == "/one,/two"
    assert found["UV_INDEX"] == "https://c"
    assert found["UV_PYTHON_DOWNLOADS"] == "never"
    assert not found.keys() & {"PYTHONPATH", "VIRTUAL_ENV", "FAIRLEAD_TOKEN"}


def test_wheels_only_unless_source_builds_are_allowed() -> None:
    def command(source_builds: bool) -> list[str]:
        return resolve.install(
            "uv", Path("/e"), requires=Path("/r"), constraints=None, source_builds=source_builds, no_index=False
        )

    assert "--only-binary" in command(False)
    assert "--only-binary" not in command(True)


def test_a_python_that_does_not_exist_is_none() -> None:
    assert base.choose(">=3.99") is None
    assert base.choose("") is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="modes of folders bind root's users only")
def test_a_python_below_a_closed_folder_is_not_reachable(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "lib/python3.11").mkdir(parents=True)
    (home / "lib/python3.11/os.py").touch()
    python = home / "bin/python"
    python.touch(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011) if folder.is_relative_to("/tmp") else pytest.skip("closed")

    assert reachable(python)
    home.chmod(0o700)
    assert not reachable(python)
    assert not reachable(tmp_path / "none")


def test_the_wheel_of_this_build_holds_its_modules(tmp_path: Path) -> None:
    wheel = own.wheel(tmp_path)

    assert own.wheel(tmp_path) == wheel
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        version = wheel.name.split("-")[1]
        record = archive.read(f"fairlead-{version}.dist-info/RECORD").decode()
    assert "+b" in version
    assert "fairlead/messages.py" in names
    assert not any("__pycache__" in name for name in names)
    assert len(record.splitlines()) == len(names)
