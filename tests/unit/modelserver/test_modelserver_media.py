"""The media type of a file is a header of the answer: made up by a caller or a model, it must be one."""

import pytest

from fairlead.modelserver.protocols.answers import media_type
from fairlead.sdk.files import File


@pytest.mark.parametrize("kind", ["image/png", "application/vnd.x+json", "text/html; charset=utf-8"])
def test_a_media_type_is_said_as_it_is(kind: str) -> None:
    assert media_type(File(b"x", media_type=kind)) == kind


@pytest.mark.parametrize(
    "kind", ["a/b\r\nx-evil: 1", "a/b; c\nd", "a", "", "ä/ö", "a/b\0", "a/b;" + "x" * 300, "a b/c"]
)
def test_s43_what_is_no_media_type_is_not_said(kind: str) -> None:
    assert media_type(File(b"x", media_type=kind)) == "application/octet-stream"
