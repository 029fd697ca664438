"""Ids are new, in order of time, and another process gives none of ours."""

from __future__ import annotations

import os

from fairlead import ids


def test_ids_are_new_and_sort_by_time() -> None:
    many = [ids.ulid(now_ms) for now_ms in range(1_000_000, 1_003_000)]
    assert len(set(many)) == len(many)
    assert many == sorted(many)
    assert {len(one) for one in many} == {26}
    assert ids.ulid(0)[:10] == "0" * 10
    assert ids.ulid(2**48 - 1)[:10] == "7" + "z" * 9


def test_a_child_gives_none_of_its_parents_ids() -> None:
    ids.ulid()  # random bits for more of them are there now
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, "".join(ids.ulid(0) for _ in range(20)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        said = file.read()
    os.waitpid(child, 0)
    theirs = {said[at : at + 26] for at in range(0, len(said), 26)}
    assert len(theirs) == 20
    assert theirs.isdisjoint(ids.ulid(0) for _ in range(20))
