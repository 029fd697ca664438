"""Shapes that are not JSON's own: files, models of pydantic, and shapes that somebody described in words."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from fairlead.sdk.checking import Check
from fairlead.sdk.files import File
from fairlead.sdk.shapes import Shape, join

_ROW = re.compile(r"^\[\d+\]\.?")
"""Where in a list of rows something is."""


class FileShape(Shape):
    """A file: base64 text or a ``data:`` URL in JSON; bytes in a form or as the body."""

    def __init__(self, kind: type[File]) -> None:
        self.kind = kind
        self.said = f"base64 text or a data: URL ({kind.media_range})"

    def check(self, value: Any, path: str, into: Check) -> Any:
        if isinstance(value, File):
            made = value if isinstance(value, self.kind) else self.kind(value.read(), value.name, value._media_type)
        elif not isinstance(value, str):
            self.wrong_type(value, path, into)
            return value
        else:
            try:
                made = self.kind.from_text(value)
            except ValueError as error:
                into.fault(path, "file", str(error), f"give {self.said}")
                return value
        made.field = _ROW.sub("", path)  # of a row of many: who tells of its faults adds which one it is
        return made

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "contentEncoding": "base64", "contentMediaType": self.kind.media_range}


class PydanticShape(Shape):
    """A model of pydantic, where the bundle brings pydantic; known by its methods, never imported."""

    said = "an object"

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def check(self, value: Any, path: str, into: Check) -> Any:
        try:
            return self.kind.model_validate(value)
        except ValueError as error:
            errors: list[Any] = getattr(error, "errors", list)()
            for one in errors or [{"loc": (), "type": "value", "msg": str(error)}]:
                where = path
                for part in one["loc"]:
                    where = f"{where}[{part}]" if isinstance(part, int) else join(where, str(part))
                into.fault(where, str(one["type"]), str(one["msg"]))
            return value

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kind.model_json_schema()
        return found


class Described(Shape):
    """A shape with title, description or examples."""

    def __init__(self, inner: Shape, meta: msgspec.Meta) -> None:
        self.inner = inner
        self.meta = meta
        self.said = inner.said

    def check(self, value: Any, path: str, into: Check) -> Any:
        return self.inner.check(value, path, into)

    def schema(self) -> dict[str, Any]:
        words = {"title": self.meta.title, "description": self.meta.description, "examples": self.meta.examples}
        found = self.inner.schema() | {key: word for key, word in words.items() if word is not None}
        return found | (self.meta.extra_json_schema or {})
