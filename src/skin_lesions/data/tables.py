"""Tables that know their provenance and the version that was loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Self, TypeVar

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.core.versions import UNSAVED
from skin_lesions.data.provenance import (
    ExternalPredictionProvenance,
    ImageProvenance,
    MetricsProvenance,
    PredictionProvenance,
    Provenance,
    SplitProvenance,
)

P = TypeVar("P", bound=Provenance)


@dataclass(frozen=True)
class ProvenanceTable(Generic[P]):
    """A table with its provenance; ``version`` is the catalog version that was loaded."""

    frame: pd.DataFrame
    provenance: P
    version: str = UNSAVED
    provenance_type: ClassVar[type[Provenance]]

    def with_version(self, version: str) -> Self:
        """Return the same table with this version."""
        return replace(self, version=version)


class ImageTable(ProvenanceTable[ImageProvenance]):
    """One row per readable file; see ``data.image_table.build_image_table``."""

    provenance_type = ImageProvenance


class SplitTable(ProvenanceTable[SplitProvenance]):
    """One row per selected file, with its split; see ``data.splits.split_images``."""

    provenance_type = SplitProvenance


class PredictionTable(ProvenanceTable[PredictionProvenance]):
    """One row per predicted image; see ``evaluation.predictions.predict_images``.

    The columns of the probabilities of a class are ``probability_column`` and ``balanced_column``.
    """

    provenance_type = PredictionProvenance


class ExternalPredictionTable(ProvenanceTable[ExternalPredictionProvenance]):
    """One row per external image, as in ``PredictionTable``; also the column source_label.

    ``label`` is the class that the label was mapped to. ``is_leaked`` marks images that overlap
    with the training or validation images of the model.
    """

    provenance_type = ExternalPredictionProvenance


class ExplanationTable(ProvenanceTable[MetricsProvenance]):
    """One row per explained image; see ``evaluation.explained_images.ExplainedImages``."""

    provenance_type = MetricsProvenance


def probability_column(class_name: str) -> str:
    """Return the column with the probability for the class frequencies of the training images."""
    return f"p_{class_name}"


def balanced_column(class_name: str) -> str:
    """Return the column with the probability for equal class frequencies."""
    return f"p_balanced_{class_name}"


def check_class_columns(classes: Sequence[str]) -> None:
    """Check that the columns of a table of predictions have different names.

    Raises:
        InputError: Two classes have a column in common, for example "mel" and "balanced_mel".
    """
    names = {probability_column(name) for name in classes}
    ambiguous = [name for name in classes if balanced_column(name) in names]
    if ambiguous:
        name = ambiguous[0]
        raise InputError(
            f"The classes {printable(repr(name))} and {printable(repr(f'balanced_{name}'))} need "
            f"the same column {printable(balanced_column(name))} in the table of predictions. "
            "Expected no such pair of class names. Fix: rename one of the two classes in the source"
        )
