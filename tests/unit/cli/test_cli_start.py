"""How the command line starts: quickly, with what the word in hand needs, and every error as one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import fairlead
from fairlead.cli import main

Said = tuple[int, str, str]
HEAVY = {
    *("httpx", "rich", "numpy", "sqlalchemy", "fastapi", "granian", "aiohttp", "asyncio", "psutil", "nats"),
    *("fairlead.keeper.life", "fairlead.store.database", "fairlead.bundles.check"),
}
LOADED = "import sys; from fairlead.cli import main; main.run({words}); print(*sys.modules, file=sys.stderr)"


@pytest.mark.parametrize("words", [["--help"], ["status"], ["predict", "m", "--set", "a=1"], ["models"], ["up", "-h"]])
def test_nothing_heavy_is_loaded_on_the_way(words: list[str], config: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(words=words)],
        env={"FAIRLEAD_URL": "http://127.0.0.1:1", "FAIRLEAD_TOKEN": "fl_x", "FAIRLEAD_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert HEAVY.intersection(done.stderr.splitlines()[-1].split()) == set()


def test_only_the_file_of_the_word_is_loaded() -> None:
    assert main._rooms(["--json", "models", "show", "x"]) == ("models",)
    assert main._rooms(["no-such-word"]) == tuple(main.ROOMS)
    assert main._rooms(["--help"]) == tuple(main.ROOMS)


def test_the_table_of_rooms_is_what_the_files_hold() -> None:
    for room, words in main.ROOMS.items():
        assert set(typer.main.get_command(main.build([room])).commands) == set(words), room  # type: ignore[attr-defined]


def test_it_says_its_version(cli: Callable[..., Said]) -> None:
    assert cli("--version") == (0, f"fairlead {fairlead.__version__}\n", "")


def test_what_nobody_expected_is_one_line_and_a_file(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such luck\nsecond line")

    monkeypatch.setattr("fairlead.cli.session.current", fail)
    code, out, err = cli("models")

    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "error: the command failed: RuntimeError: no such luck",
        f"  hint: the details are in {config}/last-error.txt; please report them (internal)",
    ]
    assert "Traceback" in (config / "last-error.txt").read_text()


def test_a_file_that_cannot_be_used_is_one_line(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/root/x")

    monkeypatch.setattr("fairlead.cli.session.current", fail)

    assert cli("models")[2].splitlines()[0] == "error: /root/x: Permission denied"


def test_what_was_said_is_all_there_when_it_ends_at_once(config: Path) -> None:
    """The program leaves without taking itself apart: what is buffered must be out, and the code kept."""
    start = "from fairlead.cli.start import start; start()"

    def run(*words: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-c", start, *words],
            env={"FAIRLEAD_CONFIG": str(config)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    assert run("--version") == (0, f"fairlead {fairlead.__version__}\n", "")
    assert run("no-such-word")[0] == 2
    code, out, err = run("check", str(config))
    assert (code, out.count("\n"), err) == (5, 1, "")
