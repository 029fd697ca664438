"""Links that need no token: what is changed, what is over, and whose key it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from fairlead.errors import Forbidden
from fairlead.identity import links
from fairlead.identity.seal import Sealer

NOW = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
PATH = "/links/jobs/job-1"
HOME, OTHER = Sealer(b"k" * 32), Sealer(b"o" * 32)


def parts(for_s: float = 60, sealer: Sealer = HOME) -> tuple[str, str, str]:
    made = links.link(sealer, "https://house.example", PATH, NOW, for_s)
    assert made.expires_at == NOW + timedelta(seconds=for_s)
    url = urlsplit(made.url)
    asked = parse_qs(url.query)
    return url.path, asked["expires"][0], asked["signature"][0]


def refused(path: str, expires: str, signature: str, now: datetime = NOW, sealer: Sealer = HOME) -> str:
    with pytest.raises(Forbidden) as error:
        links.check(sealer, path, expires, signature, now)
    assert error.value.hint
    return error.value.code


def test_a_link_opens_what_it_names_until_it_ends() -> None:
    path, expires, signature = parts()
    links.check(HOME, path, expires, signature, NOW)
    links.check(HOME, path, expires, signature, NOW + timedelta(seconds=59))
    assert refused(path, expires, signature, NOW + timedelta(seconds=60)) == "link_expired"


def test_what_is_changed_opens_nothing() -> None:
    path, expires, signature = parts()
    assert refused("/links/jobs/job-2", expires, signature) == "link_invalid"
    assert refused(path, str(int(expires) + 1), signature) == "link_invalid"
    assert refused(path, expires, signature[:-1] + ("A" if signature[-1] != "A" else "B")) == "link_invalid"
    assert refused(path, expires, signature, sealer=OTHER) == "link_invalid"
    late = NOW + timedelta(days=1)
    assert refused(path, str(int(expires) + 10**6), signature, late) == "link_invalid", "nothing is told of an end"


@pytest.mark.parametrize("expires", ["", "-1", "1e9", " 1", "٣٤", "9" * 12, "0x10", "nan"])
@pytest.mark.parametrize("signature", ["", "x", "é" * 43, "A" * 43, "A" * 10_000])
def test_nonsense_is_refused_as_such(expires: str, signature: str) -> None:
    assert refused(PATH, expires, signature) == "link_invalid"


def test_no_other_signature_of_the_home_is_a_link() -> None:
    path, expires, _ = parts()
    assert refused(path, expires, HOME.derive(path)) == "link_invalid"
