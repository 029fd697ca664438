"""The example ``text-to-image``: any pipeline of diffusers, tried on a tiny one of random weights that it makes itself."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.messages import ModelSpec
from fairlead.sdk.files import Image
from fairlead.sdk.model import Canceled, InvalidInput, Request, Scope, scopes

MISSING = [name for name in ("torch", "diffusers", "transformers", "PIL") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} cannot be imported: pip install diffusers …, as .ci/run does"),
    pytest.mark.filterwarnings("default"),  # those of diffusers are not ours
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "text-to-image"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundle with the tiny pipeline in it."""
    made = tmp_path_factory.mktemp("pictures") / "text-to-image"
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns("__pycache__", "pipeline"))
    spec = importlib.util.spec_from_file_location("make_tiny", EXAMPLE / "make_tiny.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(made / "pipeline")
    return made


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[Any]:
    """``predict``, loaded as a replica does."""
    from fairlead.modelserver.loading import load

    loaded = load(ModelSpec("text-to-image", "1", "python", entry="model:TextToImage"), folder)
    yield loaded.endpoints["predict"]
    loaded.close()
    sys.modules.pop("model", None)


class Told:
    """What the call tells of how far it is; with ``leaves_at`` nobody waits for it any more from that step on."""

    def __init__(self, leaves_at: int = 0) -> None:
        self.steps: list[tuple[int, int | None]] = []
        self.previews: list[Image] = []
        self._leaves_at = leaves_at
        self.scope = Scope(Request("job-1"), self._tell)

    def _tell(self, step: int, total: int | None, preview: Image | None, note: str) -> None:
        self.steps.append((step, total))
        if preview is not None:
            self.previews.append(preview)
        self.scope.canceled = bool(self._leaves_at) and step >= self._leaves_at


def asked(endpoint: Any, told: Told | None = None, **body: Any) -> Any:
    row = endpoint.signature.decode(json.dumps(body).encode())
    before = scopes.set((told.scope,) if told else ())
    try:
        (answer,) = endpoint.run([row])
    finally:
        scopes.reset(before)
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_a_picture_is_made_step_by_step_with_pictures_on_the_way(endpoint: Any) -> None:
    told = Told()
    made = asked(endpoint, told, prompt="a red boat", steps=4, seed=7)

    assert (made.seed, made.steps, made.width, made.height, made.flagged) == (7, 4, 64, 64, False)
    assert made.picture.pil().size == (64, 64)
    assert told.steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [one.media_type for one in told.previews] == ["image/jpeg"] * 3
    assert all(max(one.pil().size) <= 192 for one in told.previews)


def test_the_same_seed_makes_the_same_picture_and_another_another(endpoint: Any) -> None:
    first, again, other = (asked(endpoint, prompt="a red boat", steps=1, seed=seed) for seed in (7, 7, 8))

    assert first.picture.read() == again.picture.read() != other.picture.read()
    some = asked(endpoint, prompt="a red boat", steps=1)
    assert asked(endpoint, prompt="a red boat", steps=1, seed=some.seed).picture.read() == some.picture.read()


def test_size_and_prompt_are_heeded(endpoint: Any) -> None:
    wide = asked(endpoint, prompt="a red boat", steps=1, seed=7, width=96, height=32)
    assert (wide.width, wide.height, wide.picture.pil().size) == (96, 32, (96, 32))

    plain, without = (
        asked(endpoint, prompt="a red boat", steps=1, seed=7, negative_prompt=words) for words in ("", "water")
    )
    assert plain.picture.read() != without.picture.read()


def test_previews_are_few_however_many_steps_there_are(endpoint: Any) -> None:
    told = Told()
    asked(endpoint, told, prompt="a red boat", steps=20, seed=7)

    assert len(told.steps) == 20
    assert 1 <= len(told.previews) <= 8


def test_work_that_nobody_waits_for_ends_at_its_step(endpoint: Any) -> None:
    told = Told(leaves_at=2)
    with pytest.raises(Canceled):
        asked(endpoint, told, prompt="a red boat", steps=20, seed=7)

    assert told.steps == [(1, 20), (2, 20)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": ""},
        {"prompt": "x" * 1001},
        {"prompt": "x", "steps": 0},
        {"prompt": "x", "steps": 51},
        {"prompt": "x", "width": 1040},
        {"prompt": "x", "height": 8},
        {"prompt": "x", "seed": -1},
        {"prompt": "x", "seed": 2**32},
        {"prompt": "x", "guidance": 31},
        {"prompt": ["x"]},
    ],
    ids=["nothing", "empty", "long", "no step", "steps", "wide", "low", "seed", "large seed", "guidance", "list"],
)
def test_what_is_beyond_the_limits_is_refused_before_any_work(endpoint: Any, body: dict[str, Any]) -> None:
    from fairlead.errors import Invalid

    told = Told()
    with pytest.raises(Invalid):
        asked(endpoint, told, **body)
    assert told.steps == []


def test_a_side_that_the_pipeline_cannot_make_is_refused_with_one_that_it_can(endpoint: Any) -> None:
    with pytest.raises(InvalidInput, match="33 is no multiple of 2: 32 is"):
        asked(endpoint, prompt="x", steps=1, width=33)


def test_the_example_of_the_manifest_holds(endpoint: Any) -> None:
    from fairlead.modelserver.examples import difference

    manifest = tomllib.loads((EXAMPLE / "fairlead.toml").read_text())
    for example in manifest["examples"]:
        made = asked(endpoint, **example["input"])
        assert difference(example["expect"], {"seed": made.seed, "steps": made.steps}) == ""


def test_without_a_pipeline_it_is_said_what_to_put_where(tmp_path: Path) -> None:
    from fairlead.modelserver.loading import load

    shutil.copytree(EXAMPLE, tmp_path / "bare", ignore=shutil.ignore_patterns("__pycache__", "pipeline"))
    with pytest.raises(FileNotFoundError, match=r"python make_tiny\.py"):
        load(ModelSpec("text-to-image", "1", "python", entry="model:TextToImage"), tmp_path / "bare")
