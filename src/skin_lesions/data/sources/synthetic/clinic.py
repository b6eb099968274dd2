"""Synthetic images of another clinic: other patients, another camera, and other names of labels.

Some images are copies of images of the demo, so that the overlap check has something to find.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from skin_lesions.data.sources.synthetic.acquisition import render_image, render_lesion_mask
from skin_lesions.data.sources.synthetic.cohort import (
    SyntheticImage,
    seeded_rng,
    synthetic_images,
)

# The name of each diagnosis in this clinic, by its code. The other diagnoses do not occur there.
LABELS = {
    "NV": "naevus",
    "MEL": "malignant melanoma",
    "BCC": "basal cell carcinoma",
    "BKL": "seborrhoeic keratosis",
    "AK": "ACK",
    "SCC": "SCC",
}
IMAGES = 16  # of each diagnosis
COPIES = 4  # exact copies of images of the demo, and as many changed copies
# Factor of each channel (R, G, B), exponent of the brightness, and blur (pixels) of the camera.
COLOR_CAST = (1.12, 0.98, 0.8)
GAMMA = 1.25
BLUR = 1.2
JPEG_QUALITY = 75
Copy = Literal["exact", "changed"]


@dataclass(frozen=True)
class ClinicImage:
    """A file of the clinic; ``seed`` is that of the cohort of the image, ``copy`` marks copies."""

    file: str
    label: str
    image: SyntheticImage
    seed: int
    copy: Copy | None = None


def clinic_table(seed: int, training_seed: int) -> pd.DataFrame:
    """List the files without drawing them.

    Args:
        seed: Seed of the patients of the clinic.
        training_seed: Seed of the demo whose images are copied.

    Returns:
        One row per file, sorted by file: file, label, age (years), sex and site.
    """
    rows = [
        {
            "file": entry.file,
            "label": entry.label,
            "age": entry.image.lesion.age,
            "sex": entry.image.lesion.sex,
            "site": entry.image.lesion.site,
        }
        for entry in _clinic_images(seed, training_seed).values()
    ]
    return pd.DataFrame(rows).sort_values("file", ignore_index=True)


def render_clinic_file(file: str, seed: int, training_seed: int) -> bytes:
    """Draw one file of ``clinic_table`` and encode it as JPEG.

    Raises:
        KeyError: The table has no such file.
    """
    entry = _clinic_images(seed, training_seed)[file]
    jpeg = render_image(entry.image.lesion, entry.image.number, entry.seed)
    if entry.copy == "exact":
        return jpeg
    return _flipped(jpeg) if entry.copy == "changed" else with_other_camera(jpeg)


def render_clinic_mask(file: str, seed: int, training_seed: int) -> NDArray[np.bool_] | None:
    """Return the exact mask of the lesion in one file of ``clinic_table``.

    Returns:
        (height, width) of the image, or None as for ``render_mask``.

    Raises:
        KeyError: The table has no such file.
    """
    entry = _clinic_images(seed, training_seed)[file]
    mask = render_lesion_mask(entry.image.lesion, entry.image.number, entry.seed)
    # The changed copies are the only ones that are mirrored.
    return mask[:, ::-1] if mask is not None and entry.copy == "changed" else mask


def with_other_camera(jpeg: bytes) -> bytes:
    """Return an image as another camera would show it: other colors, darker, and less sharp."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.float64) / 255
    shifted = (pixels * np.array(COLOR_CAST)).clip(0, 1) ** GAMMA
    image = Image.fromarray((shifted * 255).astype(np.uint8))
    return _encode(image.filter(ImageFilter.GaussianBlur(BLUR)))


def _flipped(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as opened:
        flipped = opened.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _encode(flipped)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


@lru_cache(maxsize=4)
def _clinic_images(seed: int, training_seed: int) -> dict[str, ClinicImage]:
    rng = seeded_rng(seed, "clinic")
    found = []
    for code, label in LABELS.items():
        own = _undamaged(seed, code)
        chosen = rng.choice(len(own), IMAGES, replace=False)
        found += [ClinicImage(_name(own[i], "c"), label, own[i], seed) for i in sorted(chosen)]
    # Images of nevi and melanomas of the demo; most of them are in its training split.
    for copy in ("exact", "changed"):
        for code in ("NV", "MEL"):
            demo = _undamaged(training_seed, code)
            chosen = rng.choice(len(demo), COPIES // 2, replace=False)
            found += [
                ClinicImage(_name(demo[i], copy), LABELS[code], demo[i], training_seed, copy)
                for i in sorted(chosen)
            ]
    return {entry.file: entry for entry in found}


def _undamaged(seed: int, code: str) -> list[SyntheticImage]:
    return [
        image
        for image in synthetic_images(seed)
        if image.planted is None and image.lesion.diagnosis.code == code
    ]


def _name(image: SyntheticImage, prefix: str) -> str:
    label = LABELS[image.lesion.diagnosis.code]
    return f"{label}/{prefix}_{image.name}"
