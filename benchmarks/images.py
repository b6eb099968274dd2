"""Test images of the benchmarks: JPEG files of noise, and pixel stores."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from skin_lesions.data.decoding import DecodedImage, decode
from skin_lesions.data.loader import ImageDataset
from skin_lesions.data.pixel_store import PixelArray, open_for_append
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.sources.base import IMAGE_SUFFIXES, has_image_suffix

CLASSES, STORED_SIZE = 14, 256  # number of classes; width and height of stored images, pixels


def make_photographs(folder: Path, n: int, width: int, height: int) -> None:
    """Write n JPEG files of smooth noise, with about the file size of dermoscopic images."""
    rng = np.random.default_rng(0)
    for number in range(n):
        small = Image.fromarray(rng.integers(60, 220, (30, 40, 3)).astype(np.uint8))
        smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + rng.normal(0, 6, smooth.shape).astype(np.int16)
        path = folder / f"class{number % 4}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)


def image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted."""
    files = [file for file in sorted(folder.rglob("*")) if has_image_suffix(file.name)]
    if not files:
        raise SystemExit(
            f"No images in {folder}. Expected the suffixes {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return files


def stored_images(
    folder: Path, n: int, image_size: int, source: Path | None = None
) -> ImageDataset:
    """Store n square images with random labels.

    Args:
        folder: Folder of the pixel store.
        n: Number of images.
        image_size: Width and height of the network input, pixels.
        source: Folder of image files, repeated until there are n. None: random pixels.
    """
    rng = np.random.default_rng(0)
    files = image_files(source) if source else []
    stored = PixelArray(folder, STORED_SIZE)
    with open_for_append(stored) as writer:
        for i in range(n):
            if files:
                writer.add(str(i), decode(files[i % len(files)].read_bytes(), STORED_SIZE))
                continue
            square = rng.integers(0, 256, (STORED_SIZE, STORED_SIZE, 3), dtype=np.uint8)
            writer.add(str(i), DecodedImage(square, STORED_SIZE, STORED_SIZE, "PNG"))
    labels = torch.from_numpy(rng.integers(CLASSES, size=n))
    return ImageDataset(
        images=stored,
        rows=stored.rows([str(i) for i in range(n)]),
        labels=labels,
        num_classes=CLASSES,
        aspects=np.ones(n),
        preprocessing=Preprocessing("stretch", STORED_SIZE, image_size),
    )
