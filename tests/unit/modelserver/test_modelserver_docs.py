"""The page of a model shows a command that calls it."""

from __future__ import annotations

import ast
import json
import re
import shlex
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

import fairlead
from fairlead.messages import ExampleSpec, ModelSpec
from fairlead.modelserver.protocols.docs import openapi_of
from fairlead.modelserver.protocols.page import POLICY, curl, page_of, python, sample
from fairlead.sdk.inputs import Signature, signature_of


def spec(*examples: ExampleSpec) -> ModelSpec:
    return ModelSpec(name="mood", version="1", runtime="python", examples=examples)


def endpoint(properties: dict[str, Any], *, files: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"input": schema, "output": {}, "summary": "<b>", "files": list(files)}


def described(signature: Signature, **more: Any) -> dict[str, Any]:
    """Return what is stored of an endpoint of this signature, and no examples."""
    made = {"input": signature.schema(), "output": signature.returns_schema(), "summary": ""}
    return {"endpoints": {"predict": made | {"files": list(signature.files)} | more}, "examples": []}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number"}, 1),
        ({"type": "boolean"}, True),
        ({"enum": ["a", "b"]}, "a"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["text", "text"]),
        ({"type": "string", "default": "en"}, "en"),
        ({}, None),
    ],
)
def test_a_value_is_made_of_its_schema(schema: dict[str, Any], value: object) -> None:
    assert sample(schema) == value


def test_the_command_gives_what_must_be_given_or_the_first_example() -> None:
    made = endpoint({"text": {"type": "string"}, "n": {"type": "integer"}})

    words = shlex.split(curl(spec(), "predict", made).replace("\\\n", ""))
    assert words[2] == "$FAIRLEAD_URL/v1/models/mood/predict"
    assert json.loads(words[words.index("-d") + 1]) == {"text": "text", "n": 1}
    told = curl(spec(ExampleSpec(title="one", input={"text": "it's"})), "predict", made)
    assert json.loads(shlex.split(told.replace("\\\n", ""))[-1]) == {"text": "it's"}


def test_files_are_sent_as_a_form() -> None:
    made = endpoint({"picture": {"type": "string"}, "n": {"type": "integer"}}, files=("picture",))

    assert shlex.split(curl(spec(), "predict", made).replace("\\\n", ""))[-4:] == ["-F", "picture=@FILE", "-F", "n=1"]


def test_what_the_page_shows_is_escaped() -> None:
    made = endpoint({"x": {"enum": ["<script>"]}})

    page = page_of(spec(), {"endpoints": {"predict": made}})

    assert "curl -s" in page
    assert page.count("<script>") == 1  # our own
    assert "one of &lt;script&gt;" in page


def test_the_one_script_of_the_page_is_the_one_that_its_policy_lets_run() -> None:
    page = page_of(spec(), {"endpoints": {"predict": endpoint({"x": {"type": "number"}})}}, home="/")
    assert '<a href="/">All models</a>' in page

    script = page.partition("<script>")[2].partition("</script>")[0]
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in POLICY
    assert "src=" not in page.replace(script, "")
    assert "http" not in page.replace(script, "").replace("http-equiv", "")


def test_the_form_calls_the_version_whose_page_it_is_with_the_examples() -> None:
    made = endpoint({"picture": {"type": "string"}, "n": {"type": "integer"}}, files=("picture",))
    examples = [
        ExampleSpec("a cat", {"picture": "cat.png", "n": 2}),
        ExampleSpec("two", {"picture": "dog.png", "n": 3}),
    ]

    page = page_of(spec(*examples), {"endpoints": {"predict": made}}, "Tells <cats>")

    assert '<form data-path="predict">' in page
    assert '<input type="file" name="picture" multiple>' in page
    assert ">{&quot;n&quot;: 2}</textarea>" in page
    assert ">two</option>" in page
    assert "Tells &lt;cats&gt;" in page


@pytest.mark.parametrize("way", [{}, {"streams": True}])
def test_the_program_on_the_page_is_one(way: dict[str, bool]) -> None:
    made = endpoint({"picture": {"type": "string"}, "n": {"type": "integer"}}, files=("picture",)) | way

    told = python(spec(), "predict", made)

    ast.parse(told)
    assert 'Client().model("mood").' in told
    assert 'picture=File("FILE"), n=1)' in told


def test_openapi_tells_of_files_tokens_and_answers_that_are_files() -> None:
    def predict(picture: fairlead.Image, n: int = 1) -> fairlead.Image: ...

    told = openapi_of(spec(), described(signature_of(predict)))
    post = told["paths"]["/v1/models/mood/predict"]["post"]

    taken = post["requestBody"]["content"]
    assert list(taken) == ["application/json", "multipart/form-data", "image/*"]
    form = taken["multipart/form-data"]["schema"]
    assert form["properties"]["picture"] == {"type": "string", "format": "binary"}
    assert form["required"] == ["picture"]
    answers = post["responses"]["200"]["content"]
    assert list(answers) == ["application/json", "image/*"]
    one, many = answers["application/json"]["schema"]["anyOf"]
    assert many == {"type": "array", "items": one}
    assert told["security"] == [{"token": []}]
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_every_reference_in_openapi_leads_somewhere() -> None:
    schema = {"$defs": {"Leaf": {"type": "integer"}, "Tree": {"items": {"$ref": "#/$defs/Leaf"}}}}
    schema |= {"type": "object", "properties": {"tree": {"$ref": "#/$defs/Tree"}}}
    both = described(Signature(())) | {}
    both["endpoints"]["predict"] |= {"input": schema, "output": schema}

    told = openapi_of(spec(), both)

    text = json.dumps(told)
    assert "$defs" not in text
    found = set(re.findall(r'"\$ref": "#/([^"]+)"', text))
    assert len(found) == 5
    for reference in found:
        place: Any = told
        for part in reference.split("/"):
            place = place[part]
