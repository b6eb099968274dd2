"""Provenance: what a table, a model or a result was made from.

Each stage adds fields to the provenance of its input. Tables store it in their Parquet file, models
and metrics in their own file.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from skin_lesions.core.locations import redact

# Results are shared, so they contain no path of a machine.
Name = Annotated[str, AfterValidator(redact)]


class Provenance(BaseModel):
    """Base class: immutable, unknown fields are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Origin(Provenance):
    """The source of the images and the parameters that selected it.

    Attributes:
        kind: Kind of the source, as in ``source.kind``.
        seed: Seed of synthetic images.
        folder: Name of a folder, without its path.
        dataset: Name of a Kaggle dataset.
        version: Version of the Kaggle dataset.
        license_notes: Known license terms of the images, in complete sentences.
        metadata: Names of the metadata tables, without their paths.
        filename_pattern: Parameter ``source.filename_pattern``.
    """

    kind: Literal["demo", "folder", "kaggle"]
    seed: int | None = None
    folder: Name | None = None
    dataset: str | None = None
    version: int | None = None
    license_notes: tuple[str, ...] = ()
    metadata: tuple[Name, ...] = ()
    filename_pattern: str | None = None

    @property
    def is_synthetic(self) -> bool:
        """Whether the images are synthetic (``source.kind: demo``)."""
        return self.kind == "demo"


class ImageProvenance(Provenance):
    """Provenance of an image table."""

    origin: Origin
    raw_images_version: str


class SplitProvenance(ImageProvenance):
    """Provenance of a split table; the fingerprints are those of ``data.fingerprints``."""

    image_table_version: str
    data_fingerprint: str
    split_fingerprint: str
    split_policy: str


class ModelProvenance(SplitProvenance):
    """Provenance of a model.

    Attributes:
        split_table_version: Version of the split table.
        package_version: Version of this package.
        python: Version of Python.
        libraries: Version of each library that determines the weights.
        device: Device of the training.
        precision: Data type of most computations.
        processes: Number of processes that trained together.
        training: Fingerprint of the training, the name of its checkpoint.
    """

    split_table_version: str
    package_version: str
    python: str
    libraries: dict[str, str]
    device: str
    precision: str
    processes: int
    training: str


class PredictionProvenance(Provenance):
    """Provenance of predictions."""

    model_version: str
    split_table_version: str
    image_table_version: str
    raw_images_version: str


class MetricsProvenance(PredictionProvenance):
    """Provenance of metrics.

    Attributes:
        leaked_test_images: Number of test images that the initial weights were trained on,
            directly or through another image of their group (``train.allow_leaky_weights``).
    """

    predictions_version: str
    split_fingerprint: str
    data_fingerprint: str
    package_version: str
    synthetic_images: bool
    leaked_test_images: int = 0
