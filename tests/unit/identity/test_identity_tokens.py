"""Tokens: what is minted is verified, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from fairlead import identity
from fairlead.errors import Forbidden, Internal, Invalid

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys() -> identity.Keys:
    return identity.Keys(identity.new_key())


def mint(keys: identity.Keys, **changes: object) -> identity.Minted:
    options = {"keys": keys, "days": 30, "now": NOW, **changes}
    return identity.mint("ada", ("ai_developer", "user"), **options)  # type: ignore[arg-type]


def code(call: object) -> str:
    with pytest.raises(Forbidden) as caught:
        call()  # type: ignore[operator]
    assert caught.value.hint
    return caught.value.code


def test_a_minted_token_says_who_and_until_when(keys: identity.Keys) -> None:
    minted = mint(keys)
    assert minted.token.startswith("fl_")
    assert minted.expires == NOW + timedelta(days=30)
    claims = identity.verify(minted.token, keys=keys, now=NOW)
    assert (claims.sub, claims.roles, claims.jti) == ("ada", ("ai_developer", "user"), minted.jti)
    assert claims.exp - claims.iat == 30 * 86_400
    assert claims.has("user")
    assert not claims.has("configurer")


def test_the_cookie_form_is_taken_too(keys: identity.Keys) -> None:
    minted = mint(keys)
    assert not minted.cookie.startswith("fl_")
    assert identity.verify(minted.cookie, keys=keys, now=NOW).sub == "ada"


def test_roles_stand_in_a_list_and_in_one_text(keys: identity.Keys) -> None:
    payload = jwt.decode(mint(keys).cookie, options={"verify_signature": False})
    assert payload["roles"] == ["ai_developer", "user"]
    assert payload["role"] == "ai_developer user"


@pytest.mark.parametrize("token", ["nonsense", "fl_", "fl_a.b.c", "fl_é", "fl_" + "x" * 10_000])
def test_junk_is_invalid(keys: identity.Keys, token: str) -> None:
    assert code(lambda: identity.verify(token, keys=keys, now=NOW)) == "token_invalid"


def test_no_token_is_required(keys: identity.Keys) -> None:
    assert code(lambda: identity.verify("", keys=keys, now=NOW)) == "token_required"


def test_expired_and_revoked_are_told_apart(keys: identity.Keys) -> None:
    minted = mint(keys)
    late = NOW + timedelta(days=30)
    assert code(lambda: identity.verify(minted.token, keys=keys, now=late)) == "token_expired"
    assert code(lambda: identity.verify(minted.token, keys=keys, now=NOW, denied={minted.jti})) == "token_revoked"
    assert identity.verify(minted.token, keys=keys, now=NOW, denied={"tok-other"}).jti == minted.jti


def test_another_installations_token_is_invalid(keys: identity.Keys) -> None:
    other = identity.Keys(identity.new_key())
    assert code(lambda: identity.verify(mint(other).token, keys=keys, now=NOW)) == "token_invalid"
    lying = identity.Keys(identity.SigningKey(other.current.private, keys.current.kid))
    assert code(lambda: identity.verify(mint(lying).token, keys=keys, now=NOW)) == "token_invalid"


def test_unsigned_and_otherwise_signed_tokens_are_invalid(keys: identity.Keys) -> None:
    payload = jwt.decode(mint(keys).cookie, options={"verify_signature": False})
    head = {"kid": keys.current.kid}
    unsigned = jwt.encode(payload, None, algorithm="none", headers=head)
    public = keys.current.kid.ljust(64)  # known to all; PyJWT refuses to misuse the key set itself
    shared = jwt.encode(payload, public, algorithm="HS256", headers=head)
    for token in (unsigned, shared):
        assert code(lambda chosen=token: identity.verify(chosen, keys=keys, now=NOW)) == "token_invalid"


def test_a_token_without_one_of_its_claims_is_invalid(keys: identity.Keys) -> None:
    payload = jwt.decode(mint(keys).cookie, options={"verify_signature": False})
    for claim in ("iss", "sub", "aud", "jti", "iat", "exp", "roles"):
        less = {name: value for name, value in payload.items() if name != claim}
        token = jwt.encode(less, keys.current.private, algorithm="EdDSA", headers={"kid": keys.current.kid})
        assert code(lambda chosen=token: identity.verify(chosen, keys=keys, now=NOW)) == "token_invalid", claim


def test_a_page_token_is_for_that_page_only(keys: identity.Keys) -> None:
    audience = identity.page_audience("night")
    token = mint(keys, audience=audience).token
    assert code(lambda: identity.verify(token, keys=keys, now=NOW)) == "token_invalid"
    assert identity.verify(token, keys=keys, now=NOW, audience=audience).aud == "page:night"
    assert identity.verify(token, keys=keys, now=NOW, audience=None).aud == "page:night"


@pytest.mark.parametrize("days", [0, -1, 367, float("nan")])
def test_days_have_bounds(keys: identity.Keys, days: float) -> None:
    with pytest.raises(Invalid) as caught:
        mint(keys, days=days)
    assert caught.value.code == "days_out_of_range"


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = identity.load(folder)
    assert identity.load(folder).jwks() == first.jwks()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert [file.name for file in folder.iterdir()] == ["current.pem"]


def test_rotation_keeps_the_previous_key_and_ends_the_one_before(tmp_path: Path) -> None:
    first = identity.load(tmp_path)
    token = mint(first).token
    second = identity.rotate(tmp_path)
    assert second.previous is not None
    assert second.previous.kid == first.current.kid
    assert identity.verify(token, keys=second, now=NOW).sub == "ada"
    third = identity.rotate(tmp_path)
    assert code(lambda: identity.verify(token, keys=third, now=NOW)) == "token_invalid"
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_the_key_set_is_public(tmp_path: Path) -> None:
    keys = identity.rotate(tmp_path)
    found = jwt.PyJWKSet.from_json(keys.jwks())
    assert [key.key_id for key in found.keys] == [keys.current.kid, keys.previous.kid if keys.previous else None]
    assert '"d"' not in keys.jwks()


def test_a_broken_key_is_named(tmp_path: Path) -> None:
    identity.load(tmp_path)
    (tmp_path / "current.pem").write_text("nonsense")
    with pytest.raises(Internal) as caught:
        identity.load(tmp_path)
    assert caught.value.code == "key_broken"
    assert "current.pem" in caught.value.message


def test_a_token_that_is_known_is_not_verified_anew_and_is_judged_all_the_same(
    keys: identity.Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    minted = mint(keys)
    known = identity.verify(minted.token, keys=keys, now=NOW)
    with monkeypatch.context() as patched:
        patched.setattr(jwt, "decode", lambda *_, **__: pytest.fail("it was verified again"))
        assert identity.verify(minted.cookie, keys=keys, now=NOW) == known
    forged = minted.token[:-4] + ("AAAA" if minted.token[-4:] != "AAAA" else "BBBB")
    late = NOW + timedelta(days=31)
    assert code(lambda: identity.verify(forged, keys=keys, now=NOW)) == "token_invalid"
    assert code(lambda: identity.verify(minted.token, keys=keys, now=late)) == "token_expired"
    assert code(lambda: identity.verify(minted.token, keys=keys, now=NOW, denied={minted.jti})) == "token_revoked"
    assert code(lambda: identity.verify(minted.token, keys=keys, now=NOW, audience="page:x")) == "token_invalid"
    others = identity.Keys(identity.new_key())
    assert code(lambda: identity.verify(minted.token, keys=others, now=NOW)) == "token_invalid"
