"""What a look into a bundle found, from what its process said and how it ended."""

import json

import msgspec
import pytest

from fairlead.keeper.bundles import finding

FOLDER = "/srv/bundles/0f"


def test_the_last_line_is_the_finding_and_its_own_lines_win() -> None:
    told = {"ok": False, "error": {"code": "load_failed", "message": "no"}, "last_lines": ["model.py"]}
    found = finding.read(b"noise\n" + json.dumps(told).encode(), 0, FOLDER, 512)
    assert (found.ok, found.last_lines) == (False, ("model.py",))


@pytest.mark.parametrize(
    ("code", "said"),
    [(3, "exit code 3"), (-11, "segmentation fault"), (139, "segmentation fault"), (-9, "(512 MB)"), (-15, "SIGTERM")],
)
def test_a_bundle_that_ends_its_process_is_told_how(code: int, said: str) -> None:
    found = finding.read(b"loading\n", code, FOLDER, 512)
    assert found.error is not None
    assert said in found.error.message
    assert found.error.hint
    assert found.last_lines == ("loading",)


def test_of_a_dump_the_frames_of_the_bundle_are_shown() -> None:
    dump = (
        "Stack (most recent call first):\n"
        f'  File "/usr/lib/python3.11/socket.py", line 3 in connect\n  File "{FOLDER}/net.py", line 7 in fetch\n'
        f'  File "{FOLDER}/model.py", line 9 in load\n  File "/env/fairlead/inspect.py", line 90 in look\n'
    )
    found = finding.too_slow(dump.encode(), 10, FOLDER)
    assert found.error is not None
    assert found.error.message == "it was not loaded within 10 s: it was at net.py line 7 in fetch"
    assert found.last_lines[1:] == ('  File "net.py", line 7 in fetch', '  File "model.py", line 9 in load')


def test_the_log_has_all_that_was_said_but_the_platforms_frames() -> None:
    output = (
        f'loading\n  File "{FOLDER}/model.py", line 9 in load\n'
        '  File "/env/site-packages/fairlead/modelserver/inspect.py", line 90 in look\n'
        '  File "<frozen runpy>", line 88 in _run_code\n{"ok":true}\n'
    )
    assert finding.told(output.encode(), FOLDER) == 'loading\n  File "model.py", line 9 in load'


def dump(line: int) -> str:
    return f'Stack (most recent call first):\n  File "{FOLDER}/m.py", line {line} in load\n'


def test_of_a_bundle_that_says_where_it_is_now_and_then_the_last_counts() -> None:
    output = (dump(7) + "half of it\n" + dump(9) + "still\n").encode()

    assert finding.place(output, FOLDER) == "m.py line 9 in load"
    assert finding.place(b"loading\n", FOLDER) == ""
    hung = finding.too_slow(output, 12, FOLDER)
    assert [line for line in hung.last_lines if "m.py" in line] == ['  File "m.py", line 9 in load']
    assert finding.told(output, FOLDER, loaded=True) == "half of it\nstill"
    assert "line 9" in finding.told(output, FOLDER)
    assert finding.read(output, -11, FOLDER, 512).last_lines == ("half of it", "still")


LONG = "A" * 9 * 1024**2


def test_a_description_that_is_too_long_is_a_fault_of_the_bundle() -> None:
    told = {"ok": True, "signature": {"endpoints": LONG}}
    found = finding.read(json.dumps(told).encode(), 0, FOLDER, 512)
    assert found.error is not None
    assert (found.error.code, found.signature) == ("signature_too_long", None)
    assert "9,437 kB" in found.error.message


def test_what_a_bundle_says_is_cut() -> None:
    long = "A" * 100_000
    error = {"code": "load_failed", "message": long, "hint": long}
    told = {"ok": False, "error": error, "last_lines": [long] * 30, "warnings": [long] * 60}
    told["preload"] = [long, *(f"m{number}" for number in range(9999))]
    found = finding.read(json.dumps(told).encode(), 0, FOLDER, 512)
    assert len(msgspec.json.encode(found)) < 256 * 1024
    assert found.preload[0] == "m0"


def test_one_long_line_before_a_crash_is_cut() -> None:
    found = finding.read(LONG.encode(), -11, FOLDER, 512)
    assert sum(map(len, found.last_lines)) <= 500


def test_where_it_crashed_is_no_word_of_where_it_was_now_and_then() -> None:
    crash = f'Fatal Python error: Segmentation fault\n\nStack (most recent call first):\n  File "{FOLDER}/m.py", line 3 in load\n'
    output = (dump(7) + crash).encode()

    found = finding.read(output, -11, FOLDER, 512)
    assert found.last_lines[-1] == '  File "m.py", line 3 in load'
    assert not [line for line in found.last_lines if "line 7" in line]
