"""Cohort of the synthetic images: patients, lesions, number of images, splits and planted faults.

Drawing is done in ``acquisition``. The cohort has the same kind of leakage as the real dataset:
images of one lesion are in several splits. A few more faults are planted, so that an audit can be
tested on known faults.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, cycle, islice
from typing import Literal
from zlib import crc32

import numpy as np

from skin_lesions.data.diagnoses import DIAGNOSES, Diagnosis

Planted = Literal["copy", "other_label", "truncated"]

# Number of files per diagnosis code before faults are planted: imbalanced like the real dataset.
FILES = {
    "NV": 150,
    "MEL": 80,
    "BCC": 64,
    "BKL": 56,
    "AK": 42,
    "SCC": 38,
    "VASC": 32,
    "DF": 30,
    "MKP": 44,
    "HFMD": 38,
    "HEALTHY": 36,
    "CHP": 34,
    "CWP": 32,
    "MSL": 32,
}
SECOND_LESION_FRACTION = 1 / 8  # probability that a patient has a second lesion
ORIGINAL_SPLIT_FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}
# Number of images of successive lesions; the sequence repeats.
IMAGES_PER_LESION = {"dermoscopy": (1, 1, 2, 1, 1, 3, 1, 1, 4), "photograph": (1, 3, 1, 2, 1)}

DUPLICATES_ACROSS_SPLITS = 6
DUPLICATES_WITHIN_SPLIT = 6
# True and wrong diagnosis code of each file that is planted with a wrong label.
WRONG_LABELS = (
    ("MEL", "NV"),
    ("NV", "MEL"),
    ("AK", "BKL"),
    ("BKL", "AK"),
    ("MKP", "CHP"),
    ("CHP", "MKP"),
)
TRUNCATED = 1

# Fraction of people with Fitzpatrick types I to VI, the same for every diagnosis.
FITZPATRICK_FRACTIONS = (0.16, 0.29, 0.26, 0.11, 0.10, 0.08)
GOLDEN_RATIO = 0.618  # its multiples modulo 1 cover the unit interval evenly

# Years, by diagnosis code.
MEAN_AGE = {"NV": 45, "DF": 45, "VASC": 50, "MEL": 60, "BKL": 62, "BCC": 66, "AK": 68, "SCC": 70}
MEAN_AGE |= {"MKP": 35, "HFMD": 5, "HEALTHY": 40, "CHP": 10, "CWP": 30, "MSL": 10}
SITES = ("anterior torso", "posterior torso", "upper extremity", "lower extremity", "head/neck")
SUN_EXPOSED_SITE_FRACTIONS = (0.12, 0.13, 0.2, 0.1, 0.45)
OTHER_SITE_FRACTIONS = (0.26, 0.26, 0.16, 0.24, 0.08)
UNKNOWN_FRACTION = 0.06  # probability that age, sex or site is missing
# Probability that the diameter of a lesion is known: a planted leak by missing values. The diameter
# itself does not depend on the diagnosis.
DIAMETER_KNOWN = {True: 0.95, False: 0.25}  # by whether the diagnosis is malignant


@dataclass(frozen=True)
class Lesion:
    """One lesion, or one area of skin in a clinical photograph.

    ``tone`` is the skin tone from 0 (Fitzpatrick type I) to 1 (type VI).
    """

    key: str
    diagnosis: Diagnosis
    patient: str
    tone: float
    age: float | None = None
    sex: str | None = None
    site: str | None = None
    diameter: float | None = None  # mm


@dataclass(frozen=True)
class SyntheticImage:
    """One file.

    ``number`` is the number of the image among the images of its lesion, from 1. Two files with the
    same lesion and number have the same bytes.
    """

    name: str
    label: str
    split: str
    lesion: Lesion
    number: int
    planted: Planted | None = None

    @property
    def file(self) -> str:
        """Return the path relative to the source folder."""
        return f"{self.split}/{self.label}/{self.name}"


def seeded_rng(*keys: int | str) -> np.random.Generator:
    """Return the random generator that belongs to these keys."""
    return np.random.default_rng([crc32(k.encode()) if isinstance(k, str) else k for k in keys])


@lru_cache(maxsize=4)
def synthetic_images(seed: int) -> tuple[SyntheticImage, ...]:
    """List all synthetic images, sorted by file. Equal seeds give equal lists."""
    rng = seeded_rng(seed, "cast")
    cohort = [image for diagnosis in DIAGNOSES for image in _images_of_diagnosis(diagnosis, rng)]
    cohort = _truncate(cohort, rng)
    cohort += [*_duplicates(cohort, rng), *_with_wrong_label(cohort, rng)]
    cohort = [replace(image, lesion=_with_metadata(image.lesion, seed)) for image in cohort]
    return tuple(sorted(_numbered(cohort, rng), key=lambda image: image.file))


def _images_of_diagnosis(diagnosis: Diagnosis, rng: np.random.Generator) -> list[SyntheticImage]:
    n = FILES[diagnosis.code]
    image_counts = cycle(IMAGES_PER_LESION[diagnosis.image_kind])
    lesions = _lesions(diagnosis, rng)
    # Endless: (lesion, number of its image); the first n are used.
    numbered_lesions = (
        (lesion, number + 1)
        for lesion, k in zip(lesions, image_counts, strict=False)
        for number in range(k)
    )
    splits = rng.permutation(_original_splits(n))
    return [
        SyntheticImage(f"{lesion.key}_{number}.jpg", diagnosis.name, str(split), lesion, number)
        for (lesion, number), split in zip(islice(numbered_lesions, n), splits, strict=True)
    ]


def _original_splits(n: int) -> list[str]:
    counts = {split: round(fraction * n) for split, fraction in ORIGINAL_SPLIT_FRACTIONS.items()}
    counts["train"] = n - counts["val"] - counts["test"]
    return [split for split, count in counts.items() for _ in range(count)]


def _lesions(diagnosis: Diagnosis, rng: np.random.Generator) -> Iterator[Lesion]:
    """Yield lesions patient by patient. Some patients have two lesions (or photographs)."""
    start = rng.random()
    for number in count(1):
        tone = _tone((start + number * GOLDEN_RATIO) % 1)
        first = _patient(diagnosis, number, tone, rng)
        yield first
        if rng.random() < SECOND_LESION_FRACTION:
            yield replace(first, key=f"{first.patient}_02", site=_site(diagnosis, rng))


def _tone(quantile: float) -> float:
    """Return the quantile of the skin tone over all people."""
    return float(np.interp(quantile, np.cumsum((0, *FITZPATRICK_FRACTIONS)), np.linspace(0, 1, 7)))


def _patient(diagnosis: Diagnosis, number: int, tone: float, rng: np.random.Generator) -> Lesion:
    patient = f"{diagnosis.code}_{number:02d}"
    lesion = Lesion(f"{patient}_01", diagnosis, patient, tone)
    if diagnosis.image_kind == "photograph":
        return lesion
    # Years, rounded to a multiple of 5.
    age = 5 * round(np.clip(rng.normal(MEAN_AGE[diagnosis.code], 14), 15, 85) / 5)
    sex = str(rng.choice(["female", "male"]))
    return replace(
        lesion,
        age=None if rng.random() < UNKNOWN_FRACTION else float(age),
        sex=None if rng.random() < UNKNOWN_FRACTION else sex,
        site=_site(diagnosis, rng),
    )


def _with_metadata(lesion: Lesion, seed: int) -> Lesion:
    """Add the diameter, and the age, sex and site of photographs.

    Own generators, so that the images do not depend on these values.
    """
    of_lesion, of_patient = (
        seeded_rng(seed, "metadata", key) for key in (lesion.key, lesion.patient)
    )
    is_recorded = of_lesion.random() < DIAMETER_KNOWN[bool(lesion.diagnosis.malignant)]
    diameter = round(float(of_lesion.uniform(3, 15)), 1)
    lesion = replace(lesion, diameter=diameter if is_recorded else None)
    if lesion.diagnosis.image_kind == "dermoscopy":
        return lesion
    mean = MEAN_AGE[lesion.diagnosis.code]
    age = float(np.clip(of_patient.normal(mean, min(14, mean / 2)), 1, 85).round())
    sex = str(of_patient.choice(["female", "male"]))
    site = str(of_lesion.choice(SITES, p=OTHER_SITE_FRACTIONS))
    known = [rng.random() >= UNKNOWN_FRACTION for rng in (of_patient, of_patient, of_lesion)]
    return replace(
        lesion,
        age=age if known[0] else None,
        sex=sex if known[1] else None,
        site=site if known[2] else None,
    )


def _site(diagnosis: Diagnosis, rng: np.random.Generator) -> str | None:
    if diagnosis.image_kind == "photograph" or rng.random() < UNKNOWN_FRACTION:
        return None
    sun_exposed = diagnosis.code in {"AK", "BCC", "SCC"}
    return str(
        rng.choice(SITES, p=SUN_EXPOSED_SITE_FRACTIONS if sun_exposed else OTHER_SITE_FRACTIONS)
    )


def _truncate(cohort: list[SyntheticImage], rng: np.random.Generator) -> list[SyntheticImage]:
    """Mark some files as truncated: training images of nevi, the most common diagnosis."""
    nevi = [
        i for i, p in enumerate(cohort) if p.lesion.diagnosis.code == "NV" and p.split == "train"
    ]
    truncated = set(rng.choice(nevi, TRUNCATED, replace=False))
    return [replace(p, planted="truncated") if i in truncated else p for i, p in enumerate(cohort)]


def _duplicates(cohort: list[SyntheticImage], rng: np.random.Generator) -> list[SyntheticImage]:
    """Plant exact duplicates of training files: some in val or test, some in train."""
    # Only the first image of a lesion: two duplicates of one lesion would get the same file name.
    originals = [p for p in cohort if p.planted is None and p.split == "train" and p.number == 1]
    splits = [("val", "test")[i % 2] for i in range(DUPLICATES_ACROSS_SPLITS)]
    splits += ["train"] * DUPLICATES_WITHIN_SPLIT
    chosen = rng.choice(len(originals), len(splits), replace=False)
    duplicates = []
    for i, split in zip(chosen, splits, strict=True):
        original = originals[i]
        # The next number after the images of the lesion.
        number = 1 + sum(image.lesion == original.lesion for image in cohort)
        name = f"{original.lesion.key}_{number}.jpg"
        duplicates.append(replace(original, name=name, split=split, planted="copy"))
    return duplicates


def _with_wrong_label(
    cohort: list[SyntheticImage], rng: np.random.Generator
) -> list[SyntheticImage]:
    """Plant exact duplicates with conflicting labels: in the folder of a similar diagnosis."""
    names = {diagnosis.code: diagnosis.name for diagnosis in DIAGNOSES}
    mislabeled = []
    for true_code, wrong_code in WRONG_LABELS:
        candidates = [p for p in cohort if p.planted is None and p.label == names[true_code]]
        original = candidates[rng.integers(len(candidates))]
        patient = 1 + len({p.lesion.patient for p in cohort if p.label == names[wrong_code]})
        mislabeled.append(
            replace(
                original,
                name=f"{wrong_code}_{patient:02d}_01_1.jpg",
                label=names[wrong_code],
                split=str(rng.choice(list(ORIGINAL_SPLIT_FRACTIONS))),
                planted="other_label",
            )
        )
    return mislabeled


def _numbered(cohort: list[SyntheticImage], rng: np.random.Generator) -> list[SyntheticImage]:
    """Name dermoscopic images by a number only. Photographs have the lesion key in their name."""
    numbers = 1 + rng.choice(9_999, len(cohort), replace=False)
    return [
        replace(image, name=f"DEMO_{number:07d}.jpg")
        if image.lesion.diagnosis.image_kind == "dermoscopy"
        else image
        for image, number in zip(cohort, numbers, strict=True)
    ]
