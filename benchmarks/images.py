"""Images that benchmarks make: files as cameras write them, and stored pixels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from skin_lesions.data.decoding import DecodedImage, decode
from skin_lesions.data.loader import ImageDataset
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.preprocessing import Preprocessing

CLASSES, STORED = 14, 256
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


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


def image_files(folder: Path) -> list[Path]:
    """Return the images below a folder, in order."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
    if not files:
        raise SystemExit(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return files


def stored_images(
    folder: Path, n: int, image_size: int, source: Path | None = None
) -> ImageDataset:
    """Store n squares, to be fitted to an edge (pixels), with random labels.

    Of random pixels, or of the images below ``source``, over and over until there are n.
    """
    rng = np.random.default_rng(0)
    files = image_files(source) if source else []
    stored = PixelArray(folder, STORED)
    with stored.open_for_append() as appender:
        for i in range(n):
            if files:
                appender.add(str(i), decode(files[i % len(files)].read_bytes(), STORED))
                continue
            square = rng.integers(0, 256, (STORED, STORED, 3), dtype=np.uint8)
            appender.add(str(i), DecodedImage(square, STORED, STORED, "PNG"))
    labels = torch.from_numpy(rng.integers(CLASSES, size=n))
    return ImageDataset(
        images=stored,
        rows=stored.rows([str(i) for i in range(n)]),
        labels=labels,
        classes=CLASSES,
        aspects=np.ones(n),
        preprocessing=Preprocessing("stretch", STORED, image_size),
    )
