"""Makes photos of the people that ``draw.py`` draws, and the right answers: what a load is made of.

    python pictures/photos.py photos 100

writes ``photos/photo-001.jpg`` … and ``photos/answers.csv``: each a little turned, moved, lit and packed otherwise, of
96 to 320 pixels, the same ones each time. Needs Pillow.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

from PIL import Image, ImageEnhance

HERE = Path(__file__).parents[1]
PEOPLE = {
    "ada": "gallery/ada/1.png",
    "bo": "gallery/bo/1.png",
    "cem": "gallery/cem/1.png",
    "unknown": "pictures/visitor.png",
}
SIDES = (96, 128, 160, 256, 320)


def photo(of: Image.Image, chance: random.Random, much: float) -> Image.Image:
    """Return another photo of the same person, which differs ``much`` (0 to 1)."""
    width, height = of.size
    moved = (chance.uniform(-0.03, 0.03) * much * width, chance.uniform(-0.03, 0.03) * much * height)
    wall = of.getpixel((2, 2))
    turned = of.rotate(chance.uniform(-5, 5) * much, Image.Resampling.BICUBIC, translate=moved, fillcolor=wall)
    lit = ImageEnhance.Brightness(turned).enhance(1 + chance.uniform(-0.15, 0.15) * much)
    side = chance.choice(SIDES[round(3 * (1 - much)) :])
    return lit.resize((side, side), Image.Resampling.LANCZOS)


def main(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {name: Image.open(HERE / file).convert("RGB") for name, file in PEOPLE.items()}
    rows = []
    for number in range(1, count + 1):
        chance = random.Random(number)
        name = chance.choice(sorted(drawn))
        file = f"photo-{number:03}.jpg"
        much = (
            0.1 if name == "unknown" else 1.0
        )  # a drawing that differs more looks like one of the others to the network
        photo(drawn[name], chance, much).save(folder / file, quality=chance.randint(70, 95))
        rows.append((file, name))
    with (folder / "answers.csv").open("w", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows([("file", "name"), *rows])
    print(f"{count} photos and their answers in {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit("usage: python pictures/photos.py FOLDER COUNT")
    main(Path(sys.argv[1]), int(sys.argv[2]))
