"""Files of examples are read out of the bundle; no other file of it is."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from fairlead.buckets import members
from fairlead.buckets.members import member
from fairlead.errors import Invalid, NotFound

MORE = """
[[examples]]
title = "a file"
input = { month = "model.py" }
[[examples]]
title = "none"
input = { month = 6 }
"""


async def test_a_file_that_an_example_names_is_given_and_no_other(world: Any) -> None:
    await world.model(more=MORE)
    ada, base = world.by("ada"), "/api/v1/models/flowers/examples"

    given = await ada.get(f"{base}/0/model.py")
    assert given.status_code == 200
    assert given.text.startswith("def predict(month: int)")
    assert "sandbox" in given.headers["content-security-policy"], "what a bundle wrote runs nowhere"
    for path in ("0/app.py", "0/fairlead.toml", "1/model.py", "2/model.py", "-1/model.py"):
        assert (await ada.get(f"{base}/{path}")).status_code == 404, path
    assert (await world.by("").get(f"{base}/0/model.py")).status_code == 401


async def test_of_a_long_archive_only_what_is_needed_is_read(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(40):
            archive.writestr(f"weights/{number}.bin", bytes(100_000))
        archive.writestr("pictures/cat.png", b"a cat")
    bucket, asked = world.house.bucket, []
    await bucket.put("bundles/long.zip", file.getvalue())
    stream = bucket.stream

    def counted(key: str, *, start: int = 0, end: int | None = None) -> Any:
        asked.append((end or 0) - start)
        return stream(key, start=start, end=end)

    monkeypatch.setattr(type(bucket), "stream", lambda self, key, **part: counted(key, **part))
    assert await member(bucket, "bundles/long.zip", "pictures/cat.png", max_bytes=100) == b"a cat"
    assert sum(asked) <= 3 * members._PORTION_BYTES

    with pytest.raises(NotFound) as missing:
        await member(bucket, "bundles/long.zip", "pictures/dog.png", max_bytes=100)
    assert missing.value.code == "file_missing"
    with pytest.raises(Invalid) as long:
        await member(bucket, "bundles/long.zip", "weights/1.bin", max_bytes=100)
    assert long.value.code == "file_too_large"
    await bucket.put("bundles/no.zip", b"no archive at all")
    with pytest.raises(Invalid) as corrupt:
        await member(bucket, "bundles/no.zip", "x", max_bytes=100)
    assert corrupt.value.code == "bundle_corrupt"
