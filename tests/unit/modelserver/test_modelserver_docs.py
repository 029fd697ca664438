"""The page of a model shows a command that calls it."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from fairlead.messages import ExampleSpec, ModelSpec
from fairlead.modelserver.protocols.docs import curl, page_of, sample


def spec(*examples: ExampleSpec) -> ModelSpec:
    return ModelSpec(name="mood", version="1", runtime="python", examples=examples)


def endpoint(properties: dict[str, Any], *, files: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"input": schema, "output": {}, "summary": "<b>", "files": list(files)}


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
    assert "<script>" not in page
