"""Manifests: what is right is read, and all that is wrong is told at once, with line and hint."""

import pytest

from fairlead.bundles.manifest import AppManifest, ModelManifest, parse
from fairlead.bundles.rules import span
from fairlead.errors import Invalid, Problem

MODEL = 'kind = "model"\nname = "m"\n[run]\nentry = "model:M"\n'
APP = 'kind = "app"\nname = "a"\n[run]\nentry = "app:app"\n'


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.code == "manifest_invalid"
    return caught.value.problems


def told(text: str) -> list[tuple[str, str]]:
    return [(problem.path, problem.rule) for problem in problems(text)]


def test_a_small_model_takes_the_defaults() -> None:
    manifest = parse(MODEL)

    assert isinstance(manifest, ModelManifest)
    assert (manifest.run.runtime, manifest.batch.max_size, manifest.scale.max) == ("python", 64, 20)
    assert (manifest.access.visibility, manifest.resources.memory_mb, manifest.version) == ("team", 512, None)


@pytest.mark.parametrize(
    ("artifact", "runtime"),
    [("m.onnx", "onnx"), ("m.joblib", "sklearn"), ("m.pkl", "sklearn"), ("m.pt", "torch"), ("w.safetensors", "torch")],
)
def test_the_runtime_is_known_from_the_artifact(artifact: str, runtime: str) -> None:
    manifest = parse(f'kind = "model"\nname = "m"\nrun = {{ artifact = "{artifact}" }}\n')

    assert isinstance(manifest, ModelManifest)
    assert manifest.run.runtime == runtime


def test_an_app_names_devices_models_and_params() -> None:
    manifest = parse(
        APP + '[models]\nfaces = "face-recognition@production"\n[devices]\ncamera = { type = "camera@1" }\n'
        'lamps = { type = "lamp", count = "0..", shared = true }\n'
        "[params]\nlimit_c = { type = 'number', default = 26, minimum = 10 }\n"
    )

    assert isinstance(manifest, AppManifest)
    assert manifest.devices["lamps"].count == "0.."
    assert manifest.params["limit_c"]["default"] == 26


def test_an_app_may_be_programs() -> None:
    manifest = parse(
        'kind = "app"\nname = "a"\n[run]\nweb = "/"\n[processes]\nweb = ["gunicorn", "site:app"]\nlook = ["./look"]\n'
    )

    assert isinstance(manifest, AppManifest)
    assert manifest.processes["web"] == ("gunicorn", "site:app")


def test_all_problems_come_at_once_in_the_order_of_lines() -> None:
    text = (
        'kind = "model"\nname = "Bad Name"\nversion = "v1"\ntimeout_s = 3\n\n[run]\nruntime = "sklaern"\n'
        'artifact = "../x"\nentry = "x y"\ntimeout_s = "3"\n[scale]\nmin = 9\nmax = 2\n[[routes]]\npath = "/api/x"\n'
        "[[examples]]\ninput = 3\n"
    )

    found = problems(text)

    assert [(problem.line, problem.path, problem.rule) for problem in found] == [
        (2, "name", "name"),
        (3, "version", "version"),
        (4, "timeout_s", "unknown_key"),
        (7, "run.runtime", "choice"),
        (8, "run.artifact", "path"),
        (9, "run.entry", "entry"),
        (10, "run.timeout_s", "type"),
        (12, "scale.min", "range"),
        (15, "routes.0.path", "route_taken"),
        (16, "examples.0.title", "missing"),
    ]
    assert found[2].hint == "it belongs in [run]"
    assert found[3].hint == "did you mean sklearn?"


@pytest.mark.parametrize("path", ["/ui", "/ui/models", "/sign-in", "/sign-out", "/assets/x"])
def test_no_model_takes_a_path_of_the_page_or_of_signing_in(path: str) -> None:
    found = problems(f'kind = "model"\nname = "m"\n[run]\nentry = "m:M"\n[[routes]]\npath = "{path}"\n')

    assert [problem.rule for problem in found if problem.path == "routes.0.path"] == ["route_taken"]


def test_a_misspelled_key_is_told_once() -> None:
    found = problems('kind = "model"\nname = "m"\n[run]\nartefact = "m.onnx"\n')

    assert [(problem.line, problem.path, problem.rule, problem.hint) for problem in found] == [
        (4, "run.artefact", "unknown_key", "did you mean artifact?")
    ]


def test_the_message_names_file_line_field_and_count() -> None:
    with pytest.raises(Invalid) as caught:
        parse(MODEL + "tiemout_s = 1\nsecrets = 'x'\n", source="m/fairlead.toml")

    assert caught.value.message == "m/fairlead.toml:5 run.tiemout_s: unknown key (and 1 more)"
    assert caught.value.hint == "did you mean timeout_s?"


@pytest.mark.parametrize(
    ("addition", "path", "rule"),
    [
        ("timeout_s = 0", "run.timeout_s", "limit"),
        ("timeout_s = true", "run.timeout_s", "type"),
        ('python = "three"', "run.python", "python"),
        ('requires = ["--index-url x"]', "run.requires.0", "requirement_option"),
        ('requires = ["-e ."]', "run.requires.0", "requirement_option"),
        ('requires = ["a @ file:///etc/x.whl"]', "run.requires.0", "requirement_url"),
        ('requires = ["a; rm -rf /"]', "run.requires.0", "requirement"),
        ('requires = ["fairlead==9"]', "run.requires.0", "requirement_fairlead"),
        ('requires = "../requirements.txt"', "run.requires", "path"),
        ('env = { "A B" = "1" }', "run.env", "variable"),
        ('env = { FAIRLEAD_HOME = "1" }', "run.env", "reserved"),
        ('env = { LD_PRELOAD = "x" }', "run.env", "reserved"),
        ("env = { A = 1 }", "run.env.A", "type"),
        ('secrets = ["a-b"]', "run.secrets", "variable"),
        ('artifact = "m.onnx"\nruntime = "python"', "run.artifact", "runtime"),
        ('runtime = "onnx"', "run.runtime", "runtime"),
        ("compile = true", "run.compile", "compile"),
        ('artifact = "/etc/passwd"\nruntime = "onnx"', "run.artifact", "path"),
        ('artifact = "a\\\\b"\nruntime = "onnx"', "run.artifact", "path"),
        ("[batch]\nmax_size = 0", "batch.max_size", "limit"),
        ("[resources]\ngpu = '0..2'", "resources.gpu", "gpu"),
        ("[resources]\ngpu = 1.5", "resources.gpu", "gpu"),
        ("[access]\nvisibility = 'everyone'", "access.visibility", "choice"),
        ("[network]\noutbound = ['x:1']", "network.outbound", "type"),
        ("[[routes]]\npath = 'x'", "routes.0.path", "path"),
        ("[[routes]]\npath = '/x/../api'", "routes.0.path", "path"),
        ("[[routes]]\npath = '/x'\nmethods = ['GRAB']", "routes.0.methods.0", "choice"),
        ("[[routes]]\npath = '/x'\nentry = '__init__'", "routes.0.entry", "entry"),
        ("[[routes]]\npath = '/x'\n[[routes]]\npath = '/x'", "routes.1.path", "duplicate"),
        ("[[routes]]\npath = '/x'\nproduces = 'png'", "routes.0.produces", "media_type"),
        ("[[examples]]\ntitle = 't'\ninput = { at = 2026-01-01 }", "examples.0.input.at", "not_json"),
        ("[[examples]]\ntitle = 't'\ninput = inf", "examples.0.input", "not_json"),
        ("[card]\nauthor = 'x'", "card.author", "unknown_key"),
        ('[card]\nlicense = "a\\u001b[31m"', "card.license", "control_character"),
        ('[card]\nlicense = "a\\u202ec"', "card.license", "control_character"),
    ],
)
def test_what_is_wrong_in_a_model_is_named(addition: str, path: str, rule: str) -> None:
    assert told(MODEL + addition + "\n") == [(path, rule)]


@pytest.mark.parametrize(
    ("addition", "path", "rule"),
    [
        ('web = "healthz"', "run.web", "path"),
        ("[processes]\nweb = ['x']", "processes", "either"),
        ("[models]\nBad = 'm'", "models.Bad", "name"),
        ("[models]\nfaces = 'A b'", "models.faces", "model"),
        ("[models]\nfaces = 'm@'", "models.faces", "model"),
        ("[models]\nx = 'm'\n[devices]\nx = { type = 't' }", "models.x", "role"),
        ("[devices]\nx = { type = 't@one' }", "devices.x.type", "type"),
        ("[devices]\nx = { type = 't', count = 0 }", "devices.x.count", "count"),
        ("[devices]\nx = { type = 't', count = '4..1' }", "devices.x.count", "count"),
        ("[devices]\nx = { type = 't', tier = 'human' }", "devices.x.tier", "choice"),
        ("[devices]\nx = { count = 1 }", "devices.x.type", "missing"),
        ("[params]\nx = { type = 'nmber' }", "params.x.type", "schema"),
        ("[params]\nx = { type = 'number', minimun = 1 }", "params.x.minimun", "unknown_key"),
        ("[params]\nx = { type = 'number', default = 'a' }", "params.x.default", "default"),
        ("[params]\nx = { title = 'x' }", "params.x", "missing"),
        ("[params]\nx = 5", "params.x", "type"),
        ("[batch]\nmax_size = 4", "batch", "unknown_key"),
    ],
)
def test_what_is_wrong_in_an_app_is_named(addition: str, path: str, rule: str) -> None:
    assert told(APP + addition + "\n") == [(path, rule)]


def test_a_page_of_programs_needs_one_called_web() -> None:
    text = 'kind = "app"\nname = "a"\n[run]\nweb = "/"\n[processes]\nmain = ["x"]\nempty = []\n'

    assert told(text) == [("run.web", "processes"), ("processes.empty", "missing")]


@pytest.mark.parametrize(
    ("text", "path", "rule"),
    [
        ("", "kind", "missing"),
        ("kind = 'modle'", "kind", "choice"),
        ("kind = 5", "kind", "choice"),
        ("kind = ", "fairlead.toml", "toml"),
        ("a" * 300_000, "fairlead.toml", "too_large"),
        ("x = " + "[" * 5000, "fairlead.toml", "toml"),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, path: str, rule: str) -> None:
    assert (path, rule) in told(text)


@pytest.mark.parametrize("kind", ["", 'kind = "modle"\n', 'kind = "ap"\n', 'kind = "thing"\n'])
def test_a_kind_that_is_wrong_hides_nothing_else(kind: str) -> None:
    tail = 'entry = "app:app"\n[devices]\nfan = "fan@1"\n' if "ap" in kind else 'artefact = "m.onnx"\n'
    found = told(f'{kind}name = "No Name"\nsummary = 3\n[run]\npython = "==3.9.*"\n{tail}')

    assert [path for path, _ in found] == [
        "kind",
        "name",
        "summary",
        "run.python",
        "devices.fan" if "ap" in kind else "run.artefact",
    ]


def test_a_table_that_is_missing_is_called_a_table() -> None:
    with pytest.raises(Invalid) as caught:
        parse('kind = "model"\nname = "m"\n')

    assert [(one.path, one.hint) for one in caught.value.problems] == [("run", "write the table [run]")]


def test_a_line_is_found_past_strings_of_many_lines() -> None:
    found = problems(MODEL + '[card]\nabstract = """\nname = 5\n[scale]\n"""\nunknown = 1\n')

    assert [(problem.line, problem.path) for problem in found] == [(10, "card.unknown")]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (1, 1)), ("0..1", (0, 1)), ("1..4", (1, 4)), ("0..", (0, None)), ("2..", (2, None)), ("3", (3, 3))],
)
def test_counts_are_spans(count: int | str, expected: tuple[int, int | None]) -> None:
    assert span(count) == expected


@pytest.mark.parametrize("count", [0, -1, "", "..", "..4", "4..1", "0..0", "a", "1...2", "٣", "9" * 5000])
def test_what_is_no_count_is_none(count: int | str) -> None:
    assert span(count) is None


@pytest.mark.parametrize(
    ("value", "path", "rule"),
    [
        ("100000000000000000000000000", "examples.0.input.x", "range"),
        ('"' + "x" * 140_000 + '"', "examples", "too_large"),
    ],
)
def test_what_no_message_would_carry_is_refused(value: str, path: str, rule: str) -> None:
    found = problems(MODEL + f'[[examples]]\ntitle = "one"\ninput = {{ x = {value} }}\n')
    assert [(problem.path, problem.rule) for problem in found] == [(path, rule)]


@pytest.mark.parametrize(
    "line", [".".join("a" * 20_000) + " = 1", "timeout_s = " + "9" * 5_000, "x = " + "[" * 500 + "]" * 500]
)
def test_what_python_itself_cannot_read_is_a_fault_of_the_manifest(line: str) -> None:
    (problem,) = problems(MODEL + line + "\n")
    assert problem.rule == "toml"


@pytest.mark.parametrize("major", ["", "\u00b2", "9" * 5000, "1.0"])
def test_what_is_no_major_of_a_device_type_is_told(major: str) -> None:
    named = problems(APP + f'[devices]\ncamera = {{ type = "camera@{major}" }}\n')
    assert ("devices.camera.type", "type") in {(one.path, one.rule) for one in named}


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("percentile = 99.99999999999999", "slo.percentile"),
        ("availability = 99.9999999999999", "slo.availability"),
        ("latency_ms = inf", "slo.latency_ms"),
        ("latency_ms = 1e300", "slo.latency_ms"),
    ],
)
def test_a_promise_that_cannot_be_reckoned_with_is_refused(line: str, field: str) -> None:
    assert told(f"{MODEL}[slo]\n{line}\n") == [(field, "range")]
