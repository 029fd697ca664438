"""What a bucket's URL says, and what a store's failure means."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.buckets import failures, urls
from fairlead.buckets.claim import OWNER_KEY, claim, try_out
from fairlead.buckets.obstore import open_bucket
from fairlead.errors import Conflict, Invalid, Unavailable


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/data/bucket", urls.Where(folder="/data/bucket", place="/data/bucket")),
        ("bucket", urls.Where(folder="bucket", place="bucket")),
        ("file:///data/bucket", urls.Where(folder="/data/bucket", place="/data/bucket")),
        ("memory://", urls.Where(url="memory://", place="memory://")),
        ("s3://pictures", urls.Where(url="s3://pictures", place="s3://pictures")),
        ("S3://pictures/a/b/", urls.Where(url="s3://pictures/a/b", place="s3://pictures/a/b")),
        ("s3a://pictures", urls.Where(url="s3a://pictures", place="s3://pictures")),
        ("gs://pictures/lab", urls.Where(url="gs://pictures/lab", place="gs://pictures/lab")),
        ("az://pictures/lab", urls.Where(url="az://pictures/lab", place="az://pictures/lab")),
        ("abfss://pictures", urls.Where(url="abfss://pictures", place="az://pictures")),
    ],
)
def test_a_url_says_which_store_and_where(url: str, found: urls.Where) -> None:
    assert urls.where(url) == found


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "neither a folder nor a URL"),
        ("s3:pictures", "neither a folder nor a URL"),
        ("s3://", "no name of a bucket"),
        ("s3:///pictures", "no name of a bucket"),
        ("gs://a b", "no name of a bucket"),
        ("s3://key:secret@pictures", "into the environment"),
        ("s3://pictures?region=eu", "into the environment"),
        ("ftp://pictures", "ftp is no store"),
        ("https://pictures.s3.amazonaws.com", "https is no store"),
        ("file://bucket", "begins with /"),
    ],
)
def test_what_is_no_bucket_is_refused_and_tells_no_secret(url: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        open_bucket(url)
    assert refused.value.code == "bad_bucket"
    assert "s3://BUCKET/PREFIX" in refused.value.hint
    assert "secret" not in refused.value.message


def test_http_is_spoken_to_who_says_so_only() -> None:
    assert not urls.allows_http("s3://a", {})
    assert not urls.allows_http("s3://a", {"AWS_ENDPOINT_URL": "https://store.lan"})
    assert urls.allows_http("s3://a", {"AWS_ENDPOINT_URL": "http://store.lan"})
    assert urls.allows_http("az://a", {"AZURE_STORAGE_ENDPOINT": "http://store.lan"})
    assert urls.allows_http("gs://a", {"GOOGLE_ALLOW_HTTP": "true"})
    assert not urls.allows_http("gs://a", {"AWS_ENDPOINT_URL": "http://store.lan"})


S3_SAID = """The operation lacked the necessary privileges to complete for path a: Error performing PUT
https://s3.eu-central-1.amazonaws.com/pictures/a?X-Amz-Signature=5ec in 90ms - Server returned non-2xx status code:
403 Forbidden: <Error><Code>{}</Code><Message>{}</Message><AWSAccessKeyId>AKIA5ECRET</AWSAccessKeyId></Error>"""


@pytest.mark.parametrize(
    ("place", "text", "code", "said", "hint"),
    [
        (
            "s3://pictures",
            S3_SAID.format("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
            "bucket_refused",
            "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist",
            "AWS_REGION",
        ),
        ("s3://pictures", S3_SAID.format("AccessDenied", "Access Denied"), "bucket_refused", "AccessDenied", "may do"),
        (
            "s3://pictures/lab",
            "Object at location a not found: - 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
            "bucket_missing",
            "there is no bucket pictures",
            "setting bucket",
        ),
        (
            "az://pictures",
            "Object not found: <Code>ContainerNotFound</Code><Message>The specified container does not exist.</Message>",
            "bucket_missing",
            "no bucket pictures",
            "AZURE_STORAGE_ENDPOINT",
        ),
        (
            "s3://pictures",
            "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 5s - HTTP error",
            "bucket_no_credentials",
            "no credentials",
            "AWS_ACCESS_KEY_ID",
        ),
        (
            "gs://pictures",
            "Generic GCS error: GET http://metadata.google.internal/computeMetadata/v1 - HTTP error",
            "bucket_no_credentials",
            "no credentials",
            "GOOGLE_SERVICE_ACCOUNT",
        ),
        (
            "gs://pictures",
            "Generic GCS error: GET https://storage.googleapis.com/pictures - HTTP error\n\n dns error: failed",
            "bucket_down",
            "its name is not known here",
            "network",
        ),
        (
            "s3://pictures",
            "Generic S3 error: x\n Connection refused",
            "bucket_down",
            "nobody listens there",
            "ENDPOINT",
        ),
        ("/data", "Unable to write: No space left on device (os error 28)", "disk_full", "is full (/data)", "restart"),
        ("/data", "Unable to open file: Permission denied (os error 13)", "bucket_down", "Permission denied", "folder"),
    ],
)
def test_a_failure_has_a_name_and_a_next_step(place: str, text: str, code: str, said: str, hint: str) -> None:
    error = failures.meaning(text, place, "a")
    assert isinstance(error, Unavailable)
    assert error.code == code
    assert said in error.message
    assert hint in error.hint
    assert error.retry_after_s
    assert "5ec" not in error.message
    assert "5ECRET" not in error.message


@pytest.mark.parametrize(
    ("url", "hint"), [("gs://pictures", "GOOGLE_SERVICE_ACCOUNT"), ("az://pictures", "AZURE_STORAGE_ACCOUNT_NAME")]
)
def test_credentials_that_are_not_there_are_named(
    url: str, hint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "none.json"))
    with pytest.raises(Invalid) as refused:
        open_bucket(url)
    assert refused.value.code == "bucket_no_credentials"
    assert hint in refused.value.hint


async def test_a_bucket_is_of_one_installation() -> None:
    bucket = open_bucket("memory://")
    await try_out(bucket)
    assert [one async for one in bucket.list()] == []
    await claim(bucket, "first", "s3://pictures")
    await claim(bucket, "first", "s3://pictures")
    with pytest.raises(Conflict) as refused:
        await claim(bucket, "second", "s3://pictures")
    assert refused.value.code == "bucket_in_use"
    assert OWNER_KEY in refused.value.hint
    await bucket.delete(OWNER_KEY)
    await claim(bucket, "second", "s3://pictures")
