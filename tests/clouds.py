"""The few calls of Google Cloud Storage's XML API and of Azure's blobs that a bucket makes, as a server in this process.

Nobody's signature is checked: clients are tested with it, not stores.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MOMENT = formatdate(1_790_000_000, usegmt=True)


@dataclass
class Cloud:
    """What a server holds, and where it is."""

    address: str = ""
    buckets: dict[str, dict[str, tuple[bytes, str]]] = field(default_factory=dict)
    """By bucket and key: bytes and content type."""
    parts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By upload (or blob) and part."""
    types: dict[str, str] = field(default_factory=dict)
    """By upload."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def google(self, folder: Path) -> Mapping[str, str]:
        """Return the variables of who uses it as Google's."""
        account = {"gcs_base_url": self.address, "disable_oauth": True, "client_email": "", "private_key": ""}
        file = folder / "service-account.json"
        file.write_text(json.dumps(account | {"private_key_id": ""}))
        return {"GOOGLE_SERVICE_ACCOUNT": str(file), "GOOGLE_ALLOW_HTTP": "true"}

    def azure(self) -> Mapping[str, str]:
        """Return the variables of who uses it as Azure's."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": "tester",
            "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0LW9mLXRoZS10ZXN0ZXI=",
            "AZURE_STORAGE_ENDPOINT": self.address,
        }


@contextmanager
def cloud() -> Iterator[Cloud]:
    """Yield a cloud without buckets."""
    made = Cloud()
    handler = type("Bound", (_Handler,), {"cloud": made})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.address = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield made
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    cloud: Cloud
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self._do()

    do_GET = do_HEAD = do_DELETE = do_POST = do_PUT

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _do(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = url.path.removeprefix("/").partition("/")
        asked = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        with self.cloud.lock:
            objects = self.cloud.buckets.get(bucket)
            if objects is None:
                code = "ContainerNotFound" if "x-ms-version" in self.headers else "NoSuchBucket"
                self._say(404, f"<Error><Code>{code}</Code></Error>")
            elif asked.get("comp") == "batch":
                self._batch(objects, body)
            elif not key:
                self._list(objects, asked)
            elif "uploads" in asked or "uploadId" in asked or "comp" in asked:
                self._part(objects, unquote(key), asked, body)
            else:
                self._one(objects, unquote(key), body)

    def _one(self, objects: dict[str, tuple[bytes, str]], key: str, body: bytes) -> None:
        if self.command == "PUT":
            is_new = self.headers.get("x-goog-if-generation-match") == "0" or self.headers.get("if-none-match") == "*"
            if is_new and key in objects:
                self._say(412 if "x-goog-if-generation-match" in self.headers else 409, "<Error></Error>")
                return
            objects[key] = (body, self._type())
            self._say(201 if "x-ms-version" in self.headers else 200)
        elif key not in objects:
            self._say(404, "" if self.command == "HEAD" else "<Error><Code>NoSuchKey</Code></Error>")
        elif self.command == "DELETE":
            del objects[key]
            self._say(202 if "x-ms-version" in self.headers else 204)
        else:
            self._give(*objects[key])

    def _give(self, data: bytes, kind: str) -> None:
        asked = self.headers.get("range") or self.headers.get("x-ms-range") or ""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        more = {"Content-Type": kind}
        if wanted is None:
            self._say(200, data, more)
            return
        start, end = int(wanted[1]), min(len(data), int(wanted[2] or len(data)) + 1)
        more["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._say(206, data[start:end], more)

    def _part(self, objects: dict[str, tuple[bytes, str]], key: str, asked: dict[str, str], body: bytes) -> None:
        parts = self.cloud.parts
        if "uploads" in asked:
            upload = uuid.uuid4().hex
            self.cloud.types[upload] = self._type()
            self._say(
                200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
        elif asked.get("comp") == "block":
            parts[key, asked["blockid"]] = body
            self._say(201)
        elif asked.get("comp") == "blocklist":
            named = re.findall(r"<(?:Uncommitted|Latest)>([^<]*)</", body.decode())
            objects[key] = (b"".join(parts.pop((key, name)) for name in named), self._type())
            self._say(201)
        elif self.command == "PUT":
            parts[asked["uploadId"], asked["partNumber"]] = body
            self._say(200)
        elif self.command == "POST":
            named = re.findall(r"<PartNumber>(\d+)</", body.decode())
            whole = b"".join(parts.pop((asked["uploadId"], name)) for name in named)
            objects[key] = (whole, self.cloud.types.pop(asked["uploadId"]))
            self._say(200, '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>')
        else:  # given up
            for name in [name for name in parts if name[0] == asked["uploadId"]]:
                del parts[name]
            self._say(204)

    def _batch(self, objects: dict[str, tuple[bytes, str]], body: bytes) -> None:
        """Delete many of Azure's: each part is a request, and so is the answer's."""
        answers = []
        for number, path in enumerate(re.findall(r"DELETE /[^/ ]+/([^? ]+)[^ ]* HTTP", body.decode())):
            is_there = objects.pop(unquote(path), None) is not None
            said = (
                "202 Accepted"
                if is_there
                else "404 The specified blob does not exist.\r\nx-ms-error-code: BlobNotFound"
            )
            head = f"--batch\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
            answers.append(f"{head}HTTP/1.1 {said}\r\nx-ms-request-id: 1\r\n\r\n")
        self._say(202, "".join(answers) + "--batch--\r\n", {"Content-Type": "multipart/mixed; boundary=batch"})

    def _list(self, objects: dict[str, tuple[bytes, str]], asked: dict[str, str]) -> None:
        found = sorted(key for key in objects if key.startswith(asked.get("prefix", "")))
        if "x-ms-version" in self.headers:
            blobs = "".join(
                f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{MOMENT}</Last-Modified><Etag>1</Etag>"
                f"<Content-Length>{len(objects[key][0])}</Content-Length><Content-Type>{objects[key][1]}</Content-Type>"
                "</Properties></Blob>"
                for key in found
            )
            self._say(200, f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>")
            return
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key][0])}</Size>"
            '<LastModified>2026-11-20T14:03:00.000Z</LastModified><ETag>"1"</ETag></Contents>'
            for key in found
        )
        self._say(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")

    def _type(self) -> str:
        return self.headers.get("x-ms-blob-content-type") or self.headers.get("content-type") or "none"

    def _say(self, status: int, body: bytes | str = b"", more: Mapping[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        own = {"ETag": '"1"', "Last-Modified": MOMENT, "x-goog-generation": "1", "Content-Length": str(len(data))}
        for name, value in (own | dict(more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
