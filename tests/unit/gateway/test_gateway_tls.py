"""A certificate and its key: taken together or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.certificates import Authority

from fairlead.errors import Invalid
from fairlead.gateway.tls import check_pair

NOW = datetime.now(UTC)


def test_a_pair_that_fits_is_good(tmp_path: Path) -> None:
    check_pair(*Authority(tmp_path).issue(), NOW)


def test_what_does_not_fit_is_refused_with_what_to_do(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (chain, key), (other, _) = authority.issue(), authority.issue()
    ended, its_key = authority.issue(days=-1)
    for pair, said in (
        ((other, key), "not that of the certificate"),
        ((b"nonsense", key), "no certificate"),
        ((chain, b"nonsense"), "no open private key"),
        ((ended, its_key), "ended at"),
    ):
        with pytest.raises(Invalid, match=said) as caught:
            check_pair(*pair, NOW)
        assert (caught.value.code, bool(caught.value.hint)) == ("certificate", True)
