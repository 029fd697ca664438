"""What environments are made of, and what uv's refusals mean."""

import os
import zipfile
from pathlib import Path

import pytest

from fairlead.environments import base, fence, own, reachable, resolve
from fairlead.errors import Invalid, Unavailable
from fairlead.messages import EnvironmentSpec
from fairlead.sandbox.level import Level

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
    assert {"cronsim", "granian", "httpx", "msgspec", "uvloop", "anyio"} <= own.pins().keys()
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
        ("error: Failed to build `x==1` Caused by: The build backend returned an error", Invalid, "wheel"),
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


def test_what_uv_was_told_in_its_older_words_stays() -> None:
    found = resolve.environ({"PIP_INDEX_URL": "https://a", "UV_INDEX_URL": "https://b"})

    assert ("UV_DEFAULT_INDEX" in found, found["UV_INDEX_URL"]) == (False, "https://b")


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ({"PIP_CERT": "/c.pem"}, {"SSL_CERT_FILE": "/c.pem"}),
        ({"PIP_CLIENT_CERT": "/c.pem"}, {"SSL_CLIENT_CERT": "/c.pem"}),
        ({"PIP_PROXY": "http://p"}, {"ALL_PROXY": "http://p"}),
        ({"https_proxy": "http://p", "NO_PROXY": "x"}, {"https_proxy": "http://p", "NO_PROXY": "x"}),
        ({"PIP_TRUSTED_HOST": "i"}, {"UV_INSECURE_HOST": "i"}),
        ({"PIP_RETRIES": "9"}, {"UV_HTTP_RETRIES": "9"}),
        ({"UV_INDEX_PRIVATE_PASSWORD": "x"}, {"UV_INDEX_PRIVATE_PASSWORD": "x"}),
        ({"AWS_SECRET_ACCESS_KEY": "x", "FAIRLEAD_SETTINGS": "x", "PGPASSWORD": "x"}, {}),
    ],
)
def test_what_the_administrator_set_reaches_uv_and_nothing_else(told: dict[str, str], heard: dict[str, str]) -> None:
    plain = resolve.environ({})

    assert resolve.environ(told) == plain | heard


def test_a_build_reaches_what_the_variables_name() -> None:
    variables = {
        "HOME": "/root",
        "SSL_CERT_FILE": "/etc/own.pem",
        "UV_FIND_LINKS": "/wheels,https://x/y",
        "UV_INDEX": "file:///one/simple private=file:///two/simple",
        "UV_CACHE_DIR": "/var/uv",
    }
    python = base.Base("/opt/py/bin/python3", "3.11.2")
    folder = Path("/home/environments/.k.part")

    rules = fence.fenced(["/bin/uv"], folder, python, variables, Level.FULL, alone=False)
    building = fence.fenced(["/bin/uv"], folder, python, variables, Level.FULL, alone=True)

    assert {"/etc/own.pem", "/wheels", "/one/simple", "/two/simple", "/root/.netrc"} <= set(rules.read)
    assert rules.write == (str(folder), "/var/uv")
    assert not set(rules.execute) & set(rules.write)
    assert (rules.level, rules.outbound) == (Level.LANDLOCK, True)
    assert building.write == (str(folder), str(folder / fence.SCRATCH / "cache"))
    assert building.env["UV_CACHE_DIR"] == building.write[1]
    assert fence.fenced(["/bin/uv"], folder, python, variables, Level.NONE, alone=False).level is Level.NONE


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
    assert "fairlead/messages/wire.py" in names
    assert not any("__pycache__" in name for name in names)
    assert len(record.splitlines()) == len(names)
