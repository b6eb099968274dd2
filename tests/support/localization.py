"""Provenance of localization results."""

from skin_lesions.data.provenance import LocalizationProvenance

LOCALIZATION_PROVENANCE = LocalizationProvenance(
    model_version="V1",
    images="images",
    annotations="masks",
    annotation_format="masks",
    annotated_images=20,
    unusable_annotations=0,
    folds=5,
    package_version="0.1.0",
    synthetic_images=False,
)
