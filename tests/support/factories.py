"""Small image files, folders and tables, made in a test."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from skin_lesions.config.audit import Audit
from skin_lesions.config.source import Source
from skin_lesions.config.split import Split, SplitFractions

SPLIT = Split(policy="grouped", fractions=SplitFractions(train=0.7, val=0.15, test=0.15), seed=0)
AUDIT = Audit(
    max_examples=12,
    example_pairs_per_type=3,
    max_probe_images=1000,
    bootstrap_replicates=100,
    seed=0,
    max_interval_width=0.3,
    fail_on="never",
)

# Top left, top right, bottom left, bottom right: no turning or mirroring looks like another.
CORNERS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 220, 40))


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Draw a picture with another colour in each corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = slice(0, height // 2), slice(0, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    places = ((top, left), (top, right), (bottom, left), (bottom, right))
    for place, colour in zip(places, CORNERS, strict=True):
        pixels[place] = colour
    return Image.fromarray(pixels)


def corner_colours(square: np.ndarray) -> np.ndarray:
    """Read the middle of each quarter of a square picture, in the order of ``CORNERS``."""
    near, far = len(square) // 4, len(square) * 3 // 4
    return np.array([square[y, x] for y in (near, far) for x in (near, far)], dtype=int)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Write a picture as a file of this kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int = 0, size: int = 24) -> bytes:
    """Make a JPEG; another seed is another picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return encoded(Image.fromarray(pixels).resize((size, size)), "JPEG", quality=90)


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pictures(names: Sequence[str]) -> dict[str, bytes]:
    """Give each name a JPEG of its own."""
    return {name: jpeg(seed) for seed, name in enumerate(names)}


def class_folders(*classes: str, each: int = 8) -> dict[str, bytes]:
    """Make so many different JPEGs in each class folder."""
    return pictures([f"{name}/{i}.jpg" for name in classes for i in range(each)])


def table(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """Write a table beside the images."""
    pd.DataFrame(rows).to_csv(path, index=False, **options)
    return path


def source(**given: Any) -> Source:
    """Make the parameters of a source."""
    unset = dict.fromkeys(
        ["folder", "metadata", "metadata_key", "label_column", "filename_pattern"]
    )
    kaggle = {"dataset": "nobody/nothing", "version": None}
    values = {"kind": "folder", "demo": {"seed": 0}, "kaggle": kaggle, **unset, **given}
    return Source.model_validate(
        {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
    )


def png(width, height, depth, colour, body):
    """Write a PNG that Pillow has no mode to write."""

    def chunk(name, data):
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    compressed = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + compressed + chunk(b"IEND", b"")
