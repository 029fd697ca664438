"""What a bucket promises, in a folder, in memory, in S3, and as Google's and Azure's."""

from __future__ import annotations

import asyncio
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests import clouds, stores

from fairlead.buckets import keys
from fairlead.buckets.obstore import open_bucket
from fairlead.buckets.port import OCTETS, Bucket
from fairlead.errors import Invalid, NotFound, Unavailable


@pytest.fixture(scope="module")
def s3() -> Iterator[stores.S3]:
    with stores.s3() as store:
        yield store


@pytest.fixture
def away(s3: stores.S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of S3, with a prefix; this process may use it."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return f"{s3.make(f'b-{uuid.uuid4().hex}')}/some/prefix"


@pytest.fixture(scope="module")
def cloud() -> Iterator[clouds.Cloud]:
    with clouds.cloud() as made:
        yield made


@pytest.fixture
def google(cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty bucket of Google's."""
    for name, value in cloud.google(tmp_path).items():
        monkeypatch.setenv(name, value)
    cloud.buckets.clear()
    cloud.buckets["pictures"] = {"some/prefixed": (b"", "")}
    return "gs://pictures/some/prefix"


@pytest.fixture
def azure(cloud: clouds.Cloud, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty container of Azure's."""
    for name, value in cloud.azure().items():
        monkeypatch.setenv(name, value)
    cloud.buckets.clear()
    cloud.buckets["pictures"] = {"some/prefixed": (b"", "")}
    return "az://pictures/some/prefix"


@pytest.fixture(params=["folder", "memory", "s3", "google", "azure"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    match request.param:
        case "memory":
            return open_bucket("memory://")
        case "s3":
            return open_bucket(request.getfixturevalue("away"))
        case "google" | "azure":
            return open_bucket(request.getfixturevalue(request.param))
        case _:
            return open_bucket(str(tmp_path / "bucket"))


async def names(bucket: Bucket, prefix: str = "") -> list[str]:
    return sorted([each.key async for each in bucket.list(prefix)])


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for each in given:
        yield each


async def test_what_was_put_is_there_with_its_type(bucket: Bucket) -> None:
    await bucket.put("out/m/job-1/1", b"\x00\xff", "image/png")
    blob = await bucket.get("out/m/job-1/1")
    assert (blob.data, blob.content_type) == (b"\x00\xff", "image/png")
    entry = await bucket.head("out/m/job-1/1")
    assert (entry.key, entry.size, entry.content_type) == ("out/m/job-1/1", 2, "image/png")


async def test_the_last_put_counts_with_its_type_too(bucket: Bucket) -> None:
    await bucket.put("a", b"1", "text/plain")
    await bucket.put("a", b"22")
    blob = await bucket.get("a")
    assert (blob.data, blob.content_type) == (b"22", OCTETS)


async def test_of_many_who_put_a_new_object_one_does(bucket: Bucket) -> None:
    assert await bucket.put_new("a/b", b"first", "text/plain")
    assert not await bucket.put_new("a/b", b"second")
    blob = await bucket.get("a/b")
    assert (blob.data, blob.content_type) == (b"first", "text/plain")
    kept = await asyncio.gather(*(bucket.put_new("c", str(number).encode()) for number in range(8)))
    assert kept.count(True) == 1
    assert (await bucket.get("c")).data == str(kept.index(True)).encode()
    await bucket.delete("c")
    assert await bucket.put_new("c", b"again")


async def test_a_part_of_an_object_is_streamed(bucket: Bucket) -> None:
    data = bytes(range(256)) * 10_000
    await bucket.put("a", data)

    async def part(start: int, end: int | None = None) -> bytes:
        return b"".join([piece async for piece in bucket.stream("a", start=start, end=end)])

    assert await part(0, 10) == data[:10]
    assert await part(1_000_000) == data[1_000_000:]
    assert await part(2_000_001, 2_000_002) == data[2_000_001:2_000_002]
    assert await part(len(data) - 1, len(data) + 500) == data[-1:]


async def test_an_empty_object_is_an_object(bucket: Bucket) -> None:
    await bucket.put("a", b"")
    assert (await bucket.get("a")).data == b""
    assert [piece async for piece in bucket.stream("a")] in ([], [b""])


async def test_large_objects_go_in_and_out_in_pieces(bucket: Bucket) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB: more than one part
    await bucket.put("a", pieces(data[:7_000_000], data[7_000_000:]))
    got = [piece async for piece in bucket.stream("a")]
    assert b"".join(got) == data


async def test_a_file_can_be_put(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    await bucket.put("a/file", tmp_path / "file", "text/plain")
    assert (await bucket.get("a/file")).data == b"content"


async def test_a_put_that_breaks_off_leaves_what_was_there(bucket: Bucket) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 10_000_000
        raise RuntimeError("the caller went away")

    await bucket.put("a", b"old")
    with pytest.raises(RuntimeError, match="went away"):
        await bucket.put("a", broken())
    assert (await bucket.get("a")).data == b"old"
    assert await names(bucket) == ["a"]


async def test_lists_what_lies_below_whole_segments(bucket: Bucket) -> None:
    for key in ("in/m/1/x.png", "in/m/2/y", "in/mm/3/z", "out/m"):
        await bucket.put(key, b"1", "text/plain")
    assert await names(bucket, "in/m") == ["in/m/1/x.png", "in/m/2/y"]
    assert await names(bucket, "in/m/") == ["in/m/1/x.png", "in/m/2/y"]
    assert await names(bucket, "none") == []
    assert len(await names(bucket)) == 4
    assert [each.size async for each in bucket.list("out")] == [1]


async def test_what_is_not_there_is_not_found(bucket: Bucket) -> None:
    for ask in (bucket.get, bucket.head):
        with pytest.raises(NotFound) as refused:
            await ask("none")
        assert refused.value.code == "blob_missing"
    with pytest.raises(NotFound):
        _ = [piece async for piece in bucket.stream("none")]


async def test_deleted_is_gone_and_may_be_deleted_again(bucket: Bucket) -> None:
    await bucket.put("a/b", b"1", "text/plain")
    await bucket.delete("a/b")
    await bucket.delete("a/b")
    assert await names(bucket) == []
    await bucket.put("a/b", b"2")
    assert (await bucket.get("a/b")).content_type == OCTETS


HOSTILE = [
    "",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a/../b",
    ".",
    "..",
    ".types/a",
    "a/.b",
    "a b",
    "a\x00",
    "a\n",
    "ä",
    "a#1",
    "x" * 901,
]


@pytest.mark.parametrize("key", HOSTILE)
async def test_keys_that_could_leave_the_bucket_are_refused(bucket: Bucket, key: str) -> None:
    for ask in (bucket.put(key, b""), bucket.get(key), bucket.head(key), bucket.delete(key)):
        with pytest.raises(Invalid) as refused:
            await ask
        assert refused.value.code == "bad_key"
    with pytest.raises(Invalid):
        await bucket.signed_url(key, expires_s=1)


async def test_any_file_name_of_a_user_becomes_a_key(bucket: Bucket) -> None:
    for name in ("../../etc/passwd", ".hidden", "a b#?.png", "ä€.jpg", "", "x" * 500 + ".png", "~", "%2e%2e"):
        key = keys.input_key("m", "job-1", name)
        await bucket.put(key, name.encode())
        assert (await bucket.get(key)).data == name.encode()
    assert len(await names(bucket, "in/m/job-1")) == 8


async def test_many_at_once(bucket: Bucket) -> None:
    await asyncio.gather(*(bucket.put(f"a/{number}", str(number).encode()) for number in range(50)))
    got = await asyncio.gather(*(bucket.get(f"a/{number}") for number in range(50)))
    assert [each.data for each in got] == [str(number).encode() for number in range(50)]


async def test_folder_and_memory_sign_no_urls(tmp_path: Path) -> None:
    for url in ("memory://", str(tmp_path / "bucket")):
        assert await open_bucket(url).signed_url("a", expires_s=60) is None


async def test_a_signed_url_of_s3_needs_no_token_and_tells_the_type(away: str) -> None:
    bucket = open_bucket(away)
    await bucket.put("out/m/job-1/1", b"a picture", "image/png")
    url = await bucket.signed_url("out/m/job-1/1", expires_s=60)
    assert url is not None

    def fetch() -> tuple[bytes, str | None]:
        with urllib.request.urlopen(url) as answer:
            return answer.read(), answer.headers["Content-Type"]

    assert await asyncio.to_thread(fetch) == (b"a picture", "image/png")


async def test_a_folder_that_cannot_be_written_to_is_unavailable(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path / "bucket"))
    (tmp_path / "bucket" / "a").write_bytes(b"")  # a file where a folder is needed: refused to root too
    with pytest.raises(Unavailable) as refused:
        await bucket.put("a/b", b"1")
    assert refused.value.code == "bucket_down"


async def test_a_signed_url_names_the_object_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "ACCESS_KEY_ID": "A",
        "SECRET_ACCESS_KEY": "B",
        "REGION": "eu-central-1",
        "ENDPOINT": "http://127.0.0.1:1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    url = await open_bucket("s3://pictures/fairlead").signed_url("out/m/1", expires_s=90)
    assert url is not None
    assert "/fairlead/out/m/1?" in url
    assert "X-Amz-Expires=90" in url


async def test_a_folder_gives_large_objects_piece_by_piece(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path / "bucket"))
    await bucket.put("a", b"x" * 5_000_000)
    assert max([len(piece) async for piece in bucket.stream("a")]) <= 2 * 1024**2
