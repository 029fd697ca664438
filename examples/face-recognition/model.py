"""Tells whose faces a picture shows: dlib's detector and embedding, and a gallery of people that is part of the bundle.

``gallery/<name>/*.jpg`` (or ``.png``) are the people: a push of the folder with more pictures enrols more people.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

import fairlead
from fairlead import File, Image

FAR = 0.6
"""Two embeddings that are farther apart are two people: the threshold that dlib gives for this network, which is right
about 99.38 % of the pairs of Labeled Faces in the Wild with it (dlib.net/face_recognition.py.html)."""
UNKNOWN, NOBODY = "unknown", "nobody"
SMALL_PX = 150
"""A picture up to this size is that of one face: the network takes faces of 150 x 150."""
LONGEST_PX = 1600
"""Larger pictures are made smaller; the detector finds faces from 80 pixels on."""
ENLARGED_PX = 1024
"""Smaller ones are doubled up to this size until a face is found."""
PIXELS_MAX = 40_000_000
PICTURES = (".jpg", ".jpeg", ".png")
WEIGHTS = {
    "shape_predictor_5_face_landmarks.dat": "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    "dlib_face_recognition_resnet_model_v1.dat": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
}
"""SHA-256 of the files in face_recognition_models 0.3.0, by the author of dlib: github.com/davisking/dlib-models."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the picture as it is looked at (turned as its EXIF says)."""


@dataclass
class Face:
    name: str
    """A name of the gallery, or ``unknown``."""
    distance: float
    """Of the embeddings, to the nearest picture of the gallery."""
    box: Box


@dataclass
class Found:
    name: str
    """Of the largest face; ``nobody`` where no face is found."""
    distance: float | None
    box: Box | None
    faces: list[Face]
    """All, the largest first."""


class FaceRecognition(fairlead.Model):
    def load(self) -> None:
        self.detector = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(weights("shape_predictor_5_face_landmarks.dat"))
        self.network = dlib.face_recognition_model_v1(weights("dlib_face_recognition_resnet_model_v1.dat"))
        people = [(folder.name, file) for folder, file in pictures(Path(self.folder) / "gallery")]
        self.names = [name for name, _ in people]
        self.gallery = np.stack([self._enrolled(file) for _, file in people])

    def _enrolled(self, file: Path) -> np.ndarray:
        """Return the embedding of the face in a picture of the gallery."""
        where = f"gallery/{file.parent.name}/{file.name}"
        try:
            pixels = pixels_of(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{where} {error}") from error
        boxes = self._boxes(pixels)
        if len(boxes) != 1:
            raise ValueError(f"{where} shows {len(boxes)} faces: one is needed, so that it is clear whose it is")
        return self._embedding(pixels, boxes[0])

    def predict(self, picture: Image) -> Found:
        try:
            pixels = pixels_of(picture.read())
        except ValueError as error:
            raise fairlead.InvalidInput(str(error), picture.field or "picture") from error
        faces = [self._face(pixels, box) for box in self._boxes(pixels)]
        if not faces:
            return Found(NOBODY, None, None, [])
        return Found(faces[0].name, faces[0].distance, faces[0].box, faces)

    def form(self, inputFile: Image) -> File:
        """Answer a plain form with ``file:name``."""
        stem = Path(inputFile.name or "picture").stem
        return File(f"{stem}:{self.predict(inputFile).name}".encode(), media_type="text/plain; charset=utf-8")

    def _face(self, pixels: np.ndarray, box: Box) -> Face:
        distances = np.linalg.norm(self.gallery - self._embedding(pixels, box), axis=1)
        nearest = int(distances.argmin())
        distance = float(distances[nearest])
        return Face(self.names[nearest] if distance <= FAR else UNKNOWN, round(distance, 4), box)

    def _embedding(self, pixels: np.ndarray, box: Box) -> np.ndarray:
        shape = self.landmarks(pixels, dlib.rectangle(*box))
        return np.asarray(self.network.compute_face_descriptor(pixels, shape))

    def _boxes(self, pixels: np.ndarray) -> list[Box]:
        """Return where faces are, the largest first; a small picture without one is taken as a face itself."""
        height, width = pixels.shape[:2]
        whole = Pillow.fromarray(pixels)
        scale = min(1.0, LONGEST_PX / max(width, height))
        while True:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            found = self.detector(np.asarray(whole if scale == 1 else whole.resize(size, Pillow.Resampling.BICUBIC)), 0)
            if found or scale < 1 or 2 * scale * max(width, height) > ENLARGED_PX:
                break
            scale *= 2
        if found:
            boxes = [inside(face, scale, width, height) for face in found]
            return sorted(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), reverse=True)
        return [(0, 0, width - 1, height - 1)] if max(width, height) <= SMALL_PX else []


def inside(face: "dlib.rectangle", scale: float, width: int, height: int) -> Box:
    """Return a face that was found at ``scale``, in pixels of the whole picture and within it."""
    left, right = (min(max(round(x / scale), 0), width - 1) for x in (face.left(), face.right()))
    top, bottom = (min(max(round(y / scale), 0), height - 1) for y in (face.top(), face.bottom()))
    return (left, top, right, bottom)


def pixels_of(content: bytes) -> np.ndarray:
    """Return a picture as (height, width, 3) of uint8, turned as its EXIF says; raises ValueError with the fault."""
    if not content:
        raise ValueError("is empty: send the bytes of a JPEG or PNG")
    try:
        with Pillow.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP", "BMP", "GIF")) as picture:
            width, height = picture.size
            if width * height > PIXELS_MAX:
                raise ValueError(f"has {width} x {height} pixels: {PIXELS_MAX:,} is the most; send a smaller one")
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except Pillow.DecompressionBombError as error:
        raise ValueError(f"has too many pixels: {PIXELS_MAX:,} is the most; send a smaller one") from error
    except (OSError, SyntaxError) as error:
        raise ValueError("is not a picture that can be read, whole: send a JPEG or PNG") from error


def pictures(gallery: Path) -> list[tuple[Path, Path]]:
    """Return (folder of a person, picture) of the gallery; raises ValueError where it cannot be one."""
    found = [
        (folder, file)
        for folder in (sorted(gallery.iterdir()) if gallery.is_dir() else [])
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in PICTURES
    ]
    if not found:
        raise ValueError("the gallery is empty: put a picture of each person into gallery/<name>/")
    taken = {folder.name for folder, _ in found} & {UNKNOWN, NOBODY}
    if taken:
        raise ValueError(f"gallery/{taken.pop()}: this is what answers say of others; name the person otherwise")
    return found


def weights(name: str) -> str:
    """Return the path of a file of weights that is the one we know: dlib reads it with no care for what it holds."""
    path = Path(face_recognition_models.__file__).parent / "models" / name
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS[name]:
        raise ValueError(f"{name} is not the file of face_recognition_models 0.3.0")
    return str(path)
