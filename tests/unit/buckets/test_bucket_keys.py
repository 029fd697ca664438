"""Names of objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.buckets import keys
from fairlead.buckets.obstore import open_bucket
from fairlead.errors import Invalid


def test_each_kind_has_its_place() -> None:
    assert keys.bundle_key("ab12") == "bundles/ab12.zip"
    assert keys.bundle_key("sha256:ab12") == "bundles/sha256%3Aab12.zip"
    assert keys.input_key("m", "job-1", "tulip.jpg") == "in/m/job-1/tulip.jpg"
    assert keys.result_key("m", "job-1", 2) == "out/m/job-1/2"


@given(st.text())
def test_any_text_becomes_one_safe_segment(text: str) -> None:
    name = keys.file_name(text)
    assert "/" not in name
    assert keys.checked(name) == name


@given(st.text(max_size=30), st.text(max_size=30))
def test_short_names_stay_apart(one: str, other: str) -> None:
    if one and other and one != other:
        assert keys.file_name(one) != keys.file_name(other)


@pytest.mark.parametrize("prefix", ["..", "../a", "/", "a/../b", ".types"])
def test_prefixes_are_checked_too(prefix: str) -> None:
    if prefix == "/":
        assert keys.checked_prefix(prefix) == ""
        return
    with pytest.raises(Invalid):
        keys.checked_prefix(prefix)


@pytest.mark.parametrize("url", ["ftp://x", "s3://", "nonsense://a/b", "/proc/none/bucket"])
def test_a_bucket_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        open_bucket(url)
    assert refused.value.code == "bad_bucket"
