"""Draws people who do not exist: ``python pictures/draw.py`` makes the gallery and the visitor of this example anew.

dlib's detector takes the drawings for faces, and the network finds these four farther apart than 0.6 (most drawings
look alike to it). They show how the example works; how well dlib tells people apart, drawings do not show.
"""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

PEOPLE = {"gallery/ada/1.png": 42, "gallery/bo/1.png": 59, "gallery/cem/1.png": 69, "pictures/visitor.png": 244}
SIDE = 1024
"""Drawn at this size, and made smaller at the end: edges become smooth."""
MIDDLE = SIDE / 2, SIDE * 0.53
Color = tuple[int, ...]
SKINS = [(244, 208, 180), (224, 172, 135), (168, 114, 78), (110, 70, 48), (235, 190, 160)]
HAIRS = [(35, 25, 20), (90, 55, 30), (190, 150, 80), (130, 130, 130), (150, 60, 30)]
IRISES = [(70, 40, 20), (60, 90, 130), (70, 100, 60)]


class Look:
    """What somebody looks like; lengths in pixels of the large drawing."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        between = chance.uniform
        self.skin, self.hair = chance.choice(SKINS), chance.choice(HAIRS)
        self.wall: Color = tuple(chance.randrange(90, 220) for _ in range(3))
        self.width, self.height = SIDE * between(0.24, 0.31), SIDE * between(0.34, 0.40)
        self.long_hair = chance.random() < 0.5
        self.coat: Color = tuple(chance.randrange(20, 200) for _ in range(3))
        self.jaw = between(0.6, 0.95)
        self.eye_x = self.width * between(0.40, 0.50)
        self.eye_y = MIDDLE[1] - self.height * between(0.10, 0.20)
        self.eye_width = self.width * between(0.17, 0.24)
        self.eye_height = self.eye_width * between(0.38, 0.6)
        self.nose_y = self.eye_y + self.height * between(0.28, 0.40)
        self.nose_width = self.width * between(0.17, 0.28)
        self.mouth_y = self.nose_y + self.height * between(0.22, 0.30)
        self.mouth_width = self.width * between(0.36, 0.52)
        self.iris = chance.choice(IRISES)
        self.brow = self.height * between(0.03, 0.065)
        self.brow_y = self.eye_y - self.eye_height - self.height * between(0.08, 0.13)
        self.brow_tilt = self.height * between(-0.03, 0.05)
        self.lip: Color = shaded((190, 90, 85), between(0.6, 1.05))
        self.lip_height = self.height * between(0.04, 0.08)
        chance.random()
        self.glasses, self.beard = chance.random() < 0.3, chance.random() < 0.3


def face(seed: int, side: int = 256) -> Image.Image:
    """Return the picture of the person ``seed``."""
    look = Look(seed)
    picture = Image.new("RGB", (SIDE, SIDE), look.wall)
    _head(ImageDraw.Draw(picture), look)
    picture = Image.composite(Image.new("RGB", (SIDE, SIDE), shaded(look.skin, 0.45)), picture, _shadows(look))
    pen = ImageDraw.Draw(picture)
    _eyes(pen, look)
    _mouth(pen, look)
    _front(pen, look)
    return picture.filter(ImageFilter.GaussianBlur(SIDE * 0.003)).resize((side, side), Image.Resampling.LANCZOS)


def shaded(color: Color, share: float) -> Color:
    return tuple(max(0, min(255, int(part * share))) for part in color)


def _oval(pen: ImageDraw.ImageDraw, x: float, y: float, wide: float, high: float, fill: Color | int) -> None:
    pen.ellipse((x - wide, y - high, x + wide, y + high), fill=fill)


def _head(pen: ImageDraw.ImageDraw, look: Look) -> None:
    (x, y), wide, high = MIDDLE, look.width, look.height
    _oval(pen, x, y - high * 0.25, wide * 1.22, high * 1.02, look.hair)
    if look.long_hair:
        pen.rectangle((x - wide * 1.22, y - high * 0.25, x + wide * 1.22, y + high), fill=look.hair)
    pen.rectangle((x - wide * 0.5, y + high * 0.6, x + wide * 0.5, SIDE), fill=shaded(look.skin, 0.8))
    pen.ellipse((x - wide * 2, y + high * 1.15, x + wide * 2, SIDE * 1.5), fill=look.coat)
    _oval(pen, x, y, wide, high, look.skin)
    half = [(wide * 0.98, y), (wide * look.jaw, y + high * 0.62), (wide * 0.3, y + high * 1.02)]
    outline = [(x + away, at) for away, at in half] + [(x - away, at) for away, at in reversed(half)]
    pen.polygon(outline, fill=look.skin)


def _shadows(look: Look) -> Image.Image:
    (x, y), wide, high = MIDDLE, look.width, look.height
    mask = Image.new("L", (SIDE, SIDE), 0)
    pen = ImageDraw.Draw(mask)
    for side in (-1, 1):
        eye = x + side * look.eye_x
        reach = look.eye_width * 1.6
        pen.ellipse((eye - reach, look.eye_y - look.eye_width * 1.3, eye + reach, look.eye_y + look.eye_width), fill=90)
        cheek = x + side * wide * 0.95
        pen.ellipse((cheek - wide * 0.3, y - high * 0.7, cheek + wide * 0.3, y + high * 0.9), fill=80)
    nose, at = look.nose_width, look.nose_y
    pen.ellipse((x - nose * 1.2, at, x + nose * 1.2, at + high * 0.09), fill=110)
    bridge = [(x - nose * 0.2, look.eye_y), (x - nose * 0.45, look.eye_y), (x - nose * 1.1, at), (x - nose * 0.5, at)]
    pen.polygon(bridge, fill=70)
    chin = look.mouth_width * 0.7
    pen.ellipse((x - chin, look.mouth_y + high * 0.10, x + chin, look.mouth_y + high * 0.17), fill=80)
    return mask.filter(ImageFilter.GaussianBlur(SIDE * 0.012))


def _eyes(pen: ImageDraw.ImageDraw, look: Look) -> None:
    y, wide, high = look.eye_y, look.eye_width, look.eye_height
    for side in (-1, 1):
        x = MIDDLE[0] + side * look.eye_x
        _oval(pen, x, y, wide, high, (238, 235, 230))
        _oval(pen, x, y, high * 0.95, high * 0.95, look.iris)
        _oval(pen, x, y, high * 0.5, high * 0.5, (10, 10, 10))
        _oval(pen, x + high * 0.3, y - high * 0.35, high * 0.15, high * 0.15, (255, 255, 255))
        lids = (x - wide, y - high, x + wide, y + high)
        pen.arc(lids, 180, 360, fill=(30, 20, 15), width=int(SIDE * 0.008))
        pen.arc(lids, 0, 180, fill=shaded(look.skin, 0.5), width=int(SIDE * 0.004))
        tilt = look.brow_tilt
        away = ((-1.2, tilt * 0.5), (0.2, -tilt), (1.4, tilt))
        points = [(x + side * wide * far, look.brow_y + up) for far, up in away]
        pen.line(points, fill=shaded(look.hair, 0.8), width=int(look.brow), joint="curve")


def _lips(look: Look) -> list[tuple[float, float]]:
    x, y, wide = MIDDLE[0], look.mouth_y, look.mouth_width
    return [(x - wide, y), (x, y + look.lip_height * 0.15), (x + wide, y)]


def _mouth(pen: ImageDraw.ImageDraw, look: Look) -> None:
    x, y, wide, high = MIDDLE[0], look.mouth_y, look.mouth_width, look.lip_height
    for side in (-1, 1):
        nostril = x + side * look.nose_width * 0.55, look.nose_y + look.height * 0.035
        _oval(pen, *nostril, look.nose_width * 0.28, look.height * 0.02, shaded(look.skin, 0.3))
    upper = [(x - wide, y), (x - wide * 0.3, y - high), (x, y - high * 0.6), (x + wide * 0.3, y - high), (x + wide, y)]
    pen.polygon([*upper, (x + wide * 0.4, y + high * 1.3), (x - wide * 0.4, y + high * 1.3)], fill=look.lip)
    pen.line(_lips(look), fill=(70, 25, 25), width=int(SIDE * 0.008))


def _front(pen: ImageDraw.ImageDraw, look: Look) -> None:
    (x, y), wide, high = MIDDLE, look.width, look.height
    pen.chord((x - wide * 1.08, y - high * 1.12, x + wide * 1.08, y + high * 0.3), 205, 335, fill=look.hair)
    if look.glasses:
        for side in (-1, 1):
            eye, far, up = x + side * look.eye_x, look.eye_width * 1.5, look.eye_width * 1.2
            box = (eye - far, look.eye_y - up, eye + far, look.eye_y + up)
            pen.ellipse(box, outline=(20, 20, 20), width=int(SIDE * 0.012))
    if look.beard:
        pen.chord(
            (x - wide * 0.9, y - high * 0.2, x + wide * 0.9, y + high * 1.05), 20, 160, fill=shaded(look.hair, 0.9)
        )
        pen.line(_lips(look), fill=(170, 80, 80), width=int(SIDE * 0.03))


if __name__ == "__main__":
    here = Path(__file__).parent.parent
    for name, seed in PEOPLE.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        face(seed).save(here / name, optimize=True)
