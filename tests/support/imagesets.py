"""Factories for small sets of decoded images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from skin_lesions.data.decoding import DecodedImage
from skin_lesions.data.pixel_store import PixelArray, open_for_append


def square_images(
    folder: Path, pixels: np.ndarray, sizes: list[tuple[int, int]] | None = None
) -> PixelArray:
    """Store square images under the ids ``image0``, ``image1``, ...

    Args:
        folder: Folder of the store.
        pixels: (n, size, size, 3) uint8.
        sizes: (width, height) of each original image; square if not given.
    """
    sizes = sizes or [(pixels.shape[1],) * 2] * len(pixels)
    decoded = [DecodedImage(p, *size, "PNG") for p, size in zip(pixels, sizes, strict=True)]
    store_images(
        PixelArray(folder, pixels.shape[1]),
        {f"image{i}": image for i, image in enumerate(decoded)},
    )
    return PixelArray(folder, pixels.shape[1])


def store_images(images: PixelArray, decoded: Mapping[str, DecodedImage]) -> None:
    """Append images to a store, in this order."""
    with open_for_append(images) as writer:
        for image_id, image in decoded.items():
            writer.add(image_id, image)


def blobs(n: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Make n images of two classes that differ in color, and their split table."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 120, (n, size, size, 3)).astype(np.uint8)
    pixels[labels == 1, :, :, 0] += 100
    split = np.array(["train", "train", "train", "val", "test"])[np.arange(n) // 2 % 5]
    table = pd.DataFrame(
        {
            "file": [f"{i}.png" for i in range(n)],
            "image_id": [f"image{i}" for i in range(n)],
            "label": np.array(["green", "red"])[labels],
            "split": split,
            "original_split": None,
            "group_id": [f"g{i}" for i in range(n)],
            "is_leaked": False,
            "uncertain_links": 0,
        }
    )
    return pixels, table
