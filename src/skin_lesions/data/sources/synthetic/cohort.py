"""Who is photographed, how often, and in which split each picture lies: no drawing here.

The cast leaks as the real data set does: pictures of one lesion lie in several splits. A few
more faults are planted among them, so that an audit has something known to find.
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

# Files of each diagnosis, by code, before anything is planted: skewed as the real set is.
FILES = {
    **{"NV": 150, "MEL": 80, "BCC": 64, "BKL": 56, "AK": 42, "SCC": 38, "VASC": 32, "DF": 30},
    **{"MKP": 44, "HFMD": 38, "HEALTHY": 36, "CHP": 34, "CWP": 32, "MSL": 32},
}
SECOND_LESION_FRACTION = 1 / 8  # of the patients
ORIGINAL_SPLIT_FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}
# How often one lesion after the other is shown, over and over.
IMAGES_PER_LESION = {"dermoscopy": (1, 1, 2, 1, 1, 3, 1, 1, 4), "photograph": (1, 3, 1, 2, 1)}

DUPLICATES_ACROSS_SPLITS = 6
DUPLICATES_WITHIN_SPLIT = 6
WRONG_LABELS = (
    *(("MEL", "NV"), ("NV", "MEL")),
    *(("AK", "BKL"), ("BKL", "AK")),
    *(("MKP", "CHP"), ("CHP", "MKP")),
)
TRUNCATED = 1

# Share of people by Fitzpatrick type I to VI, whatever their diagnosis.
FITZPATRICK_FRACTIONS = (0.16, 0.29, 0.26, 0.11, 0.10, 0.08)
GOLDEN_RATIO = 0.618  # its multiples, modulo 1, fill the unit interval evenly

MEAN_AGE = {"NV": 45, "DF": 45, "VASC": 50, "MEL": 60, "BKL": 62, "BCC": 66, "AK": 68, "SCC": 70}
SITES = ("anterior torso", "posterior torso", "upper extremity", "lower extremity", "head/neck")
SUNNY_SITE_FRACTIONS = (0.12, 0.13, 0.2, 0.1, 0.45)
OTHER_SITE_FRACTIONS = (0.26, 0.26, 0.16, 0.24, 0.08)
UNKNOWN_FRACTION = 0.06


@dataclass(frozen=True)
class Lesion:
    """One lesion, or one patch of skin in a photograph; ``tone`` is Fitzpatrick's I = 0 to VI = 1."""

    key: str
    diagnosis: Diagnosis
    patient: str
    tone: float
    age: float | None = None
    sex: str | None = None
    site: str | None = None


@dataclass(frozen=True)
class SyntheticImage:
    """One file. ``number`` counts the pictures of the lesion: equal number, equal bytes."""

    name: str
    label: str
    split: str
    lesion: Lesion
    number: int
    planted: Planted | None = None

    @property
    def file(self) -> str:
        """The path relative to the source folder."""
        return f"{self.split}/{self.label}/{self.name}"


def seeded_rng(*keys: int | str) -> np.random.Generator:
    """Give every set of keys a random generator of its own."""
    return np.random.default_rng([crc32(k.encode()) if isinstance(k, str) else k for k in keys])


@lru_cache(maxsize=4)
def synthetic_images(seed: int) -> tuple[SyntheticImage, ...]:
    """List all pictures of the demo, sorted by file; equal seeds give equal lists."""
    rng = seeded_rng(seed, "cast")
    cohort = [
        picture for diagnosis in DIAGNOSES for picture in _images_of_diagnosis(diagnosis, rng)
    ]
    cohort = _truncate(cohort, rng)
    cohort += [*_duplicates(cohort, rng), *_with_wrong_label(cohort, rng)]
    return tuple(sorted(_numbered(cohort, rng), key=lambda picture: picture.file))


def _images_of_diagnosis(diagnosis: Diagnosis, rng: np.random.Generator) -> list[SyntheticImage]:
    n = FILES[diagnosis.code]
    times = cycle(IMAGES_PER_LESION[diagnosis.image_kind])
    lesions = _lesions(diagnosis, rng)
    shown = (
        (lesion, number + 1)
        for lesion, k in zip(lesions, times, strict=False)
        for number in range(k)
    )
    splits = rng.permutation(_original_splits(n))
    return [
        SyntheticImage(f"{lesion.key}_{number}.jpg", diagnosis.name, str(split), lesion, number)
        for (lesion, number), split in zip(islice(shown, n), splits, strict=True)
    ]


def _original_splits(n: int) -> list[str]:
    held_out = {split: round(share * n) for split, share in ORIGINAL_SPLIT_FRACTIONS.items()}
    held_out["train"] = n - held_out["val"] - held_out["test"]
    return [split for split, count in held_out.items() for _ in range(count)]


def _lesions(diagnosis: Diagnosis, rng: np.random.Generator) -> Iterator[Lesion]:
    """Go from patient to patient; some have a second lesion (or photograph)."""
    start = rng.random()
    for number in count(1):
        tone = _tone((start + number * GOLDEN_RATIO) % 1)
        first = _patient(diagnosis, number, tone, rng)
        yield first
        if rng.random() < SECOND_LESION_FRACTION:
            yield replace(first, key=f"{first.patient}_02", site=_site(diagnosis, rng))


def _tone(quantile: float) -> float:
    """Return the skin tone below which that share of all people lies."""
    return float(np.interp(quantile, np.cumsum((0, *FITZPATRICK_FRACTIONS)), np.linspace(0, 1, 7)))


def _patient(diagnosis: Diagnosis, number: int, tone: float, rng: np.random.Generator) -> Lesion:
    patient = f"{diagnosis.code}_{number:02d}"
    lesion = Lesion(f"{patient}_01", diagnosis, patient, tone)
    if diagnosis.image_kind == "photograph":
        return lesion
    age = 5 * round(np.clip(rng.normal(MEAN_AGE[diagnosis.code], 14), 15, 85) / 5)
    sex = str(rng.choice(["female", "male"]))
    return replace(
        lesion,
        age=None if rng.random() < UNKNOWN_FRACTION else float(age),
        sex=None if rng.random() < UNKNOWN_FRACTION else sex,
        site=_site(diagnosis, rng),
    )


def _site(diagnosis: Diagnosis, rng: np.random.Generator) -> str | None:
    if diagnosis.image_kind == "photograph" or rng.random() < UNKNOWN_FRACTION:
        return None
    sunny = diagnosis.code in {"AK", "BCC", "SCC"}
    return str(rng.choice(SITES, p=SUNNY_SITE_FRACTIONS if sunny else OTHER_SITE_FRACTIONS))


def _truncate(cohort: list[SyntheticImage], rng: np.random.Generator) -> list[SyntheticImage]:
    """Let some files break off: nevi to train on, of which there are enough."""
    nevi = [
        i for i, p in enumerate(cohort) if p.lesion.diagnosis.code == "NV" and p.split == "train"
    ]
    broken = set(rng.choice(nevi, TRUNCATED, replace=False))
    return [replace(p, planted="truncated") if i in broken else p for i, p in enumerate(cohort)]


def _duplicates(cohort: list[SyntheticImage], rng: np.random.Generator) -> list[SyntheticImage]:
    """Copy training files byte for byte: some into val or test, some beside themselves."""
    # First pictures only: no two copies of one lesion, which would get the same name.
    whole = [p for p in cohort if p.planted is None and p.split == "train" and p.number == 1]
    n = DUPLICATES_ACROSS_SPLITS + DUPLICATES_WITHIN_SPLIT
    splits = [("val", "test")[i % 2] for i in range(DUPLICATES_ACROSS_SPLITS)]
    splits += ["train"] * DUPLICATES_WITHIN_SPLIT
    return [
        replace(whole[i], name=_duplicate_name(whole[i], cohort), split=split, planted="copy")
        for i, split in zip(rng.choice(len(whole), n, replace=False), splits, strict=True)
    ]


def _duplicate_name(original: SyntheticImage, cohort: list[SyntheticImage]) -> str:
    shown = sum(picture.lesion == original.lesion for picture in cohort)
    return f"{original.lesion.key}_{shown + 1}.jpg"


def _with_wrong_label(
    cohort: list[SyntheticImage], rng: np.random.Generator
) -> list[SyntheticImage]:
    """Put copies into the folder of a diagnosis that looks alike."""
    name_of = {diagnosis.code: diagnosis.name for diagnosis in DIAGNOSES}
    torn = []
    for true, given in WRONG_LABELS:
        candidates = [p for p in cohort if p.planted is None and p.label == name_of[true]]
        original = candidates[rng.integers(len(candidates))]
        patient = 1 + len({p.lesion.patient for p in cohort if p.label == name_of[given]})
        name, split = (
            f"{given}_{patient:02d}_01_1.jpg",
            str(rng.choice(list(ORIGINAL_SPLIT_FRACTIONS))),
        )
        torn.append(
            replace(original, name=name, label=name_of[given], split=split, planted="other_label")
        )
    return torn


def _numbered(cohort: list[SyntheticImage], rng: np.random.Generator) -> list[SyntheticImage]:
    """Name dermoscopic pictures by a bare number; photographs keep the key in their name."""
    numbers = 1 + rng.choice(9_999, len(cohort), replace=False)
    return [
        replace(picture, name=f"DEMO_{number:07d}.jpg")
        if picture.lesion.diagnosis.image_kind == "dermoscopy"
        else picture
        for picture, number in zip(cohort, numbers, strict=True)
    ]
