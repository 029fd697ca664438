"""Object stores for tests: an S3 that others wrote (moto), in this process, on a free port."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

REGION = "eu-central-1"


@dataclass(frozen=True)
class S3:
    """A running S3."""

    endpoint: str

    @property
    def env(self) -> Mapping[str, str]:
        """Return the variables by which clients find it and sign in."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-tester",
            "AWS_REGION": REGION,
        }

    def make(self, bucket: str) -> str:
        """Have an empty bucket; returns its URL."""
        made = httpx.put(f"{self.endpoint}/{bucket}", headers=_signed(), content=_location())
        assert made.status_code == 200, made.text
        return f"s3://{bucket}"

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the names of all objects."""
        import boto3

        with_env = {name.lower(): value for name, value in self.env.items() if name != "AWS_ENDPOINT_URL"}
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=with_env["aws_access_key_id"],
            aws_secret_access_key=with_env["aws_secret_access_key"],
            region_name=REGION,
        )
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))


@contextmanager
def s3(port: int = 0) -> Iterator[S3]:
    """Yield an S3 without buckets."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, found = server.get_host_and_port()
        yield S3(f"http://{host}:{found}")
    finally:
        server.stop()


def _signed() -> dict[str, str]:
    # moto looks at the region that a request was signed for, and at nothing else of it
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential=tester/20260101/{REGION}/s3/aws4_request"}


def _location() -> str:
    return f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
