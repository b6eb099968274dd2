"""Synthetic images of the 14 diagnoses, with the layout and the faults of the Kaggle dataset.

All pipelines can be run and tested on them without a download. The images are drawings: a network
that is trained on them cannot classify photographs of skin.
"""

from functools import lru_cache
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.data.sources.synthetic.acquisition import render_image, render_lesion_mask
from skin_lesions.data.sources.synthetic.cohort import SyntheticImage, synthetic_images

TRUNCATED_FRACTION = 0.6  # fraction of its bytes that a truncated file contains


def synthetic_table(seed: int) -> pd.DataFrame:
    """List the synthetic files without drawing them.

    Returns:
        One row per file, sorted by file: file, label, original_split, lesion_id, patient_id, age
        (years), sex and site as in the metadata of ISIC, diameter (mm; mostly missing for benign
        lesions), planted (the deliberate fault: copy, other_label, truncated) and lesion (key of
        the lesion that is drawn).
    """
    return pd.DataFrame([_row(image) for image in synthetic_images(seed)])


def render_file(file: str, seed: int) -> bytes:
    """Draw one file of ``synthetic_table(seed)`` and encode it as JPEG.

    Raises:
        KeyError: The table of this seed has no such file.
    """
    image = _image_of(file, seed)
    jpeg = render_image(image.lesion, image.number, seed)
    if image.planted == "truncated":
        return jpeg[: int(TRUNCATED_FRACTION * len(jpeg))]
    return jpeg


def render_mask(file: str, seed: int) -> NDArray[np.bool_] | None:
    """Return the exact mask of the lesions in one file of ``synthetic_table(seed)``.

    The outline of a lesion is defined for the eight dermoscopic diagnoses and for cowpox, including
    its swollen rim. Healthy skin has none. The rashes (monkeypox, chickenpox, measles and HFMD)
    have none either, because they fade into the skin. Hairs, bubbles, rulers and the vignette do
    not change the mask. A truncated file has the mask of the complete image.

    Returns:
        (height, width) of the image, or None if no outline is defined or visible.

    Raises:
        KeyError: The table of this seed has no such file.
    """
    image = _image_of(file, seed)
    return render_lesion_mask(image.lesion, image.number, seed)


def _image_of(file: str, seed: int) -> SyntheticImage:
    image = _by_file(seed).get(file)
    if image is None:
        raise KeyError(
            f"Unknown synthetic file ({file}, seed {seed}). "
            f"Expected a file of synthetic_table({seed})."
        )
    return image


@lru_cache(maxsize=4)
def _by_file(seed: int) -> dict[str, SyntheticImage]:
    return {image.file: image for image in synthetic_images(seed)}


def _row(image: SyntheticImage) -> dict[str, str | float | None]:
    lesion = image.lesion
    # Planted duplicates have no lesion_id and no patient_id: only their bytes show that they
    # belong to the group of another file.
    has_keys = lesion.diagnosis.image_kind == "dermoscopy" and image.planted in {
        None,
        "truncated",
    }
    return {
        "file": image.file,
        "label": image.label,
        "original_split": image.split,
        "lesion_id": _anonymous("IL", lesion.key) if has_keys else None,
        "patient_id": _anonymous("IP", lesion.patient) if has_keys else None,
        "age": lesion.age,
        "sex": lesion.sex,
        "site": lesion.site,
        "diameter": lesion.diameter,
        "planted": image.planted,
        "lesion": lesion.key,
    }


def _anonymous(prefix: str, key: str) -> str:
    """Replace a key, which contains the diagnosis, by its CRC-32 checksum."""
    return f"{prefix}_{crc32(key.encode()):08x}"
