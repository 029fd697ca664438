"""The example ``face-recognition``, served with dlib's own weights: people of the gallery, strangers and wrong pictures."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.process.test_serve import Served

MISSING = [name for name in ("dlib", "face_recognition_models", "PIL") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} cannot be imported: pip install dlib-bin …, as .ci/run does"),
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "face-recognition"
WIDER = os.environ.get("FAIRLEAD_FACES", "")
"""A folder of pictures with an ``answers.csv`` (file, name), for a check with faces that are not drawn."""
Ask = Callable[..., httpx.Response]
LOADING_S = 120.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faces") / "face-recognition"
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns("__pycache__"))
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    made = Served("--here", str(folder))
    yield made
    made.close()


@pytest.fixture(scope="module")
def ask(served: Served) -> Ask:
    url = says(served, r"^ready (http://127\.0\.0\.1:\d+/v1/models/face-recognition)/predict$")[1]

    def post(content: bytes = b"", kind: str = "image/png", entry: str = "predict", **options: Any) -> httpx.Response:
        # each on a connection of its own: a kept one would lead to the replica that a change replaced
        if content or "files" not in options:
            options |= {"content": content, "headers": {"Content-Type": kind}}
        return httpx.post(f"{url}/{entry}", timeout=LOADING_S, **options)

    return post


def says(served: Served, pattern: str, after: int = 0) -> re.Match[str]:
    """Return the first line from ``after`` on that has ``pattern``: reading the weights takes its time on a busy machine."""
    end = time.monotonic() + LOADING_S
    while True:
        for line in served.said[after:]:
            if found := re.search(pattern, line):
                return found
        assert time.monotonic() < end, served.said
        time.sleep(0.02)


def picture(name: str) -> Any:
    image = pytest.importorskip("PIL.Image")
    return image.open(EXAMPLE / name).convert("RGB")


def packed(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def blank(width: int, height: int) -> Any:
    return pytest.importorskip("PIL.Image").new("RGB", (width, height), (90, 120, 90))


@pytest.mark.parametrize("name", ["ada", "bo", "cem"])
@pytest.mark.parametrize("side", [64, 256, 700])
def test_people_of_the_gallery_have_their_names_at_any_size(ask: Ask, name: str, side: int) -> None:
    image = picture(f"gallery/{name}/1.png").rotate(4, fillcolor=(120, 120, 120)).resize((side, side))
    answer = ask(packed(image, "JPEG", quality=80), "image/jpeg")
    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert found["name"] == name
    assert found["distance"] < 0.5
    left, top, right, bottom = found["box"]
    assert 0 < left < side / 2 < right < side
    assert 0 < top < side / 2 < bottom <= side


def test_who_is_not_in_the_gallery_is_unknown(ask: Ask) -> None:
    found = ask((EXAMPLE / "pictures/visitor.png").read_bytes()).json()
    assert found["name"] == "unknown"
    assert 0.6 < found["distance"] < 1


def test_photos_that_are_made_for_a_load_have_the_right_answers(ask: Ask, tmp_path: Path) -> None:
    program = [sys.executable, str(EXAMPLE / "pictures/photos.py"), str(tmp_path / "photos"), "12"]
    subprocess.run(program, check=True, timeout=120)
    with (tmp_path / "photos/answers.csv").open(newline="") as lines:
        header, *answers = csv.reader(lines)
    assert header == ["file", "name"]
    found = {file: ask((tmp_path / "photos" / file).read_bytes(), "image/jpeg").json()["name"] for file, _ in answers}
    assert found == dict(answers)
    assert len(set(found.values())) == 4


def test_each_face_of_a_picture_is_named_where_it_is(ask: Ask) -> None:
    image = blank(1200, 600)
    for at, name in enumerate(("gallery/ada/1.png", "gallery/cem/1.png", "pictures/visitor.png", "gallery/bo/1.png")):
        image.paste(picture(name), (20 + 290 * at, 100 + 20 * at))
    found = ask(packed(image)).json()
    by_place = sorted(found["faces"], key=lambda face: face["box"][0])
    assert [face["name"] for face in by_place] == ["ada", "cem", "unknown", "bo"]
    boxes = [face["box"] for face in found["faces"]]
    sizes = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
    assert sizes == sorted(sizes, reverse=True)
    assert found["name"] == found["faces"][0]["name"]


def test_a_picture_of_no_face_shows_nobody_and_a_small_one_is_taken_as_a_face(ask: Ask) -> None:
    assert ask(packed(blank(640, 480))).json() == {"name": "nobody", "distance": None, "box": None, "faces": []}
    face = picture("gallery/cem/1.png").crop((80, 90, 175, 200)).resize((40, 40))
    assert ask(packed(face)).json()["box"] == [0, 0, 39, 39]


def test_a_photo_that_lies_on_its_side_is_turned_as_it_says(ask: Ask) -> None:
    image = picture("gallery/bo/1.png").rotate(90, expand=True)
    turned = image.getexif()
    turned[0x0112] = 6  # the camera was turned: show it turned by 90 degrees clockwise
    assert ask(packed(image, "JPEG", exif=turned, quality=90), "image/jpeg").json()["name"] == "bo"


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"Dear all, please find attached", "image/jpeg", "not a picture that can be read"),
        (b"Dear all, please find attached", "text/plain", "not a picture that can be read"),
        (b"", "image/png", "is empty"),
        (b"\x89PNG\r\n\x1a\n and no more", "image/png", "not a picture that can be read"),
        (b"\x00\x01\x02\x03" * 64, "application/x-nobody-knows", "not a picture that can be read"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf", "not a picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "not a picture that can be read"),
    ],
    ids=[
        "a text that is called a picture",
        "a text",
        "nothing",
        "the start of one",
        "an unknown type",
        "a document",
        "SVG",
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(ask: Ask, content: bytes, kind: str, said: str) -> None:
    answer = ask(content, kind)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "invalid_input"


@pytest.mark.parametrize("side", [7000, 20000])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(ask: Ask, side: int) -> None:
    image = pytest.importorskip("PIL.Image").new("1", (side, side))
    answer = ask(packed(image))
    assert answer.status_code == 422, answer.text
    assert "40,000,000 is the most" in answer.json()["error"]["message"]


def test_a_picture_of_an_unknown_type_is_a_picture_all_the_same(ask: Ask) -> None:
    for kind in ("application/octet-stream", "application/x-nobody-knows"):
        answer = ask((EXAMPLE / "gallery/ada/1.png").read_bytes(), kind)
        assert (answer.status_code, answer.json()["name"]) == (200, "ada"), (kind, answer.text)


def test_a_payload_that_is_no_picture_by_far_too_large_is_refused_before_it_is_read(served: Served) -> None:
    url = httpx.URL(says(served, r"^ready (http://127\.0\.0\.1:\d+/v1/models/face-recognition)/predict$")[1])
    with socket.create_connection((url.host, url.port or 80), timeout=LOADING_S) as client:
        head = f"POST {url.path}/predict HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: image/jpeg\r\n"
        client.sendall(f"{head}Content-Length: {10 * 1024**3}\r\n\r\n".encode())
        answer = client.recv(65536)
    assert answer.split()[1] == b"413", answer
    assert b"body_too_large" in answer or b"too_large" in answer, answer


def test_half_a_picture_is_refused(ask: Ask) -> None:
    whole = packed(picture("gallery/ada/1.png"), "JPEG")
    answer = ask(whole[: len(whole) // 2], "image/jpeg")
    assert answer.status_code == 422, answer.text


def test_a_plain_form_is_answered_by_file_and_name(ask: Ask) -> None:
    sent = {"inputFile": ("test_07.png", packed(picture("gallery/bo/1.png")), "image/png")}
    for accept in ("*/*", "text/plain"):
        answer = ask(entry="form", files=sent, headers={"Accept": accept})
        assert answer.text == "test_07:bo"
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.skipif(not WIDER, reason="FAIRLEAD_FACES names no folder of pictures")
def test_faces_that_are_not_drawn_are_named(folder: Path, served: Served, ask: Ask) -> None:
    with (Path(WIDER) / "answers.csv").open(newline="") as lines:
        answers = [row for row in csv.reader(lines) if len(row) > 1 and any(Path(WIDER).glob(f"{row[0]}*"))]
    files = {file: next(Path(WIDER).glob(f"{file}*")) for file, _ in answers}
    before, seen = len(served.said), set()
    for file, name in answers:
        content = files[file].read_bytes()
        if content not in seen:
            seen.add(content)
            (folder / "gallery" / name).mkdir(exist_ok=True)
            (folder / "gallery" / name / files[file].name).write_bytes(content)
    says(served, "^serving face-recognition@", before)
    found = {file: ask(files[file].read_bytes(), "image/jpeg").json()["name"] for file, _ in answers}
    assert found == dict(answers)


def test_another_folder_enrols_a_person_and_a_bad_picture_does_not(folder: Path, served: Served, ask: Ask) -> None:
    before = len(served.said)
    (folder / "fairlead.toml").write_text((EXAMPLE / "fairlead.toml").read_text().replace('"unknown"', '"dan"'))
    (folder / "gallery/dan").mkdir()
    shutil.copy(EXAMPLE / "pictures/visitor.png", folder / "gallery/dan/1.png")
    says(served, "^serving face-recognition@", before)
    small = picture("pictures/visitor.png").resize((128, 128))
    answer = ask(packed(small))
    assert answer.json().get("name") == "dan", (answer.text, served.said)

    before = len(served.said)
    (folder / "gallery/dan/2.png").write_bytes(packed(blank(300, 200)))
    says(served, "gallery/dan/2.png shows 0 faces", before)
    assert ask(packed(small)).json()["name"] == "dan"
