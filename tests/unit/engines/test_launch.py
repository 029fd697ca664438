"""What starting a replica takes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fairlead.engines.launch import Compiled, Launch, launch, replica_name, zygote_name
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted, ZygoteSpec
from fairlead.sandbox.level import Isolation, Level
from fairlead.settings import SOCKET_PATH_BYTES, Home

DIGEST = "sha256:89abcdef01234567"
WANTED = VersionWanted(
    spec=ModelSpec(name="a-model-with-a-long-name", version="1.2.0", runtime="sklearn", env={"A": "1"}),
    digest=DIGEST,
    bundle_key="",
    environment=EnvironmentSpec(),
    gate="secret",
    preload=("numpy",),
)


def made(
    home: Home,
    wanted: VersionWanted = WANTED,
    replica: str = "",
    secrets: dict[str, str] | None = None,
    compiled: Compiled | None = None,
) -> Launch:
    return launch(
        wanted,
        home,
        replica=replica or replica_name(wanted.spec.name, wanted.digest),
        bundle=Path("/home/bundles/b"),
        environment=Path("/home/environments/e"),
        base=("/opt/python",),
        isolation=Isolation(Level.FULL, own_uid=True, view=True),
        uid=200001,
        platform_uid=0,
        marker={"FAIRLEAD_HOME_ID": "x"},
        secrets=secrets,
        compiled=compiled,
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_zygote_is_named_after_its_version_and_a_replica_after_its_zygote() -> None:
    zygote = zygote_name("a-model-with-a-long-name", DIGEST)

    assert zygote == "a-model-with-89abcdef"
    assert replica_name("a-model-with-a-long-name", DIGEST).startswith(f"{zygote}-")
    assert replica_name("m", DIGEST) != replica_name("m", DIGEST)


def test_sockets_lie_in_the_zygotes_folder_and_are_short(home: Home) -> None:
    found = made(home)

    assert found.spec.socket == str(home.run / found.zygote / "z.sock")
    assert found.fork.serve.startswith(f"{home.run / found.zygote}/")
    longest = max(found.fork.serve, found.fork.keep, key=len)
    assert len(longest) - len(str(home.run)) + len("/fairlead-12345678") + 40 <= SOCKET_PATH_BYTES


def test_the_zygote_writes_where_its_replicas_do(home: Home) -> None:
    found = made(home)

    for path in (found.fork.serve, found.fork.keep, found.fork.log, found.fork.scratch):
        assert any(path.startswith(f"{folder}/") for folder in (*found.rules.write, *found.rules.plain))


def test_a_compiled_program_is_seen_with_its_packages_and_needs_no_scikit_learn(home: Home) -> None:
    program = Compiled(home.compiled / "89ab", ("/home/compiled/tools",))
    plain, found = made(home), made(home, compiled=program)

    assert (plain.compiled, plain.fork.compiled, plain.spec.paths) == (False, "", ())
    assert (found.compiled, found.fork.compiled) == (True, str(program.folder))
    assert found.spec.paths == program.paths
    assert {str(program.folder), *program.paths} <= set(found.rules.execute)
    assert found.spec.preload == ("numpy", "onnxruntime")
    assert found.zygote == plain.zygote
    assert found.fingerprint != plain.fingerprint  # so another zygote takes its place

    with_code = msgspec.structs.replace(WANTED, spec=msgspec.structs.replace(WANTED.spec, entry="model:M"))
    told = msgspec.structs.replace(with_code, preload=("pandas",))
    assert made(home, told, compiled=program).spec.preload == ("pandas", "numpy", "onnxruntime")


def test_the_zygote_is_told_its_spec_and_not_the_gate(home: Home) -> None:
    found = made(home)

    assert msgspec.json.decode(found.rules.env["FAIRLEAD_ZYGOTE"], type=ZygoteSpec) == found.spec
    assert found.rules.env["A"] == "1"
    assert found.rules.env["FAIRLEAD_HOME_ID"] == "x"
    assert "secret" not in str(found.rules)
    assert found.fork.gate == "secret"


def test_the_fingerprint_changes_with_what_a_zygote_is_made_from(home: Home) -> None:
    same = made(home).fingerprint

    assert made(home).fingerprint == same
    for change in ({"attempt": 1}, {"outbound": True}, {"memory_mb": 1024}):
        assert made(home, msgspec.structs.replace(WANTED, **change)).fingerprint != same
    assert made(home, msgspec.structs.replace(WANTED, gate="other", replicas=5)).fingerprint == same


def test_secrets_are_variables_of_the_zygote_and_a_change_outdates_it(home: Home) -> None:
    sealed = msgspec.structs.replace(WANTED, secrets={"KEY": b"sealed"})
    plain, secret = made(home), made(home, sealed, secrets={"KEY": "hunter22"})

    assert secret.rules.env["KEY"] == "hunter22"
    assert secret.fingerprint != plain.fingerprint
    assert (plain.secrets, len(secret.secrets)) == ("", 16)
    assert "hunter22" not in str((secret.spec, secret.fork, secret.fingerprint, secret.secrets))
