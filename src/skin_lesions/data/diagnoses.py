"""Known diagnoses: name, code, origin, image kind and malignancy.

Source:
    The 14 classes of the Kaggle dataset ``ahmedxc4/skin-ds``: the eight diagnoses of ISIC 2019
    (dermoscopy) and the six classes of MSLD v2.0 (photographs).
"""

import re
from dataclasses import dataclass
from typing import Literal

ImageKind = Literal["dermoscopy", "photograph"]


@dataclass(frozen=True)
class Diagnosis:
    """One diagnosis; premalignant diagnoses count as benign unless stated otherwise."""

    name: str
    code: str
    origin: str
    image_kind: ImageKind
    malignant: bool = False
    premalignant: bool = False
    aliases: tuple[str, ...] = ()


def _isic(name: str, code: str, *aliases: str, **flags: bool) -> Diagnosis:
    return Diagnosis(name, code, "ISIC 2019", "dermoscopy", aliases=aliases, **flags)


def _msld(name: str, code: str, *aliases: str) -> Diagnosis:
    return Diagnosis(name, code, "MSLD v2.0", "photograph", aliases=aliases)


DIAGNOSES: tuple[Diagnosis, ...] = (
    _isic("Actinic keratoses", "AK", "AKIEC", premalignant=True),
    _isic("Basal cell carcinoma", "BCC", malignant=True),
    _isic("Benign keratosis-like-lesions", "BKL", "Benign keratosis", "Pigmented benign keratosis"),
    _msld("Chickenpox", "CHP"),
    _msld("Cowpox", "CWP"),
    _isic("Dermatofibroma", "DF"),
    _msld("HFMD", "HFMD", "Hand, foot and mouth disease", "Hand, foot, mouth disease"),
    _msld("Healthy", "HEALTHY"),
    _msld("Measles", "MSL"),
    _isic("Melanocytic nevi", "NV", "Nevus", "Naevus", "Melanocytic naevi"),
    _isic("Melanoma", "MEL", malignant=True),
    _msld("Monkeypox", "MKP", "Mpox"),
    _isic("Squamous cell carcinoma", "SCC", malignant=True),
    _isic("Vascular lesions", "VASC"),
)


def _normalize(label: str) -> str:
    """Remove differences in case, spaces, punctuation and common English and Latin plurals.

    >>> _normalize("Actinic Keratoses") == _normalize("actinic_keratosis")
    True
    """
    words = re.sub(r"[\W_]+", " ", label.casefold()).split()
    return "".join(re.sub(r"(es|is|i|us|s)$", "", word) or word for word in words)


_BY_NAME = {
    _normalize(name): diagnosis
    for diagnosis in DIAGNOSES
    for name in (diagnosis.name, diagnosis.code, *diagnosis.aliases)
}


def diagnosis_of(label: str) -> Diagnosis | None:
    """Return the known diagnosis with this name, code or alias, or None.

    Case, plural, spaces and punctuation are ignored: ``vascular lesion`` is ``Vascular lesions``.
    """
    return _BY_NAME.get(_normalize(label))
