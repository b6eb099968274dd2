"""Tables that know their provenance and the version that was loaded."""

from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Self, TypeVar

import pandas as pd

from skin_lesions.core.versions import UNSAVED
from skin_lesions.data.provenance import (
    ImageProvenance,
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
    """One row per predicted image; see ``evaluation.predictions.predict``."""

    provenance_type = PredictionProvenance
