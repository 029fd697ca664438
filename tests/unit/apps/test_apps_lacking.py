"""What an app asks for that is not there: told when it is checked and pushed, with what was meant."""

from pathlib import Path

import pytest

from fairlead.apps import lacking
from fairlead.bundles.check import check
from fairlead.bundles.manifest import AppManifest

APP = """
kind = "app"
name = "a"
[run]
entry = "app:app"
[models]
m = "{model}"
[devices]
lamp = {{ type = "{type}" }}
"""
CODE = 'import fairlead\napp = fairlead.App()\nlamp = app.device("{role}")\nmodel = app.model("m")\n'


def folder(at: Path, type: str = "lamp", model: str = "mood@production", role: str = "lamp") -> Path:
    (at / "fairlead.toml").write_text(APP.format(type=type, model=model))
    (at / "app.py").write_text(CODE.format(role=role))
    return at


@pytest.mark.parametrize(
    ("type", "model", "said"),
    [
        ("lamp@1", "mood", []),
        ("lampe", "mood", ["devices.lamp.type: there is no device type lampe; did you mean lamp?"]),
        ("lamp@3", "mood", ["devices.lamp.type: there is no device type lamp@3; there is lamp@1, lamp@2"]),
        ("lamp", "moot@staging", ["models.m: there is no model moot; did you mean mood?"]),
    ],
)
def test_types_and_models_that_are_not_there_are_told(tmp_path: Path, type: str, model: str, said: list[str]) -> None:
    manifest = check(folder(tmp_path, type, model)).manifest
    assert isinstance(manifest, AppManifest)
    assert [lacking.text(one) for one in lacking.told(manifest, {"lamp": {1, 2}, "fan": {1}}, ["mood"])] == said


@pytest.mark.parametrize(("role", "said"), [("lamp", []), ("lampp", ["line 3: [devices] has no role 'lampp'"])])
def test_a_role_that_only_the_code_has_is_told_by_its_line(tmp_path: Path, role: str, said: list[str]) -> None:
    checked = check(folder(tmp_path, role=role))
    assert checked.problems == ()
    assert [one.message for one in checked.warnings] == said
    assert [(one.path, one.hint) for one in checked.warnings] == [("app.py", "did you mean lamp?")] * len(said)
