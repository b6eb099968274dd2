"""Images that benchmarks make: files as cameras write them, and stored pixels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from skin_lesions.batches import LabelledImages
from skin_lesions.images import DecodedImage
from skin_lesions.pixels import SquareImages
from skin_lesions.preprocessing import Preprocessing

CLASSES, STORED = 14, 256


def make_photographs(folder: Path, n: int, width: int, height: int) -> None:
    """Write n JPEG files of smooth noise, about as large as dermoscopic pictures of that size."""
    rng = np.random.default_rng(0)
    for number in range(n):
        small = Image.fromarray(rng.integers(60, 220, (30, 40, 3)).astype(np.uint8))
        picture = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = picture + rng.normal(0, 6, picture.shape).astype(np.int16)
        path = folder / f"class{number % 4}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)


def stored_images(folder: Path, n: int, image_size: int) -> LabelledImages:
    """Store n squares of random pixels, to be fitted to an edge (pixels), with random labels."""
    rng = np.random.default_rng(0)
    stored = SquareImages(folder, STORED)
    with stored.appending() as appender:
        for i in range(n):
            square = rng.integers(0, 256, (STORED, STORED, 3), dtype=np.uint8)
            appender.add(str(i), DecodedImage(square, STORED, STORED, "PNG"))
    labels = torch.from_numpy(rng.integers(CLASSES, size=n))
    return LabelledImages(
        images=stored,
        rows=stored.rows([str(i) for i in range(n)]),
        labels=labels,
        classes=CLASSES,
        aspects=np.ones(n),
        preprocessing=Preprocessing("squash", STORED, image_size),
    )
