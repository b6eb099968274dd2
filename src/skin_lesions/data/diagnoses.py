"""Known diagnoses: name, code, origin, image kind and malignancy.

Source:
    The 14 classes of the Kaggle dataset ``ahmedxc4/skin-ds``: the eight diagnoses of ISIC 2019
    (dermoscopy) and the six classes of MSLD v2.0 (photographs).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable, without_invisible

ImageKind = Literal["dermoscopy", "photograph"]


@dataclass(frozen=True)
class Diagnosis:
    """One diagnosis; premalignant diagnoses count as benign unless stated otherwise.

    ``aliases`` are other names of the diagnosis. ``subtypes`` are diagnoses that belong to it. A
    data set can have a subtype and its diagnosis as two classes, but not two names of a diagnosis.
    """

    name: str
    code: str
    origin: str
    image_kind: ImageKind
    malignant: bool = False
    premalignant: bool = False
    aliases: tuple[str, ...] = ()
    subtypes: tuple[str, ...] = ()


def _isic(
    name: str, code: str, *aliases: str, subtypes: tuple[str, ...] = (), **flags: bool
) -> Diagnosis:
    return Diagnosis(
        name, code, "ISIC 2019", "dermoscopy", aliases=aliases, subtypes=subtypes, **flags
    )


def _msld(name: str, code: str, *aliases: str) -> Diagnosis:
    return Diagnosis(name, code, "MSLD v2.0", "photograph", aliases=aliases)


DIAGNOSES: tuple[Diagnosis, ...] = (
    _isic("Actinic keratoses", "AK", "AKIEC", "ACK", premalignant=True),
    _isic("Basal cell carcinoma", "BCC", malignant=True),
    _isic(
        "Benign keratosis-like-lesions",
        "BKL",
        "Benign keratosis",
        subtypes=(
            "Pigmented benign keratosis",
            "Seborrheic keratosis",
            "Seborrhoeic keratosis",
            "SEK",
            "Solar lentigo",
            "Lichen planus-like keratosis",
        ),
    ),
    _msld("Chickenpox", "CHP"),
    _msld("Cowpox", "CWP"),
    _isic("Dermatofibroma", "DF"),
    _msld("HFMD", "HFMD", "Hand, foot and mouth disease", "Hand, foot, mouth disease"),
    _msld("Healthy", "HEALTHY", "Normal", "Healthy skin", "Normal skin"),
    _msld("Measles", "MSL"),
    _isic(
        "Melanocytic nevi",
        "NV",
        "NEV",
        "Nevus",
        "Naevus",
        "Melanocytic naevi",
        subtypes=(
            "Atypical nevus",
            "Blue nevus",
            "Clark nevus",
            "Combined nevus",
            "Common nevus",
            "Congenital nevus",
            "Dermal nevus",
            "Recurrent nevus",
            "Reed or Spitz nevus",
        ),
    ),
    _isic(
        "Melanoma",
        "MEL",
        "Malignant melanoma",
        malignant=True,
        subtypes=(
            "Melanoma in situ",
            "Melanoma invasive",
            "Melanoma metastasis",
            "Melanoma, NOS",
            "Melanoma (less than 0.76 mm)",
            "Melanoma (0.76 to 1.5 mm)",
            "Melanoma (more than 1.5 mm)",
        ),
    ),
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
    for name in (diagnosis.name, diagnosis.code, *diagnosis.aliases, *diagnosis.subtypes)
}


_BY_SYNONYM = {
    _normalize(name): diagnosis
    for diagnosis in DIAGNOSES
    for name in (diagnosis.name, diagnosis.code, *diagnosis.aliases)
}


def diagnosis_of(label: str) -> Diagnosis | None:
    """Return the known diagnosis with this name, code, alias or subtype, or None.

    Case, plural, spaces and punctuation are ignored: ``vascular lesion`` is ``Vascular lesions``.
    """
    return _BY_NAME.get(_normalize(label))


def class_key(label: str) -> str:
    """Return a text that is equal for two names of one class.

    Names of one diagnosis have an equal key, but not its subtypes. Other names have an equal key if
    they differ only in case, spaces, hyphens, underscores, invisible characters, Unicode normal
    form, or zeros after a decimal point.

    >>> class_key("MEL") == class_key("melanoma"), class_key("1.0") == class_key(" 1")
    (True, True)
    >>> class_key("HPV+") == class_key("HPV-"), class_key("Nevus") == class_key("Blue nevus")
    (False, False)
    """
    normalized = _normalize(label)
    if normalized in _BY_SYNONYM:
        return _BY_SYNONYM[normalized].code
    if normalized in _BY_NAME:
        return normalized
    text = without_invisible(unicodedata.normalize("NFKC", label)).casefold().strip()
    text = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text)
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", text)


@dataclass(frozen=True, kw_only=True)
class MalignantClasses:
    """Which classes of a model count as malignant.

    Attributes:
        classes: All classes, in the order of the model.
        malignant: The malignant ones.
        excluded: Classes of which it is not known. Their images are left out of all metrics of
            malignancy.
    """

    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    excluded: tuple[str, ...]

    @property
    def benign(self) -> tuple[str, ...]:
        """The benign classes."""
        others = {*self.malignant, *self.excluded}
        return tuple(name for name in self.classes if name not in others)

    @property
    def is_malignant(self) -> NDArray[np.bool_]:
        """Whether each class is malignant, (k,)."""
        return np.isin(self.classes, self.malignant)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Whether the malignancy of each class is known, (k,)."""
        return ~np.isin(self.classes, self.excluded)


def malignant_classes(classes: Sequence[str], given: Sequence[str] | None) -> MalignantClasses:
    """Return which classes are malignant.

    Args:
        classes: The classes of the model.
        given: Names of the malignant classes, as in ``evaluate.malignant_classes``. All other
            classes are then benign. None: the table of diagnoses decides, and classes that are not
            in it are excluded.

    Raises:
        InputError: A given name is not one of the classes.
    """
    if given is None:
        known = {name: diagnosis_of(name) for name in classes}
        return MalignantClasses(
            classes=tuple(classes),
            malignant=tuple(name for name, d in known.items() if d is not None and d.malignant),
            excluded=tuple(name for name, d in known.items() if d is None),
        )
    # A name of the class itself takes precedence over another name of the same diagnosis.
    by_key = {class_key(name): name for name in classes}
    names = {name: name if name in classes else by_key.get(class_key(name)) for name in given}
    unknown = [name for name, found in names.items() if found is None]
    if unknown:
        raise InputError(
            f"evaluate.malignant_classes has names that are not classes of the model: "
            f"{', '.join(map(printable, unknown))}. Expected some of: "
            f"{', '.join(map(printable, classes))}. Fix: use these names, or null for the table of "
            "diagnoses"
        )
    selected = set(names.values())
    return MalignantClasses(
        classes=tuple(classes),
        malignant=tuple(name for name in classes if name in selected),
        excluded=(),
    )
