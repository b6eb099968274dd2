"""Factories for small image files, folders, tables and parameters."""

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
from skin_lesions.config.evaluate import Evaluate, Explain, LabelIssues, Robustness, Slices
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.source import Source
from skin_lesions.config.split import Split, SplitFractions

SPLIT = Split(
    policy="grouped",
    column=None,
    test_values=None,
    fractions=SplitFractions(train=0.7, val=0.15, test=0.15),
    seed=0,
    exclude_uncertain_links=False,
)
AUDIT = Audit(
    max_examples=12,
    example_pairs_per_type=3,
    max_probe_images=1000,
    bootstrap_replicates=100,
    seed=0,
    max_interval_width=0.3,
    fail_on="never",
)
EVALUATE = Evaluate(
    seed=0,
    batch_size=8,
    device="cpu",
    malignant_classes=None,
    operating_points=(0.9, 0.95),
    prevalences=(0.05, 0.2),
    max_threshold_probability=0.5,
    slices=Slices(columns=None, min_images=5, age_bands=(30, 50), max_values=12),
    robustness=Robustness(enabled=False, corruptions=("blur",)),
    label_issues=LabelIssues(max_rows=100),
    explain=Explain(enabled=True, images_per_class=5, border_width=0.1),
)

IMAGES_ONLY = MetadataInputs(columns=None, types={}, equalize_missing=True)

# Top left, top right, bottom left, bottom right: all rotations and reflections are different.
CORNERS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 220, 40))


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Draw an image with a different color in each quarter."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = slice(0, height // 2), slice(0, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    quarters = ((top, left), (top, right), (bottom, left), (bottom, right))
    for quarter, color in zip(quarters, CORNERS, strict=True):
        pixels[quarter] = color
    return Image.fromarray(pixels)


def corner_colors(square: np.ndarray) -> np.ndarray:
    """Return the color at the center of each quarter of a square image, ordered as ``CORNERS``."""
    near, far = len(square) // 4, len(square) * 3 // 4
    return np.array([square[y, x] for y in (near, far) for x in (near, far)], dtype=int)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image in a file format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int = 0, size: int = 24) -> bytes:
    """Make a JPEG file; each seed gives a different image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return encoded(Image.fromarray(pixels).resize((size, size)), "JPEG", quality=90)


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def jpeg_files(names: Sequence[str]) -> dict[str, bytes]:
    """Make a different JPEG file for each name."""
    return {name: jpeg(seed) for seed, name in enumerate(names)}


def class_folders(*classes: str, each: int = 8) -> dict[str, bytes]:
    """Make ``each`` different JPEG files in every class folder."""
    return jpeg_files([f"{name}/{i}.jpg" for name in classes for i in range(each)])


def table(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """Write a table as CSV; return its path."""
    pd.DataFrame(rows).to_csv(path, index=False, **options)
    return path


def source(**given: Any) -> Source:
    """Make the parameters of a source; most parameters that are not given are None."""
    unset = dict.fromkeys(
        ["folder", "metadata", "metadata_key", "label_column", "filename_pattern"]
    )
    kaggle = {"dataset": "nobody/nothing", "version": None}
    unset["follow_symlinks"] = False
    demo = {"seed": 0, "missingness_leak": False}
    values = {"kind": "folder", "demo": demo, "kaggle": kaggle, **unset, **given}
    return Source.model_validate(
        {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
    )


def png(width, height, depth, color, body):
    """Encode a PNG file of a kind that Pillow cannot write."""

    def chunk(name, data):
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    compressed = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + compressed + chunk(b"IEND", b"")


def class_table(
    counts: Mapping[str, int], splits: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Make an image table of different files.

    counts: files by class; splits: fraction of each class by original split.
    """
    labels = np.repeat(list(counts), list(counts.values()))
    table = pd.DataFrame({"label": labels, "original_split": None}, dtype=object)
    if splits:
        position = table.groupby("label").cumcount() / table["label"].map(counts)
        edges = np.cumsum(list(splits.values()))[:-1] - 1e-9
        table["original_split"] = np.array(list(splits))[
            np.searchsorted(edges, position, side="right")
        ]
    name = [f"{i}.jpg" for i in range(len(table))]
    return table.assign(file=name, image_id=name)
