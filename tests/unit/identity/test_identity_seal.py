"""The home's key: what it seals opens with it alone, and its file is nobody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairlead.errors import Internal
from fairlead.identity import seal
from fairlead.identity.mask import Mask

SEALER = seal.Sealer(bytes(32))


def test_what_was_sealed_opens_under_its_name_alone() -> None:
    sealed = SEALER.seal("hunter2", "secret mood/KEY")

    assert SEALER.open(sealed, "secret mood/KEY") == "hunter2"
    assert b"hunter2" not in sealed
    assert SEALER.seal("hunter2", "secret mood/KEY") != sealed
    changed = bytes([sealed[0] ^ 1]) + sealed[1:]
    for content, name in ((sealed, "secret other/KEY"), (changed, "secret mood/KEY"), (b"", "secret mood/KEY")):
        with pytest.raises(Internal) as caught:
            SEALER.open(content, name)
        assert caught.value.code == "seal_broken"
        assert "restore" in caught.value.hint


def test_another_homes_key_opens_nothing_and_derives_something_else() -> None:
    other = seal.Sealer(b"\1" * 32)

    with pytest.raises(Internal):
        other.open(SEALER.seal("hunter2", "x"), "x")
    assert SEALER.derive("gate m@1") == SEALER.derive("gate m@1")
    assert len({SEALER.derive("gate m@1"), SEALER.derive("gate m@2"), other.derive("gate m@1")}) == 3
    assert len(SEALER.derive("gate m@1")) == 43


def test_the_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    first = seal.load_sealer(tmp_path / "keys").derive("x")

    file = tmp_path / "keys" / seal.FILE
    assert (file.stat().st_mode & 0o777, len(file.read_bytes())) == (0o600, 32)
    assert [path.name for path in file.parent.iterdir()] == [seal.FILE]
    assert seal.load_sealer(tmp_path / "keys").derive("x") == first
    file.write_bytes(b"short")
    with pytest.raises(Internal, match="holds no key"):
        seal.load_sealer(tmp_path / "keys")


def test_of_two_programs_that_make_the_key_one_wins(tmp_path: Path) -> None:
    file = tmp_path / seal.FILE
    file.write_bytes(b"k" * 32)

    seal._make(file)
    assert file.read_bytes() == b"k" * 32
    assert [path.name for path in tmp_path.iterdir()] == [seal.FILE]


def test_fingerprints_tell_secrets_apart_and_are_empty_for_none() -> None:
    one, two = {"A": b"x", "B": b"y"}, {"A": b"xB", "B": b"y"}

    assert seal.fingerprint({}) == ""
    assert seal.fingerprint(one) == seal.fingerprint(dict(reversed(one.items()))) != seal.fingerprint(two)


def test_a_mask_takes_values_out_of_text_line_by_line_and_the_longest_first() -> None:
    mask = Mask(["abcd", "abcdef", "first line\nsecond line\n", "xy"])

    assert mask("key=abcdef and abcd, xy") == "key=*** and ***, xy"
    assert mask("  second line") == "  ***"
    assert not Mask(["xy"])


def test_a_secret_is_masked_as_it_stands_in_json_and_python_too() -> None:
    secret = 'hunter2-\u00fc"q\\x'
    mask = Mask([secret])
    for told in (secret, json.dumps(secret), json.dumps([secret], ensure_ascii=False), repr(secret), ascii(secret)):
        assert "hunter2" not in mask(f"the key is {told}.")
