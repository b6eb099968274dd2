"""Provenance: what a table, a model or a result was made from.

Each stage adds fields to the provenance of its input. Tables store it in their Parquet file, models
and metrics in their own file.
"""

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from skin_lesions.config.source import Source
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
        folder_hash: Hash of its path, see ``path_hash``.
        dataset: Name of a Kaggle dataset.
        version: Version of the Kaggle dataset.
        license_notes: Known license terms of the images, in complete sentences.
        metadata: Names of the metadata tables, without their paths.
        metadata_key: Parameter ``source.metadata_key``.
        label_column: Parameter ``source.label_column``.
        filename_pattern: Parameter ``source.filename_pattern``.
    """

    kind: Literal["demo", "folder", "kaggle"]
    seed: int | None = None
    folder: Name | None = None
    folder_hash: str | None = None
    dataset: str | None = None
    version: int | None = None
    license_notes: tuple[str, ...] = ()
    metadata: tuple[Name, ...] = ()
    metadata_key: str | None = None
    label_column: str | None = None
    filename_pattern: str | None = None

    @property
    def is_synthetic(self) -> bool:
        """Whether the images are synthetic (``source.kind: demo``)."""
        return self.kind == "demo"

    def differences(self, source: Source, given: Collection[str]) -> dict[str, tuple[object, ...]]:
        """Return the parameters that select another source: name -> (recorded, configured).

        A later run need not repeat the parameters of the first one. Parameters that are not set
        are therefore not compared.

        Args:
            source: Configured source.
            given: Parameters of the source that were given explicitly, such as ``demo.seed``.
                Parameters with a default value are compared only if they were.
        """
        if source.kind != self.kind:
            return {"source.kind": (self.kind, source.kind)}
        configured: dict[str, tuple[object, object]] = {
            "metadata": (self.metadata, tuple(map(redact, source.metadata))),
            "metadata_key": (self.metadata_key, source.metadata_key),
            "label_column": (self.label_column, source.label_column),
            "filename_pattern": (self.filename_pattern, source.filename_pattern),
            "kaggle.version": (self.version, source.kaggle.version),
        }
        if source.folder and self.folder_hash != path_hash(Path(source.folder)):
            configured["folder"] = (self.folder, source.folder)
        if "demo.seed" in given:
            configured["demo.seed"] = (self.seed, source.demo.seed)
        if "kaggle.dataset" in given:
            configured["kaggle.dataset"] = (self.dataset, source.kaggle.dataset)
        return {
            f"source.{name}": (recorded, value)
            for name, (recorded, value) in configured.items()
            if value not in (None, ()) and value != recorded
        }


class ImageProvenance(Provenance):
    """Provenance of an image table."""

    origin: Origin
    raw_images_version: str


class ColumnSplitProvenance(Provenance):
    """Provenance of a split by a column (``split.policy: by_column``).

    Attributes:
        column: Parameter ``split.column``.
        test_values: Parameter ``split.test_values``.
        missing_files: Number of files that are left out because they have no value.
        spanning_groups: Number of groups that are left out because they have images in both parts.
        spanning_files: Number of files of these groups.
    """

    column: str
    test_values: tuple[str, ...]
    missing_files: int
    spanning_groups: int
    spanning_files: int


class SplitProvenance(ImageProvenance):
    """Provenance of a split table; the fingerprints are those of ``data.fingerprints``.

    Attributes:
        column_split: Only with the policy ``by_column``.
    """

    image_table_version: str
    data_fingerprint: str
    split_fingerprint: str
    split_policy: str
    column_split: ColumnSplitProvenance | None = None


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


class ExternalPredictionProvenance(Provenance):
    """Provenance of predictions of external images.

    Attributes:
        origin: Where the external images come from.
    """

    origin: Origin
    model_version: str
    external_image_table_version: str
    external_overlap_version: str


class ExternalMetricsProvenance(ExternalPredictionProvenance):
    """Provenance of the results on external images.

    Attributes:
        internal_predictions: Version of the predictions of the internal test images; None if there
            are none of this model.
        split_policy: Policy of the split of the training, as in ``split.policy``.
        synthetic_images: Whether the model was trained on synthetic images, or the external images
            are synthetic.
    """

    external_predictions_version: str
    internal_predictions: str | None
    split_policy: str
    package_version: str
    synthetic_images: bool


class LocalizerProvenance(Provenance):
    """Provenance of a localizer.

    Attributes:
        model_version: Version of the classifier.
        images: Name of the folder of the images, or ``this data set``.
        annotations: Name of the file or folder of the annotations; empty for synthetic masks.
        annotation_format: Their format.
        package_version: Version of this package.
        synthetic_images: Whether the images are synthetic.
    """

    model_version: str
    images: Name
    annotations: Name
    annotation_format: str
    package_version: str
    synthetic_images: bool


class LocalizationProvenance(LocalizerProvenance):
    """Provenance of the results of lesion localization.

    Attributes:
        annotated_images: Number of images with usable annotations.
        unusable_annotations: Number of annotations that cannot be used.
        folds: Number of folds of the cross-validation; None for a test on the test split.
    """

    annotated_images: int
    unusable_annotations: int
    folds: int | None


def recorded_versions(data: object) -> dict[str, str]:
    """Return the versions that loaded data were made from, by the name of the data set.

    Data without provenance have none.
    """
    record = getattr(data, "provenance", data)
    if not isinstance(record, BaseModel):
        return {}
    suffix = "_version"
    return {name.removesuffix(suffix): value for name, value in record if name.endswith(suffix)}


def path_hash(path: Path) -> str:
    """Return a hash of an absolute path, after links are followed: 16 hex digits."""
    return sha256(bytes(path.expanduser().resolve())).hexdigest()[:16]
