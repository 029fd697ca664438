"""Looking at a bundle's folder, and what is made of its manifest."""

from pathlib import Path

import pytest

from fairlead.bundles import specs
from fairlead.bundles.archive import Limits
from fairlead.bundles.check import check
from fairlead.errors import Invalid

EXAMPLES = Path(__file__).parents[3] / "examples"
MODEL = 'kind = "model"\nname = "m"\n[run]\nentry = "model:M"\n'


def bundle(folder: Path, manifest: str = MODEL, **files: str) -> Path:
    (folder / "fairlead.toml").write_text(manifest)
    for name, content in {"model.py": "class M: ...\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def told(folder: Path, limits: Limits = Limits()) -> list[tuple[str, str]]:
    return [(problem.path, problem.rule) for problem in check(folder, limits).problems]


@pytest.mark.parametrize("folder", sorted(path.parent for path in EXAMPLES.glob("*/fairlead.toml")), ids=str)
def test_the_examples_have_no_problems(folder: Path) -> None:
    checked = check(folder)

    assert checked.problems == ()
    assert checked.require().name == folder.name
    assert sum(file.size for file in checked.files) < 1_000_000


def test_a_whole_bundle_is_listed(tmp_path: Path) -> None:
    checked = check(bundle(tmp_path))

    assert [file.path for file in checked.files] == ["fairlead.toml", "model.py"]
    assert (checked.problems, checked.warnings) == ((), ())


def test_hints_tell_how_requirements_are_listed_and_the_network_granted(tmp_path: Path) -> None:
    checked = check(bundle(tmp_path, MODEL + 'requires = "numpy"\n[network]\noutbound = true\n'))

    assert [one.hint for one in checked.problems] == ['write it, or give a list: requires = ["numpy"]']
    assert [one.hint for one in checked.warnings] == [
        "once it is pushed a configurer says: fairlead models set m --outbound"
    ]


def test_nothing_of_a_bundle_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    folder = tmp_path / "bundle"
    folder.mkdir()

    check(bundle(folder, **{"model.py": f"open({str(trap)!r}, 'w')\nclass M: ...\n"}))

    assert not trap.exists()


@pytest.mark.parametrize(
    ("manifest", "files", "expected"),
    [
        (MODEL.replace("model:M", "other:M"), {}, ("run.entry", "missing")),
        (MODEL.replace("model:M", "model:Other"), {}, ("run.entry", "missing")),
        (MODEL, {"model.py": "class M(:\n"}, ("model.py", "syntax")),
        (MODEL, {"model.py": "x = '\0'"}, ("model.py", "syntax")),
        (MODEL + 'artifact = "m.onnx"\n', {}, ("run.artifact", "missing")),
        (MODEL + 'requires = "requirements.txt"\n', {}, ("run.requires", "missing")),
        (
            MODEL + 'requires = "requirements.txt"\n',
            {"requirements.txt": "--index-url x\n"},
            ("requirements.txt", "requirement_option"),
        ),
        (MODEL, {"fairlead/__init__.py": ""}, ("fairlead", "reserved")),
        (MODEL, {"aux.py": ""}, ("aux.py", "reserved_name")),
        (MODEL, {"a.txt": "", "A.txt": ""}, ("a.txt", "same_name")),
        ("kind = 'model'\n", {}, ("name", "missing")),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(
    tmp_path: Path, manifest: str, files: dict[str, str], expected: tuple[str, str]
) -> None:
    assert expected in told(bundle(tmp_path, manifest, **files))


def test_problems_have_lines_and_hints(tmp_path: Path) -> None:
    checked = check(bundle(tmp_path, MODEL.replace("model:M", "modle:M")))

    assert [(problem.line, problem.hint) for problem in checked.problems] == [(4, "did you mean model.py?")]
    with pytest.raises(Invalid) as caught:
        checked.require()
    assert caught.value.code == "bundle_invalid"
    assert caught.value.message == "fairlead.toml:4 run.entry: modle.py is not in the bundle"


def test_an_entry_may_be_imported_assigned_or_starred(tmp_path: Path) -> None:
    for source in (
        "from x import M\n",
        "M = 1\n",
        "from x import *\n",
        "try:\n    M = 1\nexcept ImportError:\n    M = 2\n",
    ):
        assert told(bundle(tmp_path, **{"model.py": source})) == []


def test_no_manifest_and_no_folder_are_told(tmp_path: Path) -> None:
    assert told(tmp_path) == [("fairlead.toml", "missing")]
    assert told(tmp_path / "nowhere") == [(str(tmp_path / "nowhere"), "missing")]


def test_a_folder_that_was_packed_with_its_contents_is_found_out(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    (folder / "weather").mkdir(parents=True)
    (folder / "weather" / "fairlead.toml").touch()
    (problem,) = check(folder, everything=True).problems
    assert (problem.message, problem.hint) == ("is missing in the archive", "it is in weather/: that is the bundle")


def test_sizes_are_bounded(tmp_path: Path) -> None:
    bundle(tmp_path)

    assert ("bundle", "too_large") in told(tmp_path, Limits(total_bytes=10))
    assert ("bundle", "too_many") in told(tmp_path, Limits(entries=1))


def test_programs_must_be_there_and_run(tmp_path: Path) -> None:
    manifest = (
        'kind = "app"\nname = "a"\n[processes]\none = ["./one"]\ntwo = ["bin/two", "x"]\nthree = ["python", "t.py"]\n'
    )
    bundle(tmp_path, manifest, one="#!/bin/sh\n")

    assert told(tmp_path) == [("processes.one", "mode"), ("processes.two", "missing")]


def test_pickles_and_keys_and_public_models_are_warned_of(tmp_path: Path) -> None:
    manifest = (
        'kind = "model"\nname = "m"\n[run]\nartifact = "m.joblib"\n[access]\nvisibility = "public"\n'
        '[[examples]]\ntitle = "t"\ninput = "cat.jpg"\n'
    )
    checked = check(bundle(tmp_path, manifest, **{"m.joblib": "x", "tls.key": "x"}))

    assert checked.problems == ()
    rules = {problem.rule for problem in checked.warnings}
    assert rules == {"pickle_weights", "private_key", "public", "unpinned", "no_file"}
    hints = {problem.rule: problem.hint for problem in checked.warnings}
    assert hints["public"].endswith("fairlead models set m --visibility public")


def test_the_environment_has_what_the_runtime_needs(tmp_path: Path) -> None:
    manifest = 'kind = "model"\nname = "m"\n[run]\nartifact = "m.onnx"\nrequires = "r.txt"\npython = ">=3.11"\n'
    bundle(tmp_path, manifest, **{"m.onnx": "x", "r.txt": "# ours\nnumpy>=2  # arrays\n\nPillow\n"})

    spec = specs.environment_spec(check(tmp_path).require(), tmp_path)

    assert (spec.requires, spec.python) == (("numpy>=2", "Pillow", "onnxruntime"), ">=3.11")


def test_pytorch_comes_with_numpy_which_answers_are_made_of(tmp_path: Path) -> None:
    manifest = 'kind = "model"\nname = "m"\n[run]\nartifact = "m.pt"\nrequires = ["torch==2.13.0"]\n'
    bundle(tmp_path, manifest, **{"m.pt": "x"})

    assert specs.environment_spec(check(tmp_path).require(), tmp_path).requires == ("torch==2.13.0", "numpy")


def test_a_named_requirement_is_not_added_again(tmp_path: Path) -> None:
    manifest = 'kind = "model"\nname = "m"\n[run]\nartifact = "m.onnx"\nrequires = ["OnnxRuntime_GPU==1.20"]\n'
    bundle(tmp_path, manifest, **{"m.onnx": "x"})

    assert specs.environment_spec(check(tmp_path).require(), tmp_path).requires == ("OnnxRuntime_GPU==1.20",)
