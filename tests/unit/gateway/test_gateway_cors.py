"""Which pages elsewhere may ask: those that a setting names, with no cookie."""

from __future__ import annotations

import pytest

from fairlead.errors import Invalid
from fairlead.gateway.cors import cors_access, origins_of


def test_origins_are_listed_whole_and_once() -> None:
    said = " https://page.example, https://page.example:8443,http://127.0.0.1:9000,https://page.example "
    assert origins_of(said) == ("https://page.example", "https://page.example:8443", "http://127.0.0.1:9000")
    assert origins_of("") == ()


@pytest.mark.parametrize(
    "word",
    [
        *(
            "*",
            "null",
            "page.example",
            "https://",
            "https://*.example",
            "https://page.example/",
            "https://Page.example",
        ),
        *("https://page.example/ui", "http://page.example", "https://ada@page.example", "ftp://page.example"),
    ],
)
def test_what_is_no_origin_is_refused(word: str) -> None:
    with pytest.raises(Invalid, match="page_origins"):
        origins_of(f"https://good.example, {word}")


def test_no_page_elsewhere_has_a_cookie_sent() -> None:
    policy = cors_access(["https://page.example"])["cors"]
    assert policy["allow_credentials"] is False
    assert policy["allow_origin_string_match"] == [{"exact": "https://page.example"}]
