"""Generated images of the 14 diagnoses, laid out and spoilt as the Kaggle data set is.

They let everything run, and be tested, without a download. They are drawings: a network that
knows them knows nothing about skin.
"""

from functools import lru_cache
from zlib import crc32

import pandas as pd

from skin_lesions.data.sources.synthetic.acquisition import render_image
from skin_lesions.data.sources.synthetic.cohort import SyntheticImage, synthetic_images

TRUNCATED_FRACTION = 0.6  # share of the bytes of a truncated file


def synthetic_table(seed: int) -> pd.DataFrame:
    """List the demo files; nothing is drawn.

    Returns:
        One row per file, sorted by file: file, label, original_split, lesion_id, patient_id, age
        (years), sex and site as in ISIC's metadata (photographs have none), planted (the fault
        put there on purpose: copy, other_label, truncated) and lesion (what it truly shows).
    """
    return pd.DataFrame([_row(picture) for picture in synthetic_images(seed)])


def render_file(file: str, seed: int) -> bytes:
    """Draw one file of ``demo_table(seed)`` and encode it as JPEG.

    Raises:
        KeyError: The table of this seed has no such file.
    """
    picture = _by_file(seed).get(file)
    if picture is None:
        raise KeyError(f"{file} is not among the demo files of seed {seed}; see demo_table({seed})")
    jpeg = render_image(picture.lesion, picture.number, seed)
    if picture.planted == "truncated":
        return jpeg[: int(TRUNCATED_FRACTION * len(jpeg))]
    return jpeg


@lru_cache(maxsize=4)
def _by_file(seed: int) -> dict[str, SyntheticImage]:
    return {picture.file: picture for picture in synthetic_images(seed)}


def _row(picture: SyntheticImage) -> dict[str, str | float | None]:
    lesion = picture.lesion
    # Whoever copies a file loses its keys: only the bytes tell that copies belong together.
    has_keys = lesion.diagnosis.image_kind == "dermoscopy" and picture.planted in {
        None,
        "truncated",
    }
    return {
        "file": picture.file,
        "label": picture.label,
        "original_split": picture.split,
        "lesion_id": _anonymous("IL", lesion.key) if has_keys else None,
        "patient_id": _anonymous("IP", lesion.patient) if has_keys else None,
        "age": lesion.age,
        "sex": lesion.sex,
        "site": lesion.site,
        "planted": picture.planted,
        "lesion": lesion.key,
    }


def _anonymous(prefix: str, key: str) -> str:
    """Hide what a key says about the diagnosis."""
    return f"{prefix}_{crc32(key.encode()):08x}"
